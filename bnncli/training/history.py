"""What past runs say: one row each, differences between two, means over seeds."""

from __future__ import annotations

import fnmatch
import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.training.runs import Run


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run in short; accuracies are of the best epoch, None where not known."""

    name: str
    state: str
    arch: str | None = None
    data: str | None = None
    weights: str | None = None
    activations: str | None = None
    seed: int | None = None
    epochs_done: int | None = None
    epochs: int | None = None
    validation_hard_accuracy: float | None = None
    test_hard_accuracy: float | None = None
    test_packed_accuracy: float | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self)


def run_row(run: Run) -> RunRow:
    """Describe a run in short; one with a damaged file is ``unreadable`` and says why."""
    try:
        settings, rows, result = run.settings(), run.metrics(), run.result()
    except BnnError as error:
        return RunRow(name=run.name, state="unreadable", problem=str(error))
    return RunRow(
        name=run.name,
        state="finished" if run.finished else "unfinished",
        arch=settings.model.arch,
        data=settings.data.name,
        weights=settings.model.weights or "float",
        activations=settings.model.activations or "float",
        seed=settings.train.seed,
        epochs_done=len(rows),
        epochs=settings.train.epochs,
        validation_hard_accuracy=max((row["hard_accuracy"] for row in rows), default=None),
        test_hard_accuracy=result.get("test_hard_accuracy"),
        test_packed_accuracy=result.get("test_packed_accuracy"),
    )


def flat_settings(run: Run) -> dict[str, Any]:
    """Give a run's settings as ``section.name`` keys."""
    flat: dict[str, Any] = {}
    for section, values in run.settings().to_dict().items():
        if isinstance(values, dict):
            flat |= {f"{section}.{name}": value for name, value in values.items()}
        else:
            flat[section] = values
    return flat


def settings_that_differ(first: Run, second: Run) -> dict[str, tuple[Any, Any]]:
    """Give the settings in which two runs differ, with both values; None where unset."""
    a, b = flat_settings(first), flat_settings(second)
    names = [*a, *(name for name in b if name not in a)]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}


@dataclass(frozen=True)
class SeedSummary:
    """Runs that differ in their seed alone; the deviation is that of a sample, None for one run."""

    label: str
    data: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    mean_test_hard_accuracy: float
    deviation: float | None
    mean_train_seconds: float


def summarize_seeds(
    runs: Sequence[Run], pattern: str = "*"
) -> tuple[list[SeedSummary], list[RunRow]]:
    """Group finished runs whose settings differ only in ``train.seed``; give unreadable ones too."""
    groups: dict[str, list[Run]] = {}
    unreadable = []
    for run in runs:
        if not fnmatch.fnmatchcase(run.name, pattern):
            continue
        row = run_row(run)
        if row.problem is not None:
            unreadable.append(row)
        elif run.finished:
            settings = flat_settings(run)
            settings.pop("train.seed")
            settings.pop("recipe", None)
            groups.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    return [_summary(members) for members in groups.values()], unreadable


def _summary(runs: Sequence[Run]) -> SeedSummary:
    settings = runs[0].settings()
    results = [run.result() for run in runs]
    accuracies = [result["test_hard_accuracy"] for result in results]
    return SeedSummary(
        label=settings.recipe or runs[0].name,
        data=settings.data.name,
        runs=tuple(run.name for run in runs),
        seeds=tuple(run.settings().train.seed for run in runs),
        mean_test_hard_accuracy=statistics.fmean(accuracies),
        deviation=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        mean_train_seconds=statistics.fmean(result["train_seconds"] for result in results),
    )
