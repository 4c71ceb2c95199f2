"""Exact minimization: random walks over equal circuits, on all cores, until the time is up.

See ``book/decisions/circuits.md``.
"""

from __future__ import annotations

import math
import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit import rebuild, truth_tables
from bnncli.circuit.translation import shared_operations
from bnncli.errors import BnnError, UsageError
from bnncli.minimize.counting import counting_circuit
from bnncli.native.circuits import CELL_SHIFTS, NO_SHIFTS, Walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnncli.circuit import Circuit

TEMPERATURES = (2.0, 1.5, 3.0, 2.5)
"""Temperatures of one walk after the other."""

PATIENCE = 1_500_000
"""Steps without a better circuit after which a walk gives way to another."""

BLOCK_STEPS = 10_000
"""Steps in which a better circuit is found at the same time, wherever time cut them into slices."""

REDUCING_STEPS = 50_000
"""Steps that make the circuit small before a walk looks for operations to share."""

SLICE_SECONDS = 0.02
REPORT_SECONDS = 0.1


COUNTING_TEMPERATURES = (1.0, 0.5, 2.0)
"""The same for walks that share work and begin with adders; colder ones do well from there."""


@dataclass(frozen=True)
class Progress:
    """How far a search is: ``cost`` is the number of gates, or of shared operations."""

    seconds: float
    cost: int
    walks: int
    steps: int


@dataclass(frozen=True, eq=False)
class _Start:
    """Where walks begin: the circuit that was given, or another one of its function."""

    circuit: Circuit
    temperatures: tuple[float, ...]
    reduce: bool
    """Whether gates alone count at first, because too many are shared by nothing."""


def _starts(circuit: Circuit, shared: bool, adders: bool) -> tuple[_Start, ...]:
    """Give the starts that walks take in turn."""
    given = _Start(circuit, TEMPERATURES, reduce=shared)
    counting = counting_circuit(circuit) if adders else None
    if counting is None or not counting.n_gates:
        return (given,)
    temperatures = COUNTING_TEMPERATURES if shared else TEMPERATURES
    return (_Start(counting, temperatures, reduce=False), given)


class _Search:
    """Walks that share what is the best circuit so far; each job is a thread of its own."""

    def __init__(
        self,
        start: Circuit,
        *,
        seed: int,
        jobs: int,
        shared: bool,
        adders: bool,
        stop_at: int,
        steps: float,
    ) -> None:
        self.jobs = jobs
        self._starts, self._seed = _starts(start, shared, adders), seed
        self._shifts = CELL_SHIFTS if shared else NO_SHIFTS
        self._stop_at, self._steps = stop_at, steps
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.best = start
        # The number of the walk settles ties, so that the order of threads does not.
        self._rank = (shared_operations(start) if shared else start.size, -1)
        self._taken = [0] * jobs
        self._walks = 0
        self._began = time.monotonic()

    def progress(self) -> Progress:
        """Tell how far it is."""
        seconds = time.monotonic() - self._began
        with self._lock:
            return Progress(seconds, self._rank[0], self._walks, sum(self._taken))

    def _take(self, walk: Walk, number: int) -> None:
        with self._lock:
            if (walk.cost, number) < self._rank:
                self.best, self._rank = walk.best(), (walk.cost, number)
            if self._rank[0] <= self._stop_at:
                self.stop.set()

    def _advance(self, walk: Walk, job: int, n_steps: int) -> bool:
        """Take steps until the walk meets a better circuit; tell whether the job may go on."""
        slice_steps, target = 16, walk.steps + n_steps
        while walk.steps < target:
            left = self._steps - self._taken[job]
            if self.stop.is_set() or left <= 0:
                return False
            to_block = BLOCK_STEPS - walk.steps % BLOCK_STEPS
            now = int(min(slice_steps, left, target - walk.steps, to_block))
            began, cost = time.monotonic(), walk.cost
            walk.step(now)
            self._taken[job] += now
            slow = time.monotonic() - began > SLICE_SECONDS
            slice_steps = max(1, slice_steps // 2) if slow else 2 * slice_steps
            if walk.cost < cost:
                return True
        return True

    def _walk(self, job: int, number: int) -> None:
        turn, which = divmod(number, len(self._starts))
        start = self._starts[which]
        temperature = start.temperatures[turn % len(start.temperatures)]
        seed = int(np.random.SeedSequence((self._seed, number)).generate_state(1, np.uint64)[0])
        shifts = NO_SHIFTS if start.reduce else self._shifts
        walk = Walk(start.circuit, seed=seed, temperature=temperature, shifts=shifts)
        with self._lock:
            self._walks += 1
        if start.reduce:
            while walk.steps < REDUCING_STEPS:
                if not self._advance(walk, job, REDUCING_STEPS - walk.steps):
                    break
            reduced = walk.best()
            walk = Walk(reduced, seed=seed, temperature=temperature, shifts=self._shifts)
        cost, end = math.inf, 0
        while walk.cost < cost or walk.steps < end:
            if walk.cost < cost:
                cost = walk.cost
                self._take(walk, number)
                # Counted from the end of the block: slices depend on how fast the machine is.
                end = -(-walk.steps // BLOCK_STEPS) * BLOCK_STEPS + PATIENCE
            if not self._advance(walk, job, end - walk.steps):
                break

    def run(self, job: int) -> None:
        """Take walks job, job + jobs, … until all is over."""
        number = job
        while not self.stop.is_set() and self._taken[job] < self._steps:
            self._walk(job, number)
            number += self.jobs


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_equal(start: Circuit, found: Circuit) -> None:
    """Refuse to give a circuit that numpy does not find equal on all rows."""
    if not np.array_equal(truth_tables(start), truth_tables(found)):
        raise BnnError(
            f"minimize: internal error, a circuit of {found.size} gates differs from its start of "
            f"{start.size}; report this with the circuit"
        )


def minimize(
    circuit: Circuit,
    *,
    budget: float,
    seed: int = 0,
    jobs: int = 0,
    shared: bool = False,
    adders: bool = True,
    stop_at: int | None = None,
    steps: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Circuit:
    """Search for a smaller circuit of the same function for ``budget`` seconds; give the best.

    Fewer gates count, or with ``shared`` fewer operations that the cells of an automaton share
    (:func:`bnncli.circuit.translation.shared_operations`). ``jobs`` threads walk, 0 for one on each
    core; each takes at most ``steps``, and if that ends the search its result depends on ``seed``
    and ``jobs`` alone. It ends early at a cost of ``stop_at`` or when ``should_stop`` says so.
    With ``adders`` every other walk of a rule that counts its neighbours begins with sums of rows
    instead of the circuit. The result is compared with the circuit on all rows of the truth table.
    """
    if math.isnan(budget) or jobs < 0:
        raise UsageError(f"budget={budget}, jobs={jobs} given, expected at least 0 of both")
    start = rebuild(circuit)
    if budget <= 0 or not start.n_gates:
        return start
    search = _Search(
        start,
        seed=seed,
        jobs=jobs or available_cores(),
        shared=shared,
        adders=adders,
        stop_at=stop_at or 0,
        steps=math.inf if steps is None else steps,
    )
    _run(search, budget, on_progress, should_stop)
    found = search.best
    _check_equal(start, found)
    return found


def _run(
    search: _Search,
    budget: float,
    on_progress: Callable[[Progress], None] | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    deadline = time.monotonic() + budget
    with ThreadPoolExecutor(search.jobs) as pool:
        try:
            running = [pool.submit(search.run, job) for job in range(search.jobs)]
            while running and (left := deadline - time.monotonic()) > 0:
                ended, _ = wait(running, min(left, REPORT_SECONDS), FIRST_COMPLETED)
                for job in ended:
                    job.result()
                    running.remove(job)
                if on_progress:
                    on_progress(search.progress())
                if should_stop and should_stop():
                    break
        finally:
            # Also after Ctrl-C: no thread outlives the call.
            search.stop.set()
