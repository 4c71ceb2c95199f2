"""Read a table of runs back into a comparison, to analyze it without the runs."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from bnncli.compare.results import CellResult, Comparison, Method
from bnncli.compare.tables import MEMORY_FIELDS, RUN_FIELDS
from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

NEEDED = ("method", "data", "seed", "state", "test_hard_accuracy", "epochs")
WHOLE = frozenset({"best_epoch", "packed_bytes", *MEMORY_FIELDS})


def read_runs(path: Path, *, methods: Collection[str] | None = None) -> Comparison:
    """Read what ``runs_csv`` wrote: every run, or those of the given methods alone.

    A table has only the flip rate of a run's last epoch, so ``epochs`` has one row an epoch of which
    the last one tells it; what was published and how the runs were made is not in a table.

    Raises:
        BnnError: a file that is not such a table.
        UsageError: a method that the table does not have.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BnnError(f"{path}: cannot be read ({error}); give a runs.csv") from error
    if not rows or not set(NEEDED) <= set(rows[0]):
        raise BnnError(
            f"{path}: not a table of runs with {', '.join(NEEDED)}; give the runs.csv of a "
            f"comparison"
        )
    names = list(dict.fromkeys(row["method"] for row in rows))
    wanted = names if methods is None else list(methods)
    for name in wanted:
        if name not in names:
            raise UsageError(f"{path}: has no method {name!r}; expected of {', '.join(names)}")
    try:
        cells = tuple(_cell(row) for row in rows if row["method"] in wanted)
    except (TypeError, ValueError) as error:
        raise BnnError(f"{path}: a damaged row ({error}); write the table again") from error
    kept = tuple(Method(name=name) for name in names if name in wanted)
    about = "runs read from a table"
    return Comparison(name=path.stem, about=about, budget="", methods=kept, cells=cells, command="")


def _cell(row: dict[str, str]) -> CellResult:
    result: dict[str, Any] = {name: _number(row, name) for name in RUN_FIELDS if row.get(name)}
    memory = {name: _number(row, name) for name in MEMORY_FIELDS if row.get(name)}
    if memory:
        result["memory"] = memory
    epochs: list[dict[str, Any]] = [{"epoch": epoch} for epoch in range(int(row["epochs"]))]
    if epochs and row.get("last_flip_rate"):
        epochs[-1]["flip_rate"] = float(row["last_flip_rate"])
    return CellResult(
        method=row["method"],
        data=row["data"],
        seed=int(row["seed"]),
        run=row.get("run", ""),
        state=row["state"],
        error=row.get("error") or None,
        reused=row.get("reused") == "True",
        wall_seconds=float(row.get("wall_seconds") or 0),
        result=result,
        epochs=tuple(epochs),
    )


def _number(row: dict[str, str], name: str) -> float:
    return int(row[name]) if name in WHOLE else float(row[name])
