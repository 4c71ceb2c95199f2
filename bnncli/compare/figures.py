"""The figures of a comparison: accuracy by method, over epochs, against time and bytes; flips."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnncli.compare import drawing
from bnncli.compare.drawing import GREY, Drawn
from bnncli.compare.published import published_on
from bnncli.compare.statistics import accuracy_of, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnncli.compare.results import Comparison
    from bnncli.compare.statistics import Analysis, Summary

TOGETHER = 8
"""Up to this many methods share one pair of axes; more get a small panel each."""

PANEL_COLUMNS = 5
BLUE, ORANGE = drawing.COLORS[0], drawing.COLORS[1]


@dataclass(frozen=True)
class Curve:
    """A quantity over epochs (from 1): mean, least and largest over the seeds of a method."""

    method: str
    epochs: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    style: dict[str, Any]
    line: Any


def draw(comparison: Comparison, analyses: Sequence[Analysis]) -> list[Drawn]:
    """Draw every figure that the runs have numbers for, data set by data set."""
    drawn: list[Drawn | None] = []
    with drawing.fixed_style():
        for analysis in analyses:
            # Files of the only data set need no name of it.
            end = "" if len(analyses) == 1 else f"-{analysis.data}"
            looks = {m.name: drawing.style(i) for i, m in enumerate(comparison.methods)}
            accuracy = _curves(comparison, analysis, "hard_accuracy")
            flips = _curves(comparison, analysis, "flip_rate")
            drawn += [
                _dots(analysis, f"accuracy{end}"),
                _accuracy_over_epochs(analysis, accuracy, f"epochs{end}"),
                _against(analysis, looks, SECONDS, f"seconds{end}"),
                _against(analysis, looks, BYTES, f"bytes{end}"),
                _flips_over_epochs(analysis, flips, f"flips{end}"),
            ]
    return [figure for figure in drawn if figure is not None]


def _curves(comparison: Comparison, analysis: Analysis, key: str) -> list[Curve]:
    """Collect a quantity by method, best method first, over the epochs that all seeds reached."""
    position = {method.name: index for index, method in enumerate(comparison.methods)}
    curves = []
    for summary in analysis.summaries:
        seeds = [
            {
                row["epoch"] + 1: 100 * value
                for row in cell.epochs
                if (value := number(row, key)) is not None
            }
            for cell in comparison.cells
            if (cell.method, cell.data) == (summary.method, summary.data)
            and accuracy_of(cell) is not None
        ]
        epochs = sorted(set.intersection(*(set(seed) for seed in seeds)))
        if epochs:
            columns = [[seed[epoch] for seed in seeds] for epoch in epochs]
            index = position.get(summary.method, 0)
            curves.append(
                Curve(
                    method=summary.method,
                    epochs=epochs,
                    mean=[statistics.fmean(column) for column in columns],
                    low=[min(column) for column in columns],
                    high=[max(column) for column in columns],
                    style=drawing.style(index),
                    line=drawing.LINES[index % len(drawing.LINES)],
                )
            )
    return curves


def _dots(analysis: Analysis, name: str) -> Drawn:
    summaries = analysis.summaries
    texts = [drawing.wrapped(summary.method) for summary in summaries]
    rows = [0.12 + drawing.LINE_INCHES * drawing.lines_in(text) for text in texts]
    total, left = sum(rows), drawing.text_inches(texts) + 0.3
    figure = drawing.new_figure(left + 5.2, total + 0.95)
    axes = drawing.add_axes(figure, left, 0.55, 5.0, total)
    centres = [total - sum(rows[:i]) - rows[i] / 2 for i in range(len(rows))]
    points, extents = [], []
    for summary, y in zip(summaries, centres, strict=True):
        seen, ends = _dot(axes, summary, y)
        points += seen
        extents += ends
    more = drawing.accuracy_scale(axes, "x", points, extents)
    axes.set_xlabel(f"test hard accuracy (%){more}")
    axes.set_yticks(centres, texts, fontsize=8)
    axes.set_ylim(0, total)
    axes.legend(
        handles=_dot_legend(),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        frameon=False,
        fontsize=8,
        borderpad=0.2,
        columnspacing=1.2,
        handletextpad=0.5,
    )
    best, last = summaries[0], summaries[-1]
    return drawing.finish(
        figure,
        name,
        f"Test hard accuracy of each method on {analysis.data}: mean with its 95 % interval, the "
        f"seeds, and the published figure. Intervals may leave the axes.",
        f"Dot plot of {len(summaries)} methods on {analysis.data}, from {best.method} at "
        f"{100 * best.hard.mean:.2f} % down to {last.method} at {100 * last.hard.mean:.2f} %; the "
        f"table has the numbers.",
    )


def _dot(axes: Any, summary: Summary, y: float) -> tuple[list[float], list[float]]:
    """Draw a method's row; give the points that the axis must hold and the interval's ends."""
    seeds = [100 * value for value in summary.accuracies]
    ends = []
    if summary.hard.low is not None and summary.hard.high is not None:
        ends = [100 * summary.hard.low, 100 * summary.hard.high]
        axes.plot(ends, [y, y], color=BLUE, linewidth=1.6, solid_capstyle="butt")
    below = [y - 0.06] * len(seeds)
    axes.plot(seeds, below, linestyle="", marker=".", markersize=4, color=GREY, alpha=0.8)
    axes.plot([100 * summary.hard.mean], [y], marker="o", markersize=5.5, color=BLUE)
    figure = published_on(summary.published, summary.data, only=True)
    if figure is None:
        return seeds, ends
    axes.plot([figure.mean], [y], linestyle="", **HOLLOW)
    return [*seeds, figure.mean], ends


HOLLOW: dict[str, Any] = {
    "marker": "D",
    "markersize": 5.5,
    "markerfacecolor": "none",
    "markeredgecolor": ORANGE,
    "markeredgewidth": 1.3,
}


def _dot_legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=BLUE, marker="o", markersize=5.5, label="mean and 95 % interval"),
        Line2D([], [], linestyle="", color=GREY, marker=".", markersize=4, label="one seed"),
        Line2D([], [], linestyle="", label="published", **HOLLOW),
    ]


def _accuracy_over_epochs(analysis: Analysis, curves: list[Curve], name: str) -> Drawn | None:
    def scale(axes: Any) -> str:
        points = [value for curve in curves for value in curve.mean]
        extents = [value for curve in curves for value in (*curve.low, *curve.high)]
        return "hard accuracy on the\nvalidation set (%)" + drawing.accuracy_scale(
            axes, "y", points, extents
        ).replace(", ", ",\n")

    return _over_epochs(
        analysis,
        curves,
        name,
        scale,
        f"Hard accuracy on the validation set of {analysis.data} after each epoch",
    )


def _flips_over_epochs(analysis: Analysis, curves: list[Curve], name: str) -> Drawn | None:
    positive = [v for c in curves for v in (*c.low, *c.mean, *c.high) if v > 0]
    zeros = any(value <= 0 for curve in curves for value in curve.low)
    floor = min(positive) / 3 if positive else 1.0

    def lifted(values: list[float]) -> list[float]:
        return [value if value > 0 else floor for value in values]

    if positive:
        curves = [
            Curve(
                c.method, c.epochs, lifted(c.mean), lifted(c.low), lifted(c.high), c.style, c.line
            )
            for c in curves
        ]

    def scale(axes: Any) -> str:
        if positive:
            values = [*positive, floor] if zeros else positive
            drawing.log_scale(axes, "y", values, zero=floor if zeros else None)
        else:
            axes.set_ylim(-0.05, 1)
        return "weights that flip\nin an epoch (%)"

    note = ", with zeros on the line marked 0" if zeros and positive else ""
    return _over_epochs(
        analysis,
        curves,
        name,
        scale,
        f"Share of the quantized weights of each epoch that change, on {analysis.data}{note}",
    )


def _over_epochs(
    analysis: Analysis,
    curves: list[Curve],
    name: str,
    scale: Callable[[Any], str],
    what: str,
) -> Drawn | None:
    if not curves:
        return None
    figure = (_shared if len(curves) <= TOGETHER else _panels)(curves, scale)
    reference = "" if len(curves) <= TOGETHER else f" The grey line is {curves[0].method}."
    return drawing.finish(
        figure,
        name,
        f"{what}: mean over the seeds, with a band from the least to the largest.{reference}",
        f"{what}, for {len(curves)} methods over up to {max(c.epochs[-1] for c in curves)} epochs.",
    )


def _shared(curves: list[Curve], scale: Callable[[Any], str]) -> Any:
    names = [curve.method for curve in curves]
    height = max(3.2, drawing.side_height(names) + 0.2)
    side = drawing.text_inches([drawing.wrapped(name) for name in names])
    figure = drawing.new_figure(0.95 + 4.6 + 0.55 + side, height + 0.75)
    axes = drawing.add_axes(figure, 0.95, 0.55, 4.6, height)
    for curve in curves:
        _draw_curve(axes, curve, line=curve.line, markers=8)
    axes.set_ylabel(scale(axes))
    _epoch_axis(axes, curves)
    axes.set_xlabel("epoch")
    ends = [(curve.epochs[-1], curve.mean[-1]) for curve in curves]
    drawing.label_at_side(axes, names, ends, [curve.style for curve in curves])
    return figure


def _panels(curves: list[Curve], scale: Callable[[Any], str]) -> Any:
    titles = [drawing.wrapped(curve.method, 25) for curve in curves]
    rows = math.ceil(len(curves) / PANEL_COLUMNS)
    gap = 0.2 + 0.13 * max(drawing.lines_in(title) for title in titles)
    width, height, left = 1.5, 1.05, 0.95
    figure = drawing.new_figure(left + PANEL_COLUMNS * (width + 0.2), rows * (height + gap) + 0.6)
    for index, (curve, title) in enumerate(zip(curves, titles, strict=True)):
        row, column = divmod(index, PANEL_COLUMNS)
        bottom = 0.55 + (rows - 1 - row) * (height + gap)
        axes = drawing.add_axes(figure, left + column * (width + 0.2), bottom, width, height)
        axes.plot(curves[0].epochs, curves[0].mean, color=GREY, linewidth=0.9, linestyle="--")
        _draw_curve(axes, curve)
        axes.set_title(title, fontsize=7, loc="left", pad=3, linespacing=1)
        axes.tick_params(labelsize=7)
        label = scale(axes)
        _epoch_axis(axes, curves)
        if column == 0:
            axes.set_ylabel(label, fontsize=7)
        else:
            axes.tick_params(labelleft=False)
        if index + PANEL_COLUMNS >= len(curves):
            axes.set_xlabel("epoch", fontsize=7)
        else:
            axes.tick_params(labelbottom=False)
    return figure


def _draw_curve(axes: Any, curve: Curve, *, line: Any = "-", markers: int = 4) -> None:
    axes.fill_between(
        curve.epochs, curve.low, curve.high, color=curve.style["color"], alpha=0.18, linewidth=0
    )
    axes.plot(
        curve.epochs,
        curve.mean,
        linestyle=line,
        linewidth=1.4,
        markersize=4,
        markevery=max(1, len(curve.epochs) // markers),
        **curve.style,
    )


def _epoch_axis(axes: Any, curves: list[Curve]) -> None:
    from matplotlib.ticker import MaxNLocator

    last = max(curve.epochs[-1] for curve in curves)
    margin = max(0.3, 0.03 * last)
    axes.set_xlim(1 - margin, last + margin)
    axes.xaxis.set_major_locator(
        MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10], min_n_ticks=1)
    )


@dataclass(frozen=True)
class Cost:
    """What accuracy is held against: its value, the axis label, and whether x is logarithmic."""

    value: Callable[[Summary], float | None]
    label: str
    logarithmic: bool


SECONDS = Cost(lambda s: None if s.seconds is None else s.seconds.mean, "training time (s)", False)
BYTES = Cost(
    lambda s: None if s.state_bytes is None else s.state_bytes / 1024,
    "bytes of parameters and optimizer state (KiB)",
    True,
)


def _against(
    analysis: Analysis, looks: dict[str, dict[str, Any]], cost: Cost, name: str
) -> Drawn | None:
    shown = [(s, x) for s in analysis.summaries if (x := cost.value(s)) is not None and x > 0]
    if not shown:
        return None
    names, xs = [summary.method for summary, _ in shown], [x for _, x in shown]
    styles = [looks.get(method, drawing.style(0)) for method in names]
    height = max(3.2, drawing.side_height(names) + 0.2)
    side = drawing.text_inches([drawing.wrapped(method) for method in names])
    figure = drawing.new_figure(0.95 + 4.6 + 0.55 + side, height + 0.75)
    axes = drawing.add_axes(figure, 0.95, 0.55, 4.6, height)
    means = [100 * summary.hard.mean for summary, _ in shown]
    extents = []
    for (summary, x), look in zip(shown, styles, strict=True):
        if summary.hard.low is not None and summary.hard.high is not None:
            ends = [100 * summary.hard.low, 100 * summary.hard.high]
            extents += ends
            axes.plot([x, x], ends, color=look["color"], linewidth=1.2, alpha=0.8)
        axes.plot([x], [100 * summary.hard.mean], markersize=6.5, linestyle="", zorder=3, **look)
    more = drawing.accuracy_scale(axes, "y", means, extents).replace(", ", ",\n")
    axes.set_ylabel(f"test hard accuracy (%){more}")
    if cost.logarithmic or max(xs) / min(xs) > 20:
        drawing.log_scale(axes, "x", xs)
    else:
        axes.set_xlim(0, 1.06 * max(xs))
    axes.set_xlabel(cost.label)
    drawing.label_at_side(axes, names, list(zip(xs, means, strict=True)), styles)
    absent = [s.method for s in analysis.summaries if s.method not in names]
    tail = f" Not measured: {', '.join(absent)}." if absent else ""
    return drawing.finish(
        figure,
        name,
        f"Test hard accuracy on {analysis.data} against {cost.label}; bars are 95 % intervals of "
        f"the mean.{tail}",
        f"Scatter plot of test hard accuracy against {cost.label} for {len(names)} methods on "
        f"{analysis.data}; the table has the numbers.",
    )
