"""Made-up comparisons for the tests of statistics and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.compare.results import CellResult, Comparison, Method

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEMORY = {
    "parameter_bytes": 407_080,
    "buffer_bytes": 2_080,
    "gradient_bytes": 407_080,
    "optimizer_bytes": 814_160,
    "peak_resident_bytes": 412_000_000,
}


def finished(
    method: str, seed: int, accuracy: float, *, data: str = "mnist", epochs: int = 3, **more: Any
) -> CellResult:
    """Make a finished run; ``more`` replaces values of its result."""
    rows = [
        {
            "epoch": epoch,
            "hard_accuracy": accuracy * (1 - 0.3 / (epoch + 1)),
            "flip_rate": 0.05 / (epoch + 1) ** 2,
            "seconds": 2.0,
        }
        for epoch in range(epochs)
    ]
    result = {
        "test_hard_accuracy": accuracy,
        "test_packed_accuracy": accuracy,
        "validation_hard_accuracy": accuracy,
        "best_epoch": epochs - 1,
        "train_seconds": 10.0 + seed,
        "step_seconds": 9.0,
        "validation_seconds": 1.0,
        "memory": dict(MEMORY),
        **more,
    }
    return CellResult(
        method=method,
        data=data,
        seed=seed,
        run=f"runs/{method}-{seed}",
        state="finished",
        wall_seconds=11.0,
        result=result,
        epochs=tuple(rows),
    )


def failed(method: str, seed: int, error: str = "the disk is full; free some") -> CellResult:
    """Make a failed run."""
    return CellResult(method=method, data="mnist", seed=seed, run="", state="failed", error=error)


def compared(cells: Sequence[CellResult], published: Mapping[str, str] | None = None) -> Comparison:
    """Make a comparison of runs; its methods are those of the runs, in their order."""
    figures = published or {}
    names = list(dict.fromkeys(cell.method for cell in cells))
    return Comparison(
        name="table",
        about="A made-up table.",
        budget="3 epochs for every method.",
        methods=tuple(
            Method(name=name, about="made up", published=figures.get(name, ""), note="nowhere")
            for name in names
        ),
        cells=tuple(cells),
        command="bnn compare --preset table",
        environment={"bnn": "0", "cpu": "none"},
        wall_seconds=12.5,
    )


def by_method(
    accuracies: Mapping[str, Sequence[float]], published: Mapping[str, str] | None = None
) -> Comparison:
    """Make a comparison of methods whose seeds 0, 1, … reached the given accuracies."""
    return compared(
        [
            finished(method, seed, value)
            for method, values in accuracies.items()
            for seed, value in enumerate(values)
        ],
        published,
    )
