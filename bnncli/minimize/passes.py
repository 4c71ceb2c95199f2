"""The passes by name: what each does, whether it is exact, and what it needs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bnncli.circuit import rebuild
from bnncli.errors import unknown_name
from bnncli.minimize import local
from bnncli.minimize.abc import ABC_SCRIPT, ABC_SECONDS, abc_needs, run_abc
from bnncli.minimize.merging import merge_functional, merge_needs
from bnncli.minimize.windows import resubstitute

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnncli.circuit import Circuit


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Effort:
    """What a pass may spend: a seed, processes (0 for a process a core), and when to stop."""

    seed: int = 0
    jobs: int = 0
    budget: float | None = None
    should_stop: Callable[[], bool] = _never


@dataclass(frozen=True)
class PassRecord:
    """What a pass did: gates before and after, by :attr:`Circuit.size`, or why it was left out."""

    name: str
    before: int
    after: int
    seconds: float
    skipped: str = ""


def _nothing(circuit: Circuit) -> str:
    return ""


@dataclass(frozen=True)
class Pass:
    """A function from circuit to circuit that makes none larger.

    An exact pass keeps the function. ``needs`` says what is missing to run it on a circuit; the
    empty string if nothing is.
    """

    name: str
    summary: str
    exact: bool
    function: Callable[[Circuit, Effort], Circuit]
    needs: Callable[[Circuit], str] = field(default=_nothing)

    def run(self, circuit: Circuit, effort: Effort | None = None) -> tuple[Circuit, PassRecord]:
        """Run the pass; keep the circuit as it was where that is the smaller one."""
        before = circuit.size
        missing = self.needs(circuit)
        if missing:
            return circuit, PassRecord(self.name, before, before, 0.0, missing)
        began = time.perf_counter()
        made = self.function(circuit, effort or Effort())
        after = made.size
        if after > before:
            made, after = circuit, before
        return made, PassRecord(self.name, before, after, time.perf_counter() - began)


def _plain(function: Callable[[Circuit], Circuit]) -> Callable[[Circuit, Effort], Circuit]:
    return lambda circuit, _: function(circuit)


def _merge(circuit: Circuit, effort: Effort) -> Circuit:
    return merge_functional(circuit, seed=effort.seed, should_stop=effort.should_stop)


def _resubstitute(circuit: Circuit, effort: Effort) -> Circuit:
    return resubstitute(circuit, should_stop=effort.should_stop)


def _abc(circuit: Circuit, effort: Effort) -> Circuit:
    return run_abc(circuit, seconds=effort.budget or ABC_SECONDS)


_ALL = (
    Pass(
        "fold_constants",
        "simplify gates that read a constant or one signal twice",
        True,
        _plain(local.fold_constants),
    ),
    Pass(
        "propagate_copies",
        "read what a wire reads instead of the wire",
        True,
        _plain(local.propagate_copies),
    ),
    Pass(
        "absorb_inverters",
        "invert an input in the reader's truth table",
        True,
        _plain(local.absorb_inverters),
    ),
    Pass(
        "hash_structure",
        "compute the same function of the same signals once",
        True,
        _plain(local.hash_structure),
    ),
    Pass("remove_dead", "drop gates that no output needs", True, _plain(local.remove_dead)),
    Pass("rebuild", "all of the above at once, to the end", True, _plain(rebuild)),
    Pass(
        "merge_functional",
        "merge signals that are equal or complementary for all inputs",
        True,
        _merge,
        merge_needs,
    ),
    Pass(
        "resubstitute",
        "replace gates by what is at hand nearby, where no output can tell",
        True,
        _resubstitute,
    ),
    Pass("abc", f"abc's {ABC_SCRIPT}, where it is installed", True, _abc, abc_needs),
)
PASSES: dict[str, Pass] = {one.name: one for one in _ALL}


def find_pass(name: str) -> Pass:
    """Look a pass up by name."""
    if name not in PASSES:
        raise unknown_name("pass", name, PASSES)
    return PASSES[name]
