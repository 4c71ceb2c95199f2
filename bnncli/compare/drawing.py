"""Parts of the figures: styles that need no colour, scales, labels that do not overlap."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnncli.training.curves import PALETTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COLORS = (*PALETTE[:6], PALETTE[7], PALETTE[6])  # yellow last: it is faint on white
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # seven: with eight colours, 56 pairs
LINES = ("-", "--", "-.", (0, (1, 1.2)))
GREY = "#777777"

NAME_WIDTH = 30
"""Characters of a name on one line of a figure."""

LINE_INCHES = 0.155
CHARACTER_INCHES = 0.074
LOG_RATIO = 8.0
"""Errors that differ by more than this get a logarithmic scale."""


@dataclass(frozen=True)
class Drawn:
    """A finished figure: file name without suffix, what it shows in words, and its images."""

    name: str
    caption: str
    alt: str
    svg: bytes
    png: bytes


@contextmanager
def fixed_style() -> Iterator[None]:
    """Draw alike everywhere: matplotlib's defaults, fixed identifiers, text that stays text."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.size": 9,
                "font.family": ["DejaVu Sans"],
                "axes.spines.top": False,
                "axes.spines.right": False,
                "svg.fonttype": "none",
                "svg.hashsalt": "bnn",
                "text.parse_math": False,  # a dollar in a method's name is a dollar
            }
        )
        yield


def new_figure(width: float, height: float) -> Any:
    """Make a figure in inches that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def add_axes(
    figure: Any, left: float, bottom: float, width: float, height: float, **more: Any
) -> Any:
    """Place axes by inches from the lower left corner."""
    full_width, full_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height), **more
    )
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def finish(figure: Any, name: str, caption: str, alt: str) -> Drawn:
    """Render to SVG and PNG; the same figure gives the same bytes."""
    images = {}
    for suffix, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=150, metadata=metadata, facecolor="white")
        images[suffix] = buffer.getvalue()
    return Drawn(name, caption, alt, images["svg"], images["png"])


def wrapped(name: str, width: int = NAME_WIDTH) -> str:
    """Break a name into lines; a word longer than a line is broken too, nothing is left out."""
    return "\n".join(textwrap.wrap(name, width)) or "–"


def lines_in(text: str) -> int:
    """Count the lines of a wrapped name."""
    return text.count("\n") + 1


def text_inches(texts: Sequence[str]) -> float:
    """Estimate the width of the longest line."""
    return CHARACTER_INCHES * max((len(line) for t in texts for line in t.split("\n")), default=0)


def style(index: int) -> dict[str, Any]:
    """Give colour and marker of a method: no two of the first 56 share both."""
    return {
        "color": COLORS[index % len(COLORS)],
        "marker": MARKERS[index % len(MARKERS)],
        "markeredgecolor": "#333333",
        "markeredgewidth": 0.5,
    }


def spread(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Move centres of slots in [0, 1] apart: least squares from where they are wanted.

    Less the room of the slots before it, each centre is an isotonic regression of the wanted ones.
    The sizes add up to at most 1; then no two slots overlap and none leaves the range.
    """
    from scipy.optimize import isotonic_regression

    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], -i))
    before = [0.0, *itertools.accumulate(sizes[i] for i in order)]
    offsets = [start + sizes[i] / 2 for start, i in zip(before, order, strict=False)]
    fitted = isotonic_regression([wanted[i] - o for i, o in zip(order, offsets, strict=True)]).x
    room = max(1.0 - before[-1], 0.0)
    placed = [0.0] * len(wanted)
    for i, offset, value in zip(order, offsets, fitted, strict=True):
        placed[i] = offset + min(max(float(value), 0.0), room)
    return placed


def label_at_side(
    axes: Any, names: Sequence[str], ends: Sequence[tuple[float, float]], styles: Sequence[Any]
) -> None:
    """Write each name right of the axes beside its marker, with a thin line from its point.

    The axes have their limits, and the height that :func:`side_height` asks for.
    """
    texts = [wrapped(name) for name in names]
    height = axes.get_position().height * axes.figure.get_size_inches()[1]
    inside = axes.transAxes.inverted()
    wanted = [min(max(inside.transform(axes.transData.transform(e))[1], 0), 1) for e in ends]
    sizes = [LINE_INCHES * (lines_in(text) + 0.25) / height for text in texts]
    for text, end, y, look in zip(texts, ends, spread(wanted, sizes), styles, strict=True):
        axes.annotate(
            "",
            xy=end,
            xytext=(1.06, y),
            textcoords="axes fraction",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": look["color"],
                "linewidth": 0.6,
                "alpha": 0.7,
                "shrinkA": 0,
                "shrinkB": 2,
            },
        )
        axes.plot(
            [1.06], [y], transform=axes.transAxes, clip_on=False, markersize=5, linestyle="", **look
        )
        axes.text(1.085, y, text, transform=axes.transAxes, va="center", fontsize=8, linespacing=1)


def side_height(names: Sequence[str]) -> float:
    """Give the inches that names need in a column beside the axes."""
    return sum(LINE_INCHES * (lines_in(wrapped(name)) + 0.25) for name in names)


def accuracy_scale(
    axes: Any, which: str, points: Sequence[float], extents: Sequence[float] = ()
) -> str:
    """Scale an axis of accuracies in percent; give what to add to its label.

    Where the errors span more than a factor of eight the scale is logarithmic in the error, so
    that 97 and 98 % stay apart beside a collapse to 10 %. ``extents`` (ends of intervals) widen
    the axis by at most the range of the points on either side.
    """
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

    errors = [100 - value for value in points]
    positive = [error for error in errors if error > 0]
    logarithmic = bool(positive) and max(errors) / min(positive) > LOG_RATIO
    least = min(positive) / 2 if positive else 1.0

    def forward(value: Any) -> Any:
        import numpy as np

        return -np.log10(np.maximum(100.0 - np.asarray(value, dtype=float), least))

    def inverse(value: Any) -> Any:
        import numpy as np

        return 100.0 - np.power(10.0, -np.asarray(value, dtype=float))

    axis = getattr(axes, f"{which}axis")
    if logarithmic:
        getattr(axes, f"set_{which}scale")("function", functions=(forward, inverse))
        low, high = _limits(points, extents, lambda v: float(forward(v)), 0.05)
        low, high = float(inverse(low)), float(inverse(high))
        ticks = [0.0, *(100 - e for e in one_two_five(max(100 - high, 1e-9), 99.0))]
        axis.set_major_locator(FixedLocator(sorted(t for t in ticks if low <= t <= high)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FormatStrFormatter("%.4g"))
    else:
        low, high = _limits(points, extents, float, 0.5)
        edge = 0.02 * (high - low)
        low, high = max(low, -edge), min(high, 100 + edge)
    getattr(axes, f"set_{which}lim")(low, high)
    return ", logarithmic in the error" if logarithmic else ""


def _limits(
    points: Sequence[float],
    extents: Sequence[float],
    forward: Callable[[float], float],
    least: float,
) -> tuple[float, float]:
    inner = [forward(value) for value in points]
    low, high = min(inner), max(inner)
    lack = max(least - (high - low), 0.0) / 2
    low, high = low - lack, high + lack
    span = high - low
    outer = [forward(value) for value in extents] or inner
    low = max(min(*outer, low), low - span)
    high = min(max(*outer, high), high + span)
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def one_two_five(low: float, high: float) -> list[float]:
    """Give 1, 2 and 5 times powers of ten between two positive numbers, both included."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = [digit * 10.0**power for power in range(first, last + 1) for digit in (1, 2, 5)]
    return [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def log_ticks(low: float, high: float) -> list[float]:
    """Give at most about seven ticks for a logarithmic axis."""
    ticks = one_two_five(low, high)
    if len(ticks) > 7:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1.0000")]
    return ticks[:: math.ceil(len(ticks) / 7)] if ticks else []


def log_scale(axes: Any, which: str, values: Sequence[float], zero: float | None = None) -> None:
    """Make an axis logarithmic with plain numbers at its ticks; ``zero`` is where 0 is drawn."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    getattr(axes, f"set_{which}scale")("log")
    low, high = min(values), max(values)
    if high / low < 4:  # a range of 4.8 holds two ticks or more
        middle = math.sqrt(low * high)
        low, high = middle / 2.2, middle * 2.2
    edge = (high / low) ** 0.05
    low, high = low / edge, high * edge
    ticks = log_ticks(low, high)
    texts = [f"{tick:,.10g}" for tick in ticks]
    if zero is not None:
        # Nothing positive lies within a factor of two of where zeros are drawn.
        kept = [(t, text) for t, text in zip(ticks, texts, strict=True) if t > 1.5 * zero]
        ticks, texts = [zero, *(t for t, _ in kept)], ["0", *(text for _, text in kept)]
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(texts))
    axis.set_minor_locator(NullLocator())
    getattr(axes, f"set_{which}lim")(low, high)
