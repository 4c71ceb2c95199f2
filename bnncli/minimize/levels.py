"""Levels of optimization: which passes run; every run ends in a comparison with its input."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.errors import BnnError, UsageError
from bnncli.minimize.passes import Effort, PassRecord, find_pass, never
from bnncli.minimize.sums import fold_sums
from bnncli.prove import compare, compare_designs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnncli.circuit import Circuit, Design
    from bnncli.minimize.search import Progress
    from bnncli.prove import Verdict

    OnStep = Callable[[PassRecord], None]

LEVELS = {
    0: (),
    1: ("rebuild",),
    2: ("rebuild", "merge_functional", "resubstitute"),
    3: ("rebuild", "merge_functional", "resubstitute", "search"),
}
"""The passes of each level, in order."""

SEARCH = "search"
SHARES = {"merge_functional": 0.5, "resubstitute": 1.0, SEARCH: 1.0}
"""When a limit ends the passes that may take long, as shares of it."""

NO_TIME = "no time was left"


@dataclass(frozen=True)
class Optimized:
    """A circuit, the passes that made it, and the comparison with what they began with."""

    circuit: Circuit
    steps: tuple[PassRecord, ...]
    verdict: Verdict


@dataclass(frozen=True)
class OptimizedDesign:
    """A design, the passes that made it, and the comparison with what they began with."""

    design: Design
    steps: tuple[PassRecord, ...]
    verdict: Verdict


def _check_level(level: int) -> None:
    if level not in LEVELS:
        raise UsageError(f"optimization level {level}: expected {min(LEVELS)} to {max(LEVELS)}")


def _run(
    circuit: Circuit, names: Sequence[str], effort: Effort, on_step: OnStep | None
) -> tuple[Circuit, list[PassRecord]]:
    best, steps = circuit, []
    began = time.monotonic()
    for name in names:
        if effort.should_stop():
            break
        deadline = began + (effort.limit or 0.0) * SHARES.get(name, 0.0)
        if effort.limit is None or name not in SHARES:
            best, record = find_pass(name).run(best, effort)
        elif time.monotonic() < deadline:
            best, record = find_pass(name).run(best, effort.until(deadline))
            late = time.monotonic() >= deadline and name != SEARCH
            record = dataclasses.replace(record, cut=late and not record.skipped)
        else:
            record = PassRecord(name, effort.cost(best), effort.cost(best), 0.0, NO_TIME)
        steps.append(record)
        if on_step is not None:
            on_step(record)
    return best, steps


def _trusted(verdict: Verdict) -> Verdict:
    if verdict.equal is False:
        raise BnnError(f"optimize: the result is wrong, {verdict.sentence()}; please report this")
    return verdict


def optimize(
    circuit: Circuit,
    *,
    level: int,
    budget: float | None = None,
    seed: int = 0,
    jobs: int = 0,
    shared: bool = False,
    on_step: OnStep | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Optimized:
    """Run the passes of a level and compare the result with the circuit.

    ``on_step`` hears of each pass when it has ended, ``on_progress`` of a search while it runs.
    When ``should_stop`` says so, the best circuit so far is compared and given. The rest is as in
    :class:`Effort`.
    """
    _check_level(level)
    effort = Effort(
        seed=seed,
        jobs=jobs,
        budget=budget,
        shared=shared,
        should_stop=should_stop or never,
        on_progress=on_progress,
    )
    best, steps = _run(circuit, LEVELS[level], effort, on_step)
    verdict = _trusted(compare(circuit, best, seed=seed))
    return Optimized(best, tuple(steps), verdict)


def _fold(design: Design, effort: Effort, on_step: OnStep | None) -> tuple[Design, PassRecord]:
    began = time.perf_counter()
    made = fold_sums(design)
    seconds = time.perf_counter() - began
    costs = effort.cost(design.circuit), effort.cost(made.circuit)
    record = PassRecord("fold_sums", *costs, seconds)
    if on_step is not None:
        on_step(record)
    return made, record


def optimize_design(
    design: Design,
    *,
    level: int,
    effort: Effort | None = None,
    on_step: OnStep | None = None,
) -> OptimizedDesign:
    """Run the passes of a level on a design's circuit, and let its class sums take what they can.

    The scores of both designs are compared, or their outputs where there are no sums.
    """
    _check_level(level)
    effort = effort or Effort()
    best, steps = design, []
    names = LEVELS[level]
    if names and design.sums is not None:
        best, record = _fold(best, effort, on_step)
        steps.append(record)
    circuit, more = _run(best.circuit, names, effort, on_step)
    best, steps = best.with_circuit(circuit), [*steps, *more]
    if names and design.sums is not None:
        # Merging may have made outputs equal.
        best, record = _fold(best, effort, on_step)
        steps.append(record)
    verdict = _trusted(compare_designs(design, best, seed=effort.seed))
    return OptimizedDesign(best, tuple(steps), verdict)
