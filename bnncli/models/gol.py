"""Networks of two-input gates for exact functions of few bits: rules of cellular automata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.errors import UsageError
from bnncli.layers import BitLogits, Thermometer
from bnncli.models.logic import GATES, GateStack, refuse_quantizers
from bnncli.models.registry import Layers, Quantization, register

if TYPE_CHECKING:
    from collections.abc import Sequence


def tapered(widths: Sequence[int]) -> list[int]:
    """Append half of the last width, half of that, …, down to 1.

    >>> tapered([20, 20])
    [20, 20, 10, 5, 2, 1]
    """
    full = list(widths)
    while full[-1] > 1:
        full.append(full[-1] // 2)
    return full


@register(
    "gol",
    "two-input gates that learn a cellular automaton's rule exactly, from its whole table",
    reads="bytes",
    trainer="table",
    **GATES,
)
def gol(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    widths: Sequence[int] = (128,) * 8,
    wiring: str = "ring",
    parametrization: str = "iwp",
    init: str = "mixed",
    strength: float = 3.0,
) -> Layers:
    """List the layers of bits - gates … gates, tapering to one gate - that gate as two classes."""
    refuse_quantizers("gol", quantization)
    if not widths:
        raise UsageError("widths=[]: give at least one layer of gates, such as 128,128")
    if n_classes != 2:
        raise UsageError(
            f"arch gol: {n_classes} classes, but its one output bit tells two apart; "
            "give data such as rule:B3/S23, or another arch"
        )
    bits = Thermometer(image_shape)
    stack = GateStack(
        bits.out_features,
        wiring=wiring,
        parametrization=parametrization,
        init=init,
        strength=strength,
    )
    return [("bits", bits), *map(stack.dense, tapered(widths)), ("logits", BitLogits())]
