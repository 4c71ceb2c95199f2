"""Levels of optimization: which passes run; every run ends in a comparison with its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.errors import BnnError, UsageError
from bnncli.minimize.passes import Effort, PassRecord, find_pass, never
from bnncli.prove import compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnncli.circuit import Circuit
    from bnncli.minimize.search import Progress
    from bnncli.prove import Verdict

LEVELS = {
    0: (),
    1: ("rebuild",),
    2: ("rebuild", "merge_functional", "resubstitute"),
    3: ("rebuild", "merge_functional", "resubstitute", "search"),
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
    shared: bool = False,
    on_step: Callable[[PassRecord], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Optimized:
    """Run the passes of a level and compare the result with the circuit.

    ``on_step`` hears of each pass when it has ended, ``on_progress`` of a search while it runs.
    When ``should_stop`` says so, the best circuit so far is compared and given. The rest is as in
    :class:`Effort`.
    """
    if level not in LEVELS:
        raise UsageError(f"optimization level {level}: expected {min(LEVELS)} to {max(LEVELS)}")
    effort = Effort(seed, jobs, budget, shared, should_stop or never, on_progress)
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
