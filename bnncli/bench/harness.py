"""Time things that do the same work against each other, in one process, taking turns.

A B C A B C … : a slow minute of the machine hits every contender alike, and ratios are taken
inside each round. Nothing is timed before its output was compared with the reference's.
See ``book/decisions/benchmarks.md``.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Clock = Callable[[], float]
    Check = Callable[[Mapping[str, NDArray[Any]]], None]

MIN_SAMPLE_SECONDS = 1e-3
MIN_ROUNDS = 3
MAX_ROUNDS = 1000


@dataclass(frozen=True)
class Work:
    """What one call does, whoever does it; a rate is shown for each that is not zero.

    An operation is a multiplication or an addition: a product of (m, k) and (k, n) is 2 m n k.
    A gate is evaluated once for each image, whatever it is simplified to.
    """

    operations: int = 0
    bytes: int = 0
    images: int = 0
    steps: int = 0
    gates: int = 0
    cells: int = 0


@dataclass(frozen=True)
class Contender:
    """One way to do the work; ``read`` turns what ``run`` gives into a comparable array.

    A contender that times the interesting part of its calls itself gives those seconds, summed
    up, as ``clock``.
    """

    run: Callable[[], Any]
    read: Callable[[Any], NDArray[Any]] = np.asarray
    size_bytes: int | None = None
    clock: Clock | None = None


@dataclass(frozen=True)
class Contest:
    """Contenders by name in the order of their turns, and what their outputs must satisfy.

    Ratios are against the fastest of ``baselines``.
    """

    contenders: Mapping[str, Contender]
    baselines: Sequence[str]
    check: Check
    facts: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """The median of some samples, and the quartiles around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing:
    """How long one call of a contender takes, and how often that fits into the baseline's."""

    contender: str
    seconds: Spread
    ratio: Spread
    rounds: int
    loops: int
    size_bytes: int | None = None


@dataclass(frozen=True)
class CaseResult:
    """A case's timings; ``baseline`` is what the ratios refer to."""

    case: str
    work: Work
    baseline: str
    timings: tuple[Timing, ...]
    facts: Mapping[str, float | str] = field(default_factory=dict)


def spread(values: Sequence[float]) -> Spread:
    """Give the median and the 25th and 75th percentiles (linear interpolation)."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high)


def equal_to(reference: str, tolerance: float = 0.0) -> Check:
    """Require the outputs of the contender ``reference`` of everyone: |a - b| <= tolerance."""

    def check(outputs: Mapping[str, NDArray[Any]]) -> None:
        expected = outputs[reference]
        for name, given in outputs.items():
            if given.shape != expected.shape:
                raise BnnError(
                    f"{name} gives shape {given.shape} and {reference} {expected.shape}; "
                    f"not timed, because contenders must do the same work"
                )
            wrong = given != expected
            if tolerance:
                # The negation also refuses NaN.
                wrong = ~(np.abs(np.subtract(given, expected, dtype=np.float64)) <= tolerance)
            if wrong.any():
                raise BnnError(
                    f"{name} differs from {reference} in {int(wrong.sum())} of {wrong.size} "
                    f"values (tolerance {tolerance:g}); not timed, report this as a bug"
                )

    return check


def calibrate(run: Callable[[], Any], clock: Clock) -> int:
    """Find how many calls take at least :data:`MIN_SAMPLE_SECONDS`; also warms up."""
    run()
    loops = 1
    while True:
        seconds = time_loops(run, loops, clock)
        if seconds >= MIN_SAMPLE_SECONDS:
            return loops
        # A first guess can be far off, so grow by at most 100; 1.2 leaves a margin.
        wanted = 1.2 * MIN_SAMPLE_SECONDS / max(seconds, MIN_SAMPLE_SECONDS / 100)
        loops = max(loops + 1, math.ceil(loops * wanted))


def time_loops(run: Callable[[], Any], loops: int, clock: Clock) -> float:
    """Give the seconds that ``loops`` calls take together."""
    began = clock()
    for _ in range(loops):
        run()
    return clock() - began


def take_turns(
    contenders: Mapping[str, Contender], *, seconds: float, clock: Clock = time.perf_counter
) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Time everyone once a round until the seconds are used, calibration included.

    Gives the loops a sample and the samples (seconds a call) by name. At least
    :data:`MIN_ROUNDS` rounds are made, however long they take.
    """
    deadline = clock() + seconds
    loops = {name: calibrate(c.run, c.clock or clock) for name, c in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    rounds, longest = 0, 0.0
    while rounds < MIN_ROUNDS or (rounds < MAX_ROUNDS and clock() + longest <= deadline):
        began = clock()
        for name, c in contenders.items():
            taken = time_loops(c.run, loops[name], c.clock or clock)
            samples[name].append(taken / loops[name])
        longest = max(longest, clock() - began)
        rounds += 1
    return loops, samples


def check_outputs(case: str, contest: Contest) -> None:
    """Run everyone once and refuse outputs that do not satisfy the contest's check."""
    outputs = {name: c.read(c.run()) for name, c in contest.contenders.items()}
    try:
        contest.check(outputs)
    except BnnError as error:
        raise BnnError(f"bench {case}: {error}", exit_code=error.exit_code) from error


@dataclass(frozen=True)
class Case:
    """A named amount of work; ``build`` makes its operands and contenders when its turn comes.

    ``prepare`` comes before and is not part of the seconds that the case may take.
    """

    name: str
    work: Work
    build: Callable[[], Contest]
    prepare: Callable[[], object] | None = None

    def measure(self, seconds: float, clock: Clock = time.perf_counter) -> CaseResult:
        """Build the contest, check its contenders, then time them, all within ``seconds``."""
        deadline = clock() + seconds
        contest = self.build()
        check_outputs(self.name, contest)
        loops, samples = take_turns(contest.contenders, seconds=deadline - clock(), clock=clock)
        baseline = min(contest.baselines, key=lambda name: statistics.median(samples[name]))
        timings = [
            Timing(
                contender=name,
                seconds=spread(taken),
                ratio=spread([b / t for b, t in zip(samples[baseline], taken, strict=True)]),
                rounds=len(taken),
                loops=loops[name],
                size_bytes=contest.contenders[name].size_bytes,
            )
            for name, taken in samples.items()
        ]
        return CaseResult(self.name, self.work, baseline, tuple(timings), contest.facts)


@dataclass(frozen=True)
class Observation:
    """Something that is watched once instead of raced: ``take`` gives named facts."""

    name: str
    take: Callable[[], Mapping[str, float | str]]
    prepare: Callable[[], object] | None = None

    def measure(self, seconds: float, clock: Clock = time.perf_counter) -> CaseResult:
        """Take the facts; they need the time that they need."""
        return CaseResult(self.name, Work(), "", (), self.take())
