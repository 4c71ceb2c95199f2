"""Training curves as a figure: loss on the left, hard validation accuracy on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Okabe & Ito 2008: told apart by readers with any colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
SUFFIXES = (".png", ".svg", ".pdf")


def plot_curves(metrics: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Draw the epoch records of one or more runs, by label, to an image file."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: give a figure's name that ends in {', '.join(SUFFIXES)}")
    if not any(metrics.values()):
        raise BnnError(f"{', '.join(metrics)}: no epoch has finished yet; nothing to plot")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from bnncli.data.files import replacing

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for index, (label, rows) in enumerate(metrics.items()):
        color = PALETTE[index % len(PALETTE)]
        epochs = [row["epoch"] + 1 for row in rows]
        accuracies = [100 * row["hard_accuracy"] for row in rows]
        left.plot(epochs, [row["loss"] for row in rows], color=color, marker=".", label=label)
        right.plot(epochs, accuracies, color=color, marker=".", label=label)
    left.set_ylabel("training loss")
    right.set_ylabel("hard validation accuracy (%)")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    right.legend(fontsize="small")
    # The same curves give the same file: no date, and identifiers that do not change.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with replacing(path) as part, rc_context({"svg.hashsalt": "bnn"}):
        figure.savefig(part, format=path.suffix[1:], dpi=150, metadata=dates.get(path.suffix))
