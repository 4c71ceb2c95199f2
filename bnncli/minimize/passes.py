"""The passes by name: what each does, whether it is exact, and what it needs."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bnncli.circuit import rebuild
from bnncli.circuit.translation import shared_operations
from bnncli.errors import unknown_name
from bnncli.minimize import local
from bnncli.minimize.abc import ABC_SCRIPT, ABC_SECONDS, abc_needs, run_abc
from bnncli.minimize.merging import merge_functional, merge_needs
from bnncli.minimize.search import minimize
from bnncli.minimize.windows import resubstitute
from bnncli.native import available_isas
from bnncli.native.circuits import MAX_WALK_GATES, MAX_WALK_INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnncli.circuit import Circuit
    from bnncli.minimize.search import Progress


def never() -> bool:
    """Do not stop."""
    return False


SEARCH_SECONDS = 10.0


@dataclass(frozen=True)
class Effort:
    """What passes may spend, and what counts.

    ``budget`` are the seconds of a search, :data:`SEARCH_SECONDS` if None; ``jobs`` its threads, 0
    for one on each core. ``limit`` are the seconds of all passes together; None lets each but the
    search come to its end. With ``shared`` the operations that the cells of an automaton share
    count, not the gates.
    """

    seed: int = 0
    jobs: int = 0
    budget: float | None = None
    limit: float | None = None
    shared: bool = False
    should_stop: Callable[[], bool] = never
    on_progress: Callable[[Progress], None] | None = None

    def cost(self, circuit: Circuit) -> int:
        """Count what shall become less."""
        return shared_operations(circuit) if self.shared else circuit.size

    def until(self, deadline: float) -> Effort:
        """Give an effort that ends at a time of ``time.monotonic``."""
        left = max(0.0, deadline - time.monotonic())
        return dataclasses.replace(
            self,
            budget=left if self.budget is None else min(self.budget, left),
            limit=None,
            should_stop=lambda: time.monotonic() >= deadline or self.should_stop(),
        )


@dataclass(frozen=True)
class PassRecord:
    """What a pass did: the cost before and after, or why it was left out.

    The cost is :attr:`Circuit.size`, or shared operations where those count. ``cut`` says that the
    time was up before it came to its end.
    """

    name: str
    before: int
    after: int
    seconds: float
    skipped: str = ""
    cut: bool = False


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
        effort = effort or Effort()
        before = effort.cost(circuit)
        missing = self.needs(circuit)
        if missing:
            return circuit, PassRecord(self.name, before, before, 0.0, missing)
        began = time.perf_counter()
        made = self.function(circuit, effort)
        after = effort.cost(made)
        if after > before:
            made, after = circuit, before
        return made, PassRecord(self.name, before, after, time.perf_counter() - began)


def _plain(function: Callable[[Circuit], Circuit]) -> Callable[[Circuit, Effort], Circuit]:
    return lambda circuit, _: function(circuit)


def _merge(circuit: Circuit, effort: Effort) -> Circuit:
    return merge_functional(circuit, seed=effort.seed, should_stop=effort.should_stop)


def _resubstitute(circuit: Circuit, effort: Effort) -> Circuit:
    return resubstitute(circuit, should_stop=effort.should_stop)


def _search_needs(circuit: Circuit) -> str:
    if not available_isas():
        return "needs the compiled kernels"
    clean = rebuild(circuit)
    if clean.n_inputs <= MAX_WALK_INPUTS and clean.n_gates <= MAX_WALK_GATES:
        return ""
    return (
        f"{clean.n_inputs:,} inputs and {clean.n_gates:,} gates; it takes at most "
        f"{MAX_WALK_INPUTS} and {MAX_WALK_GATES:,}"
    )


def _search(circuit: Circuit, effort: Effort) -> Circuit:
    return minimize(
        circuit,
        budget=SEARCH_SECONDS if effort.budget is None else effort.budget,
        seed=effort.seed,
        jobs=effort.jobs,
        shared=effort.shared,
        on_progress=effort.on_progress,
        should_stop=effort.should_stop,
    )


def _abc(circuit: Circuit, effort: Effort) -> Circuit:
    return run_abc(circuit, seconds=ABC_SECONDS)


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
    Pass(
        "search",
        "walk over equal circuits until the time is up",
        True,
        _search,
        _search_needs,
    ),
    Pass("abc", f"abc's {ABC_SCRIPT}, where it is installed", True, _abc, abc_needs),
)
PASSES: dict[str, Pass] = {one.name: one for one in _ALL}
"""Every pass by name."""


def find_pass(name: str) -> Pass:
    """Look a pass up by name."""
    if name not in PASSES:
        raise unknown_name("pass", name, PASSES)
    return PASSES[name]
