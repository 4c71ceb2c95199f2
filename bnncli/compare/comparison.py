"""A comparison from its matrix to its results: check, share the budget out, run, collect."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bnncli.compare.budget import calibrate, naming, share_of, timed
from bnncli.compare.engine import Died, killed_by, open_pool, run_cells
from bnncli.compare.results import Cell, CellResult, Comparison
from bnncli.compare.runner import FAILURES, one_line, run_cell, stop_file_on_signals
from bnncli.errors import BnnError
from bnncli.native import backend_name
from bnncli.training.building import pick_device
from bnncli.training.environment import environment
from bnncli.training.runs import settings_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnncli.compare.budget import Share
    from bnncli.compare.engine import Engine, Pool
    from bnncli.compare.folder import Folder
    from bnncli.compare.matrix import Matrix
    from bnncli.compare.runner import Conditions

STOPPED = 130


@dataclass
class Watcher:
    """Whoever wants to see a comparison pass; by default nobody."""

    on_plan: Callable[[int], None] = field(default=lambda n_cells: None)
    on_start: Callable[[Cell], None] = field(default=lambda cell: None)
    on_result: Callable[[CellResult], None] = field(default=lambda result: None)


def plan(matrix: Matrix, conditions: Conditions) -> list[Share]:
    """Check every method on every data set before anything is trained or written."""
    pick_device(conditions.device)
    return [
        share_of(matrix, method, data, conditions)
        for data in matrix.data
        for method in matrix.methods
    ]


def cells_of(matrix: Matrix, shares: Sequence[Share]) -> list[Cell]:
    """List the runs: seed after seed, so that a comparison cut short has as many of each method."""
    return [
        Cell(
            method=share.method,
            settings=replace(
                share.settings, train=replace(share.settings.train, seed=seed), recipe=None
            ),
        )
        for data in matrix.data
        for seed in matrix.seeds
        for share in shares
        if share.settings.data.name == data
    ]


def compare(
    matrix: Matrix,
    folder: Folder,
    conditions: Conditions,
    engine: Engine,
    *,
    force: bool = False,
    watcher: Watcher | None = None,
) -> Comparison:
    """Run a matrix, or what is left of it, and collect what every run reached."""
    began = time.perf_counter()
    watcher = watcher or Watcher()
    folder.check(matrix, force=force)
    shares = plan(matrix, conditions)
    with (
        open_pool(engine, conditions.threads) as pool,
        folder.opened(matrix, force=force),
        stop_file_on_signals(conditions.stop_file),
    ):
        if matrix.budget.kind == "seconds":
            shares = share_time(shares, matrix.budget.amount, folder, pool, conditions)
        results = run_all(cells_of(matrix, shares), pool, conditions, watcher)
    rank = {method.name: index for index, method in enumerate(matrix.methods)}
    results.sort(key=lambda cell: (matrix.data.index(cell.data), rank[cell.method]))
    return Comparison(
        name=matrix.name,
        about=matrix.about,
        budget=str(matrix.budget),
        methods=tuple(method.method for method in matrix.methods),
        cells=tuple(results),
        command=conditions.command,
        environment={**environment(), **_manner(engine, pool, conditions)},
        wall_seconds=time.perf_counter() - began,
        cell_seconds=sum(cell.wall_seconds for cell in results),
        shares=tuple(share.to_dict() for share in shares),
    )


def _manner(engine: Engine, pool: Pool, conditions: Conditions) -> dict[str, Any]:
    manner: dict[str, Any] = {
        "kernels": backend_name(),
        "device": str(pick_device(conditions.device)),
        "engine": engine.name,
        "jobs": pool.jobs,
    }
    if conditions.threads is not None:
        manner["threads"] = conditions.threads
    return manner


def run_all(
    cells: Sequence[Cell], pool: Pool, conditions: Conditions, watcher: Watcher
) -> list[CellResult]:
    """Run each different setting once; cells with equal settings share the run."""
    first: dict[str, int] = {}
    for index, cell in enumerate(cells):
        first.setdefault(settings_hash(cell.settings), index)
    watcher.on_plan(len(first))
    originals = [cells[index] for index in first.values()]

    def work_here(cell: Cell) -> CellResult:
        watcher.on_start(cell)
        return run_cell(cell, conditions)

    # What a worker does must travel to it; here the watcher can hear of the start too.
    work = partial(run_cell, conditions=conditions) if conditions.in_worker else work_here
    reached: dict[str, CellResult] = {}
    for index, result in run_cells(originals, work, pool, conditions):
        reached[settings_hash(originals[index].settings)] = result
        watcher.on_result(result)
    results = []
    for index, cell in enumerate(cells):
        key = settings_hash(cell.settings)
        result = reached[key]
        if first[key] != index:
            result = replace(result, method=cell.method, reused=True, wall_seconds=0.0)
        results.append(result)
    return results


def share_time(
    shares: Sequence[Share], seconds: float, folder: Folder, pool: Pool, conditions: Conditions
) -> list[Share]:
    """Give each method the epochs that its seconds buy, by times measured once and kept."""
    measured = folder.epoch_seconds()
    missing = [share for share in shares if _key(share) not in measured]
    work = partial(_measure, conditions=conditions)
    try:
        for index, outcome in pool.each(work, missing):
            with naming(missing[index].method, missing[index].settings.data.name):
                if isinstance(outcome, Died):
                    raise BnnError(f"its worker was killed ({killed_by(outcome.error)})")
                if isinstance(outcome, str):
                    raise BnnError(f"cannot be timed: {outcome}")
            if outcome is not None:
                measured[_key(missing[index])] = outcome
    except pool.died as error:
        if not conditions.stop_file.exists():
            raise BnnError(
                f"a worker was killed while epochs were timed ({killed_by(error)}); "
                f"give fewer --jobs"
            ) from error
    finally:
        if measured:
            folder.save_epoch_seconds(measured)
    if any(_key(share) not in measured for share in shares):
        raise BnnError("stopped before any run; go on with the same command", exit_code=STOPPED)
    return [timed(share, seconds, measured[_key(share)]) for share in shares]


def _key(share: Share) -> str:
    return f"{share.method} on {share.settings.data.name}"


def _measure(share: Share, conditions: Conditions) -> float | str | None:
    """Time an epoch; text says why that failed, None that somebody asked to stop."""
    if conditions.stop_file.exists():
        return None
    try:
        return calibrate(share.settings, conditions)
    except FAILURES as error:
        return one_line(error)
