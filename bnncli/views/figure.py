"""Gates as a figure: functions, live gates and confidence, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.compare.drawing import add_axes, fixed_style, new_figure, text_inches
from bnncli.data.files import replacing
from bnncli.errors import UsageError
from bnncli.gates import declared_gates
from bnncli.training.curves import SUFFIXES
from bnncli.views.functions import FAMILIES, FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bnncli.views.gates import GateLayer, GateView

LEFT, RIGHT, BOTTOM, GAP, TOP = 0.75, 1.6, 0.6, 0.28, 0.4
FUNCTIONS_HEIGHT, COUNTS_HEIGHT, CONFIDENCE_HEIGHT = 2.6, 1.2, 1.6
BINS = 25
MAX_TICKS = 30
DARK = "#0072B2"


def check_figure_name(path: Path) -> None:
    """Refuse a name that says no kind of figure."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: give a figure's name that ends in {', '.join(SUFFIXES)}")


def draw_gates(view: GateView, path: Path) -> None:
    """Draw the layers side by side: shares of functions above counts above confidence."""
    check_figure_name(path)
    layers = view.layers
    relaxed = all(layer.relaxed is not None for layer in layers)
    heights = [FUNCTIONS_HEIGHT, COUNTS_HEIGHT, *([CONFIDENCE_HEIGHT] if relaxed else [])]
    plot_width = min(9.0, max(3.4, 0.32 * len(layers)))
    names, title = _names(layers)
    bottom_edge = BOTTOM if title else 0.25 + text_inches([name for _, name in names])
    total = bottom_edge + TOP + sum(heights) + GAP * (len(heights) - 1)
    with fixed_style():
        figure = new_figure(LEFT + plot_width + RIGHT, total)
        bottoms = [
            bottom_edge + sum(h + GAP for h in heights[i + 1 :]) for i in range(len(heights))
        ]
        axes = [
            add_axes(figure, LEFT, bottom, plot_width, height)
            for bottom, height in zip(bottoms, heights, strict=True)
        ]
        draw_functions(axes[0], layers)
        _counts(axes[1], layers)
        if relaxed:
            _confidence(axes[2], layers)
        axes[0].set_title(
            f"{declared_gates(view.declared)}, {view.live:,} live", loc="left", fontsize=10
        )
        _name_layers(axes, len(layers), names, title)
        figure.align_ylabels(axes)
        dates: dict[str, dict[str, Any]] = {
            ".svg": {"Date": None, "Creator": None},
            ".pdf": {"CreationDate": None},
        }
        with replacing(path) as part:
            figure.savefig(
                part,
                format=path.suffix[1:],
                dpi=150,
                metadata=dates.get(path.suffix),
                facecolor="white",
            )


def draw_functions(axes: Any, layers: Sequence[GateLayer], *, legend: bool = True) -> None:
    """Stack the shares of the sixteen functions; the legend lists them as they are stacked."""
    x = np.arange(len(layers))
    percent = np.array([100 * layer.counts / layer.counts.sum() for layer in layers])
    base = np.zeros(len(layers))
    handles = {}
    for function in FUNCTIONS:
        share = percent[:, function.table]
        handles[function.table] = axes.bar(
            x, share, 0.86, base, color=function.color, edgecolor="white", linewidth=0.3
        )
        base += share
    axes.set_ylim(0, 100)
    axes.set_ylabel("share of gates (%)")
    axes.grid(visible=False)
    if legend:
        _name_functions(axes, handles)


def _name_functions(axes: Any, handles: dict[int, Any]) -> None:
    """List the functions right of the axes, from the top of the stack to its bottom."""
    shown: list[tuple[Any, str]] = []
    for family in FAMILIES[::-1]:
        shown += [(handles[f.table], f.name) for f in family.functions[::-1]]
    axes.legend(
        [handle for handle, _ in shown],
        [name for _, name in shown],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.04),
        fontsize=7.5,
        frameon=False,
        handlelength=1.2,
        labelspacing=0.28,
        title="function of a and b",
        title_fontsize=8,
        alignment="left",
    )


def _counts(axes: Any, layers: Sequence[GateLayer]) -> None:
    """Draw how many gates each layer has, and how many of them are live."""
    x = np.arange(len(layers))
    axes.bar(
        x, [len(layer.tables) for layer in layers], 0.86, color="#d0d0d0", label="in the layer"
    )
    known = [i for i, layer in enumerate(layers) if layer.live is not None]
    live = [int(layers[i].live.sum()) for i in known]  # type: ignore[union-attr]
    if known:
        axes.bar(np.array(known), live, 0.86, color=DARK, label="live")
    axes.set_ylabel("gates")
    axes.grid(visible=False, axis="x")
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.06), fontsize=8, frameon=False, handlelength=1.2
    )


def _confidence(axes: Any, layers: Sequence[GateLayer]) -> None:
    """Draw a histogram of confidence as a column for each layer, darker where more gates are."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    every = np.concatenate([layer.relaxed.confidence for layer in layers if layer.relaxed])
    # Entries that are rounded one by one are never less sure than a half.
    lowest = 0.5 if every.min() >= 0.5 - 1e-6 else 0.0
    edges = np.linspace(lowest, 1, BINS + 1)
    columns = [
        np.histogram(np.clip(layer.relaxed.confidence, lowest, 1), edges)[0] / len(layer.tables)
        for layer in layers
        if layer.relaxed is not None
    ]
    colors = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#a6d4f2", DARK, "#00263d"])
    x = np.arange(len(layers) + 1) - 0.5
    # The root of the share, so that a few gates still show.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    shade = axes.pcolormesh(x, edges, np.array(columns).T, cmap=colors, norm=norm)
    means = [float(layer.relaxed.confidence.mean()) for layer in layers if layer.relaxed]
    axes.plot(
        np.arange(len(layers)), means, "o", color="#D55E00", markersize=4, label="mean of the layer"
    )
    axes.set_ylim(lowest, 1)
    axes.set_ylabel("confidence")
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.06), fontsize=8, frameon=False, handlelength=1.2
    )
    inset = axes.inset_axes((1.05, 0.12, 0.03, 0.6))
    axes.figure.colorbar(shade, cax=inset, ticks=[0, 0.1, 0.5, 1])
    inset.set_ylabel("share of gates", fontsize=8)
    inset.tick_params(labelsize=7)


def _names(layers: Sequence[GateLayer]) -> tuple[list[tuple[int, str]], str]:
    """Choose which layers are named at the axis, and its title; a title where numbers will do."""
    every = -(-len(layers) // MAX_TICKS)
    names = [(i, layers[i].name) for i in range(0, len(layers), every)]
    for prefix, title in (("gates", "layer"), ("level ", "level")):
        numbers = [(i, name.removeprefix(prefix)) for i, name in names]
        if all(number.isdecimal() for _, number in numbers):
            return numbers, title
    return names, ""


def _name_layers(
    axes: Sequence[Any], n_layers: int, names: Sequence[tuple[int, str]], title: str
) -> None:
    """Write the names under the lowest axes, upright where they are words."""
    ticks = [i for i, _ in names]
    for each in axes:
        each.set_xlim(-0.6, n_layers - 0.4)
        each.set_xticks(ticks, [""] * len(ticks))
    axes[-1].set_xticks(ticks, [name for _, name in names], rotation=0 if title else 90)
    axes[-1].set_xlabel(title)
