"""The matrix of a comparison: methods × data sets × seeds over a base, under a budget.

It is read from a TOML file, a preset (such a file by name) or flags, and written back as a file
that says the same without any registered name.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from bnncli.compare.methods import (
    NamedMethod,
    Partial,
    check_partial,
    find_method,
    parse_method,
)
from bnncli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRESETS = Path(__file__).with_name("presets")
KEYS = ("about", "base", "budget", "seeds", "data", "methods", "method")
BUDGETS: dict[str, type] = {"epochs": int, "seconds": float, "bits": int}
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Budget:
    """What every run of a matrix gets: so many epochs, seconds or stored bits of weights.

    ``kind`` None leaves each method its own number of epochs.
    """

    kind: str | None = None
    amount: float = 0

    def __post_init__(self) -> None:
        if self.kind is None:
            return
        if self.kind not in BUDGETS:
            raise unknown_name("budget", self.kind, BUDGETS)
        whole = BUDGETS[self.kind] is int
        wanted = "a whole number of at least 1" if whole else "a number above 0"
        right = isinstance(self.amount, int if whole else int | float)
        if not right or isinstance(self.amount, bool) or not 0 < self.amount < 2**63:
            raise UsageError(f"budget {self.kind}={self.amount!r}: expected {wanted}")

    def __str__(self) -> str:
        """Say in words what is held equal."""
        return {
            None: "each method's own number of epochs",
            "epochs": f"{self.amount} epoch{'s' * (self.amount != 1)} for every run",
            "seconds": f"{self.amount:g} seconds of training for every run, in whole epochs",
            "bits": f"at most {self.amount:,} stored bits of weights while training",
        }[self.kind]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What is compared: each method on each data set with each seed."""

    name: str
    methods: tuple[NamedMethod, ...]
    data: tuple[str, ...] = ("digits",)
    seeds: tuple[int, ...] = (0, 1, 2)
    base: Partial = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    about: str = ""

    def __post_init__(self) -> None:
        if not self.methods:
            raise UsageError("no method to compare; see: bnn list methods")
        for what, names in (
            ("method", [method.name for method in self.methods]),
            ("data set", self.data),
            ("seed", self.seeds),
        ):
            _check_unique(what, names)
        for seed in self.seeds:
            if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
                raise UsageError(f"seed {seed!r}: expected a whole number of at least 0")

    def to_dict(self) -> dict[str, Any]:
        """Give plain values: the file that says the same, with every method spelled out."""
        budget = {} if self.budget.kind is None else {self.budget.kind: self.budget.amount}
        return {
            "seeds": list(self.seeds),
            "data": list(self.data),
            "about": {"text": self.about},
            "budget": budget,
            "base": self.base,
            "method": [method.to_dict() for method in self.methods],
        }

    def to_toml(self) -> str:
        """Write the matrix as TOML."""
        return tomli_w.dumps(_without_none(self.to_dict()))

    @property
    def key(self) -> str:
        """Give eight hexadecimal digits that stand for what is run, texts aside."""
        values = self.to_dict()
        del values["about"]
        values["method"] = [{"name": m.name, **m.settings} for m in self.methods]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def select(self, names: Sequence[str]) -> Matrix:
        """Keep the methods of these names, in this order."""
        known = {method.name: method for method in self.methods}
        for name in names:
            if name not in known:
                raise unknown_name(f"method of {self.name}", name, known)
        return replace(self, methods=tuple(known[name] for name in names))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _check_unique(what: str, names: Sequence[Any]) -> None:
    if not names:
        raise UsageError(f"no {what} to compare; give at least one")
    for name in names:
        if list(names).count(name) > 1:
            raise UsageError(f"{what} {name!r} is given twice; give each once, or another name")


def parse_seeds(given: int | Sequence[int]) -> tuple[int, ...]:
    """Give the seeds of a list, or 0 … N-1 for a number N."""
    if isinstance(given, int) and not isinstance(given, bool):
        if not 1 <= given <= 10**4:
            raise UsageError(f"seeds={given}: expected how many (1 to 10000), or a list of seeds")
        return tuple(range(given))
    if not isinstance(given, list | tuple):
        raise UsageError(f"seeds={given!r}: expected a number of seeds or a list of them")
    return tuple(given)


def parse_matrix(name: str, values: Mapping[str, Any]) -> Matrix:
    """Read a matrix from the values of its file."""
    for key in values:
        if key not in KEYS:
            raise unknown_name("key of a matrix", key, KEYS)
    base = _table(values, "base")
    check_partial(base, "[base]")
    about = _table(values, "about").get("text", "")
    if not isinstance(about, str):
        raise UsageError(f"[about] text={about!r}: expected text")
    budget = _table(values, "budget")
    if len(budget) > 1:
        raise UsageError(f"[budget] {', '.join(budget)}: these contradict; give one of them")
    return Matrix(
        name=name,
        about=about,
        base=base,
        budget=Budget(*next(iter(budget.items()), ())),
        seeds=parse_seeds(values.get("seeds", 3)),
        data=_names(values, "data") or ("digits",),
        methods=(
            *(find_method(name) for name in _names(values, "methods")),
            *(_inline(table) for table in _tables(values, "method")),
        ),
    )


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise UsageError(f"{key}={table!r}: expected a section [{key}]")
    return table


def _tables(values: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    tables = values.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{key}: expected tables [[{key}]]")
    return tables


def _names(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = values.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{key}={names!r}: expected a list of names")
    return tuple(names)


def _inline(table: dict[str, Any]) -> NamedMethod:
    name, like = table.get("name"), table.get("like")
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"[[method]] name={name!r}: expected a name")
    if like is not None and not isinstance(like, str):
        raise UsageError(f"method {name!r}: like={like!r}: expected the name of a method")
    return parse_method(name, table, None if like is None else find_method(like))


def read_matrix(path: Path) -> Matrix:
    """Read a matrix from a TOML file."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    try:
        return parse_matrix(path.stem, values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def preset_names(folder: Path = PRESETS) -> list[str]:
    """List the registered comparisons."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def find_preset(name: str, folder: Path = PRESETS) -> Matrix:
    """Look a registered comparison up by name."""
    if name not in preset_names(folder):
        raise unknown_name("comparison", name, preset_names(folder))
    return read_matrix(folder / f"{name}.toml")
