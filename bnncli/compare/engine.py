"""Spread the cells of a matrix over workers, and outlive a worker that is killed.

The engines are joblib's: ``local`` runs in this process or in workers on this machine, ``dask`` and
``ray`` on the workers of a scheduler.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bnncli.errors import BnnError, UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bnncli.compare.results import Cell, CellResult
    from bnncli.compare.runner import Conditions

ENGINES = ("local", "dask", "ray")
SECONDS_TO_CONNECT = 15


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where cells run: ``jobs`` of them at once here, or on the workers of a scheduler."""

    name: str = "local"
    jobs: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise unknown_name("engine", self.name, ENGINES)
        if self.name == "local" and self.scheduler is not None:
            raise UsageError(
                f"--scheduler {self.scheduler}: engine local has none; give --engine dask or ray"
            )
        if self.name != "local" and self.scheduler is None:
            raise UsageError(f"--engine {self.name}: give the address with --scheduler ADDRESS")
        if self.name != "local" and self.jobs != 1:
            raise UsageError(
                f"--jobs {self.jobs} with --engine {self.name}: its workers say how many runs go "
                f"at once; drop --jobs"
            )

    @property
    def in_workers(self) -> bool:
        """Tell whether cells run in other processes than this one."""
        return self.name != "local" or self.jobs > 1


@dataclass(frozen=True)
class Died:
    """Stand for the result of work whose worker was killed."""

    error: BaseException


class Pool(Protocol):
    """Something that does work on items.

    Where a killed worker takes the others with it, one of ``died`` is raised; where they go on,
    the result of its item is :class:`Died`.
    """

    died: tuple[type[BaseException], ...]
    jobs: int

    def each(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Give the index and the result of each item as they come."""

    def alone(self, work: Callable[[Any], Any], item: Any) -> Any:
        """Do one piece of work in a worker while no other runs."""


class InProcess:
    """Do the work here, one after another (a Pool)."""

    died: tuple[type[BaseException], ...] = ()
    jobs = 1

    def each(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Give the index and the result of each item in order."""
        return ((index, work(item)) for index, item in enumerate(items))

    def alone(self, work: Callable[[Any], Any], item: Any) -> Any:
        """Do the work."""
        return work(item)


class JoblibPool:
    """Do the work in joblib's workers (a Pool); joblib's configuration is that around the call."""

    def __init__(self, jobs: int, died: tuple[type[BaseException], ...], *, streams: bool) -> None:
        self.jobs = jobs
        self.died = died
        self.streams = streams

    def each(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Give the index and the result of each item as they come."""
        return self._run(work, items, self.jobs)

    def alone(self, work: Callable[[Any], Any], item: Any) -> Any:
        """Do one piece of work; joblib with one job would do it in this process."""
        ((_, result),) = self._run(work, [item], 2)
        return result

    def _run(
        self, work: Callable[[Any], Any], items: Sequence[Any], jobs: int
    ) -> Iterator[tuple[int, Any]]:
        import joblib

        parallel = joblib.Parallel(
            n_jobs=jobs,
            batch_size=1,
            return_as="generator_unordered" if self.streams else "list",
        )
        tasks = (joblib.delayed(_indexed)(work, index, item) for index, item in enumerate(items))
        results: Iterable[tuple[int, Any]] = parallel(tasks)
        return iter(results)


def _indexed(work: Callable[[Any], Any], index: int, item: Any) -> tuple[int, Any]:
    return index, work(item)


@contextmanager
def open_pool(engine: Engine, threads: int | None) -> Iterator[Pool]:
    """Start or reach the engine's workers; one that is missing is an error in one line."""
    if engine.name == "dask":
        from bnncli.compare.cluster import dask_pool

        assert engine.scheduler is not None
        with dask_pool(engine.scheduler) as pool:
            yield pool
    elif engine.name == "ray":
        from bnncli.compare.cluster import ray_pool

        assert engine.scheduler is not None
        with ray_pool(engine.scheduler) as pool:
            yield pool
    elif engine.jobs == 1:
        yield InProcess()
    else:
        import joblib
        from joblib.externals.loky.process_executor import BrokenProcessPool

        with joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
            yield JoblibPool(engine.jobs, (BrokenProcessPool,), streams=True)


def run_cells(
    cells: Sequence[Cell],
    work: Callable[[Cell], CellResult],
    pool: Pool,
    conditions: Conditions,
) -> Iterator[tuple[int, CellResult]]:
    """Give the index and the result of each cell as they come.

    When a worker is killed, the cells that were under way run again one at a time; one that kills
    its worker again has failed. After a request to stop, what did not run is ``stopped``.
    """
    waiting = dict(enumerate(cells))
    suspects: list[int] = []
    deaths_without_mark = 0
    while len(waiting) > len(suspects):
        order = [index for index in waiting if index not in suspects]
        try:
            for position, result in pool.each(work, [waiting[index] for index in order]):
                index = order[position]
                if isinstance(result, Died):
                    suspects.append(index)
                else:
                    del waiting[index]
                    yield index, result
        except pool.died as error:
            if conditions.stop_file.exists():
                break
            suspects = [index for index in waiting if conditions.mark(waiting[index]).exists()]
            deaths_without_mark = 0 if suspects else deaths_without_mark + 1
            if deaths_without_mark > 1:
                raise BnnError(
                    f"workers die before any run starts ({killed_by(error)}); give fewer --jobs"
                ) from error
        for index in suspects:
            yield index, _again(waiting.pop(index), work, pool, conditions)
        suspects = []
    from bnncli.compare.runner import STOPPED, result_of

    for index, cell in waiting.items():
        yield index, result_of(cell, conditions, "stopped", STOPPED)


def _again(
    cell: Cell, work: Callable[[Cell], CellResult], pool: Pool, conditions: Conditions
) -> CellResult:
    """Run a cell while no other runs; one whose worker is killed again has failed."""
    from bnncli.compare.runner import STOPPED, result_of

    try:
        result: CellResult | Died = pool.alone(work, cell)
    except pool.died as error:
        result = Died(error)
    if not isinstance(result, Died):
        return result
    conditions.mark(cell).unlink(missing_ok=True)
    if conditions.stop_file.exists():
        return result_of(cell, conditions, "stopped", STOPPED)
    why = f"its worker was killed ({killed_by(result.error)})"
    return result_of(cell, conditions, "failed", why)


def killed_by(error: BaseException) -> str:
    """Say which signal ended a worker, as far as the engine tells."""
    found = re.search(r"SIG\w+\(-(\d+)\)", str(error))
    if found is None:
        return "its process is gone: out of memory?"
    number = int(found[1])
    return f"signal {number}: out of memory?" if number == 9 else f"signal {number}"
