"""Gates as text: bars of functions for each layer, and a row for each gate of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from bnncli.gates import GATE_NAMES, table_entries
from bnncli.views.functions import FAMILIES, FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bnncli.views.functions import Function
    from bnncli.views.gates import GateLayer

SHADES = " ░▒▓█"
ON_DARK = 0x80
"""Below this brightness of a colour its sign is written in white."""


def shares(counts: NDArray[np.int64], width: int) -> list[int]:
    """Share ``width`` characters out among functions: largest remainders first."""
    exact = counts * width / max(1, counts.sum())
    cells = np.floor(exact).astype(int)
    rest = np.argsort(cells - exact, kind="stable")[: width - cells.sum()]
    cells[rest] += 1
    return [int(n) for n in cells]


def bar(layer: GateLayer, width: int) -> Text:
    """Draw the functions of a layer as a bar, each with its sign on its colour."""
    counts = layer.counts[[function.table for function in FUNCTIONS]]
    text = Text()
    for function, cells in zip(FUNCTIONS, shares(counts, width), strict=True):
        text.append(function.sign * cells, style=_style(function))
    return text


def legend() -> list[Text]:
    """Explain the signs, a line for each two families."""
    lines = []
    for left in range(0, len(FAMILIES), 2):
        line = Text()
        for family in FAMILIES[left : left + 2]:
            line.append(f"{family.name}: ")
            for function in family.functions:
                line.append(function.sign, style=_style(function))
                line.append(f" {function.name}  ")
        line.rstrip()
        lines.append(line)
    return lines


def _style(function: Function) -> str:
    brightness = sum(int(function.color[i : i + 2], 16) for i in (1, 3, 5)) / 3
    return f"{'white' if brightness < ON_DARK else 'black'} on {function.color}"


def gate_rows(layer: GateLayer) -> Iterator[str]:
    """Write a row for each gate: what it computes of which signals, its logits, how sure it is.

    Sixteen logits of a softmax are █ above 1, ▄ from 0 to 1 and ▁ below 0, by truth table; four
    relaxed entries are shades from blank (0) to full (1), for the inputs 00, 10, 01, 11.
    """
    digits = len(str(len(layer.tables) - 1))
    signals = len(str(max(layer.a.max(), layer.b.max())))
    marks = _marks(layer)
    for i, (table, a, b) in enumerate(zip(layer.tables, layer.a, layer.b, strict=True)):
        row = f"{i:>{digits}}  {GATE_NAMES[table]:<7} {a:>{signals}} {b:>{signals}}  {marks[i]}"
        if layer.relaxed is not None:
            row += f"  {layer.relaxed.confidence[i]:.3f}"
        if layer.live is not None:
            row += "  live" if layer.live[i] else ""
        yield row


def _marks(layer: GateLayer) -> list[str]:
    found = layer.relaxed
    if found is not None and found.parametrization == "softmax":
        return [
            "".join("▁▄█"[int(value >= 0) + int(value > 1)] for value in row)
            for row in found.logits
        ]
    entries = table_entries(layer.tables) if found is None else found.entries
    levels = np.clip(np.rint(entries * (len(SHADES) - 1)), 0, len(SHADES) - 1).astype(int)
    return ["|" + "".join(SHADES[level] for level in row) + "|" for row in levels]
