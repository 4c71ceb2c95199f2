"""Levels of optimization: which passes run; every run ends in a comparison with its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.errors import BnnError, UsageError
from bnncli.minimize.passes import Effort, PassRecord, find_pass
from bnncli.prove import compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnncli.circuit import Circuit
    from bnncli.prove import Verdict

LEVELS = {
    0: (),
    1: ("rebuild",),
    2: ("rebuild", "merge_functional", "resubstitute"),
    3: ("rebuild", "merge_functional", "resubstitute"),
}
"""The passes of each level, in order."""


@dataclass(frozen=True)
class Optimized:
    """A circuit, the passes that made it, and the comparison with what they began with."""

    circuit: Circuit
    steps: tuple[PassRecord, ...]
    verdict: Verdict


def optimize(
    circuit: Circuit,
    *,
    level: int,
    budget: float | None = None,
    seed: int = 0,
    jobs: int = 0,
    on_step: Callable[[PassRecord], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Optimized:
    """Run the passes of a level and compare the result with the circuit.

    ``on_step`` hears of each pass when it has ended. When ``should_stop`` says so, the best
    circuit so far is compared and given.
    """
    if level not in LEVELS:
        raise UsageError(f"optimization level {level}: expected {min(LEVELS)} to {max(LEVELS)}")
    effort = Effort(seed=seed, jobs=jobs, budget=budget)
    if should_stop is not None:
        effort = Effort(seed, jobs, budget, should_stop)
    best, steps = circuit, []
    for name in LEVELS[level]:
        if effort.should_stop():
            break
        best, record = find_pass(name).run(best, effort)
        steps.append(record)
        if on_step is not None:
            on_step(record)
    verdict = compare(circuit, best, seed=seed)
    if verdict.equal is False:
        raise BnnError(f"optimize: the result is wrong, {verdict.sentence()}; please report this")
    return Optimized(best, tuple(steps), verdict)
