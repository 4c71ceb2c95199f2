"""Networks of learned two-input gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bnncli.errors import UsageError
from bnncli.layers import (
    FixedWiring,
    GroupSum,
    LearnedWiring,
    LogicDense,
    Thermometer,
    draw_candidates,
    draw_wires,
)
from bnncli.models.registry import Layers, Quantization, register

if TYPE_CHECKING:
    from collections.abc import Sequence

GATES = {"weights": "gates", "activations": "bits"}
"""What the settings call weights and activations of a network that has neither."""


def refuse_quantizers(arch: str, quantization: Quantization) -> None:
    """Refuse quantizers for a network whose gates are no weights."""
    given = {"weights": quantization.weights, "activations": quantization.activations}
    for name, wanted in GATES.items():
        if given[name] != wanted:
            raise UsageError(
                f"arch {arch}: {name} {given[name]} given, but it is made of gates, which have no "
                f"quantizer; drop --binary, --weights and --activations, and train with adam"
            )


@dataclass
class GateStack:
    """List layers of gates one after another, each wired in its own way.

    The wirings are drawn from torch's default generator, so that a run's seed decides them.
    """

    width: int
    wiring: str
    parametrization: str
    init: str
    strength: float
    sampling: str = "soft"
    temperature: float = 1.0
    candidates: int = 0
    selection: str = "soft"

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(int(torch.randint(2**62, ())))
        self.count = 0

    def dense(self, out_features: int) -> tuple[str, LogicDense]:
        """Build the next layer."""
        layer = LogicDense(
            self._wire(out_features),
            parametrization=self.parametrization,
            init=self.init,
            strength=self.strength,
            sampling=self.sampling,
            temperature=self.temperature,
        )
        self.count += 1
        self.width = out_features
        return f"gates{self.count}", layer

    def _wire(self, out_features: int) -> FixedWiring | LearnedWiring:
        if not self.candidates:
            wires = draw_wires(
                self.wiring, self.width, out_features, layer=self.count, rng=self.rng
            )
            return FixedWiring(wires)
        drawn = draw_candidates(self.width, 2 * out_features, self.candidates, self.rng)
        return LearnedWiring(
            drawn, self.width, selection=self.selection, temperature=self.temperature
        )


@register(
    "logic-mlp",
    "layers of two-input gates on thresholded pixels, summed into classes",
    reads="bytes",
    **GATES,
)
def logic_mlp(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    widths: Sequence[int] = (2000, 2000, 2000),
    wiring: str = "random",
    candidates: int = 0,
    selection: str = "soft",
    parametrization: str = "iwp",
    init: str = "residual",
    strength: float = 3.0,
    sampling: str = "soft",
    temperature: float = 1.0,
    encoder: str = "uniform",
    levels: int = 1,
    learn_thresholds: bool = False,
    tau: float = 10.0,
    learn_tau: bool = False,
) -> Layers:
    """List the layers of pixels > thresholds - gates … gates - sums of equal groups."""
    refuse_quantizers("logic-mlp", quantization)
    if not widths:
        raise UsageError("widths=[]: give at least one layer of gates, such as 2000,2000")
    bits = Thermometer(image_shape, n_levels=levels, kind=encoder, learned=learn_thresholds)
    stack = GateStack(
        bits.out_features,
        wiring=wiring,
        parametrization=parametrization,
        init=init,
        strength=strength,
        sampling=sampling,
        temperature=temperature,
        candidates=candidates,
        selection=selection,
    )
    gates = [stack.dense(width) for width in widths]
    sums = GroupSum(widths[-1], n_classes, tau=tau, learn_tau=learn_tau)
    return [("bits", bits), *gates, ("sums", sums)]
