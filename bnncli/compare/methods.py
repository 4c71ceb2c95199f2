"""Training methods by name, from ``methods.toml``; reading them needs no torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnncli.compare.results import Method
from bnncli.errors import BnnError, UsageError, unknown_name
from bnncli.training.config import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("methods.toml")
SECTIONS = ("model", "data", "train")
TEXTS = ("about", "published", "note")
ELSEWHERE = {
    "data.name": "name data sets in data = [...]",
    "train.seed": "give seeds = [...]",
}
"""Settings that an axis of the matrix sets, so that no method may."""

Partial = dict[str, dict[str, Any]]
"""Some settings by section and name."""


@dataclass(frozen=True, kw_only=True)
class NamedMethod:
    """A method and the settings that make it."""

    method: Method
    settings: Partial = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Give the method's name."""
        return self.method.name

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, as ``[[method]]`` of a matrix holds them."""
        texts = {key: getattr(self.method, key) for key in TEXTS if getattr(self.method, key)}
        return {"name": self.name, **texts, **self.settings}


def laid_over(base: Partial, settings: Mapping[str, Mapping[str, Any]]) -> Partial:
    """Give base settings with others laid over them, name by name, also within tables of options."""
    merged = {section: dict(values) for section, values in base.items()}
    for section, values in settings.items():
        under = merged.setdefault(section, {})
        for key, value in values.items():
            old = under.get(key)
            both = isinstance(old, dict) and isinstance(value, dict)
            under[key] = {**(old or {}), **value} if both else value
    return merged


def parse_method(
    name: str, values: Mapping[str, Any], base: NamedMethod | None = None
) -> NamedMethod:
    """Read a method's table: texts and partial settings, over those of another method."""
    old = Method(name=name) if base is None else base.method
    texts = {key: values.get(key, getattr(old, key)) for key in TEXTS}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"method {name!r}: {key}={text!r}: expected text")
    given = {key: value for key, value in values.items() if key not in {*TEXTS, "name", "like"}}
    if "like" in values:
        # Results published of another method's settings say nothing about changed ones.
        texts.update({key: values.get(key, "") for key in ("published", "note")})
    check_partial(given, f"method {name!r}")
    return NamedMethod(
        method=Method(name=name, **texts),
        settings=laid_over({} if base is None else base.settings, given),
    )


def check_partial(given: Mapping[str, Any], where: str) -> None:
    """Refuse settings that do not exist, have a wrong type or belong to an axis of the matrix."""
    for section in given:
        if section not in SECTIONS:
            raise _within(where, unknown_name("key", section, [*SECTIONS, *TEXTS]))
    try:
        Settings().updated(given)
    except UsageError as error:
        raise _within(where, error) from error
    for dotted, instead in ELSEWHERE.items():
        section, key = dotted.split(".")
        if key in given.get(section, {}):
            raise UsageError(f"{where}: {dotted} is an axis of the matrix; {instead}")


def _within(where: str, error: BnnError) -> UsageError:
    return UsageError(f"{where}: {error}")


@cache
def registered_methods(path: Path = FILE) -> dict[str, NamedMethod]:
    """Read all registered methods."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: parse_method(name, table) for name, table in values.items()}


def find_method(name: str) -> NamedMethod:
    """Look a registered method up by name."""
    methods = registered_methods()
    if name not in methods:
        raise unknown_name("method", name, methods)
    return methods[name]
