"""A cellular automaton whose rule is learned: one cell's next state from its neighbourhood."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from torch import nn

from bnncli.errors import UsageError, unknown_name
from bnncli.layers import BitLogits, Thermometer
from bnncli.layers.automaton import StateLogits, perceive
from bnncli.models.logic import GATES, GateStack, refuse_quantizers
from bnncli.models.registry import Layers, Quantization, register

if TYPE_CHECKING:
    from collections.abc import Sequence


KERNEL_WIRINGS = ("shared", "own")


@register(
    "dlca",
    "a cellular automaton of gates: kernels perceive the 3x3 window, a network updates the cell",
    reads="bytes",
    trainer="rollouts",
    **GATES,
)
def dlca(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    widths: Sequence[int] = (128, 128, 128, 128, 128, 128, 64, 32, 16),
    kernels: int = 8,
    perceive_widths: str = "8,4,2",
    kernel_wiring: str = "shared",
    wiring: str = "ring",
    parametrization: str = "iwp",
    init: str = "residual",
    strength: float = 3.0,
    sampling: str = "soft",
    temperature: float = 1.0,
) -> Layers:
    """List the layers of bits - perceive - gates … gates - next state.

    ``widths`` are the update network's; one gate for each channel follows them. The kernels have
    one wiring among them, as in arXiv:2506.04912, or with ``kernel_wiring="own"`` one each.
    """
    refuse_quantizers("dlca", quantization)
    channels = image_shape[0]
    if image_shape[1:] != (3, 3):
        height, width = image_shape[1:]
        raise UsageError(
            f"arch dlca: images of {height}x{width} pixels, expected neighbourhoods of 3x3 cells; "
            f"give --data board:checkerboard or a rule such as rule:B3/S23"
        )
    if not 1 <= kernels <= 2**10:
        raise UsageError(f"kernels={kernels}: expected at least 1 and at most {2**10}")
    if kernel_wiring not in KERNEL_WIRINGS:
        raise unknown_name("kernel_wiring", kernel_wiring, KERNEL_WIRINGS)
    gates = {
        "parametrization": parametrization,
        "init": init,
        "strength": strength,
        "sampling": sampling,
        "temperature": temperature,
    }
    stack = GateStack(0, wiring, **gates)  # type: ignore[arg-type]
    shared = kernel_wiring == "shared"
    eyes = perceive(channels, _widths(perceive_widths), kernels, stack.rng, shared=shared, **gates)
    stack.width = eyes.out_features
    update = [stack.dense(width) for width in (*widths, channels)]
    cell = nn.Sequential(OrderedDict([("perceive", eyes), *update]))
    single = channels == 1 and n_classes == 2
    head: nn.Module = BitLogits() if single else StateLogits()
    return [("bits", Thermometer(image_shape)), ("cell", cell), ("state", head)]


def _widths(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"perceive_widths={text}: expected whole numbers, such as 8,4,2"
        ) from error
