"""Run a suite and give everything about it as data: machine, settings, timings, rates."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bnncli.bench.harness import Case, CaseResult, Clock, Observation, Timing, Work
    from bnncli.bench.suites import Suite

SCHEMA = 1
"""Version of the keys of the JSON form."""

RATES = {
    "operations": "operations_per_second",
    "bytes": "bytes_per_second",
    "images": "images_per_second",
    "steps": "steps_per_second",
    "gates": "gates_per_second",
    "cells": "cells_per_second",
}
"""Fields of :class:`Work` and the names of their rates."""


@dataclass(frozen=True)
class Report:
    """One run of a suite."""

    suite: str
    started: str
    machine: dict[str, Any]
    threads: int
    seconds: float
    load_before: tuple[float, ...]
    load_after: tuple[float, ...]
    results: tuple[CaseResult, ...]

    @property
    def float_peak(self) -> float | None:
        """Give the best rate of torch float32 among the cases, in operations a second."""
        reached = [
            rates(result.work, timing)["operations_per_second"]
            for result in self.results
            for timing in result.timings
            if timing.contender.startswith("torch float32") and result.work.operations
        ]
        return max(reached, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, rates included."""
        values = dataclasses.asdict(self)
        values["float_peak"] = self.float_peak
        for plain, result in zip(values["results"], self.results, strict=True):
            for row, timing in zip(plain["timings"], result.timings, strict=True):
                row["rates"] = rates(result.work, timing)
        return values


def rates(work: Work, timing: Timing) -> dict[str, float]:
    """Give each amount of the work that is not zero per second, at the median time."""
    return {
        rate: getattr(work, amount) / timing.seconds.median
        for amount, rate in RATES.items()
        if getattr(work, amount)
    }


def machine_record() -> dict[str, Any]:
    """Give what the numbers depend on: software, processor, kernels."""
    from bnncli.native import available_isas, backend_name
    from bnncli.training.environment import environment

    record = environment()
    del record["threads"]  # part of the report, because each suite sets its own
    return {
        **record,
        "cpus": os.cpu_count(),
        "kernels": backend_name(),
        "isas": available_isas(),
    }


def load_average() -> tuple[float, ...]:
    """Give the mean number of running processes over 1, 5 and 15 minutes; empty if unknown."""
    return tuple(os.getloadavg()) if hasattr(os, "getloadavg") else ()


@contextmanager
def torch_threads(threads: int | None) -> Iterator[int]:
    """Set torch's number of threads (None: leave it), give it, and put it back afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def choose(cases: Sequence[Case | Observation], pattern: str) -> list[Case | Observation]:
    """Keep the cases whose name contains the pattern; ``*``, ``?`` and ``[…]`` are wildcards."""
    chosen = [case for case in cases if fnmatch.fnmatch(case.name, f"*{pattern}*")]
    if not chosen:
        raise UsageError(
            f"--filter {pattern}: no case has such a name; the cases are: "
            f"{', '.join(case.name for case in cases)}"
        )
    return chosen


def _ignore(done: int, total: int, name: str) -> None:
    """Hear of progress and do nothing."""


def run_suite(
    suite: Suite,
    *,
    pattern: str = "",
    seconds: float | None = None,
    threads: int | None = None,
    progress: Callable[[int, int, str], None] = _ignore,
    clock: Clock = time.perf_counter,
) -> Report:
    """Run the suite's cases whose name fits, sharing the seconds among them.

    A case that needs less leaves the rest to those after it. ``progress`` hears the number of
    finished cases, of all cases, and the name of the one that begins.
    """
    limit = suite.seconds if seconds is None else seconds
    if limit <= 0:
        raise UsageError(f"--seconds {limit:g}; give a positive number of seconds")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    machine, load_before = machine_record(), load_average()
    with torch_threads(threads or suite.threads) as used_threads:
        chosen = choose(suite.cases(), pattern)
        deadline = clock() + limit
        results = []
        for index, case in enumerate(chosen):
            progress(index, len(chosen), case.name)
            if case.prepare:
                began = clock()
                case.prepare()
                deadline += clock() - began
            share = max(0.0, deadline - clock()) / (len(chosen) - index)
            results.append(case.measure(share, clock))
    return Report(
        suite=suite.name,
        started=started,
        machine=machine,
        threads=used_threads,
        seconds=limit,
        load_before=load_before,
        load_after=load_average(),
        results=tuple(results),
    )


def write_report(report: Report, path: Path) -> None:
    """Write the report as JSON, whole or not at all."""
    from bnncli.data.files import replacing

    text = json.dumps({"schema": SCHEMA, **report.to_dict()}, indent=2) + "\n"
    try:
        with replacing(path) as part:
            part.write_text(text)
    except OSError as error:
        raise BnnError(
            f"{path}: cannot be written ({error.strerror}); give a file in a folder of your own"
        ) from error
