"""What past runs say: one row each, differences between two, means over seeds."""

from __future__ import annotations

import fnmatch
import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.training.runs import Run


@dataclass(frozen=True)
class RunRow:
    """One run in short; accuracies are of the best epoch, None where not known yet."""

    name: str
    arch: str
    data: str
    weights: str
    activations: str
    seed: int
    epochs_done: int
    epochs: int
    validation_hard_accuracy: float | None
    test_hard_accuracy: float | None
    test_packed_accuracy: float | None
    state: str

    def to_dict(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self)


def run_row(run: Run) -> RunRow:
    """Describe a run in short."""
    settings, rows = run.settings(), run.metrics()
    result = run.read_json("result.json")
    return RunRow(
        name=run.name,
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
        state="finished" if run.finished else "unfinished",
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


def summarize_seeds(runs: Sequence[Run], pattern: str = "*") -> list[SeedSummary]:
    """Group finished runs whose settings differ only in ``train.seed``."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.finished and fnmatch.fnmatchcase(run.name, pattern):
            settings = flat_settings(run)
            settings.pop("train.seed")
            settings.pop("recipe", None)
            groups.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    return [_summary(members) for members in groups.values()]


def _summary(runs: Sequence[Run]) -> SeedSummary:
    settings = runs[0].settings()
    results = [run.read_json("result.json") for run in runs]
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
