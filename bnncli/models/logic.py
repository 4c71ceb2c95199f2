"""Networks of learned two-input gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bnncli.errors import UsageError
from bnncli.layers import (
    Features,
    FixedWiring,
    GroupSum,
    LearnedWiring,
    LogicConv2d,
    LogicDense,
    Planes,
    Thermometer,
    draw_candidates,
    draw_local_candidates,
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

    The wirings are drawn from torch's default generator, so that a run's seed decides them. With a
    ``radius`` the candidates of the first layer's gates lie in a window of the ``image``.
    """

    width: int
    wiring: str
    parametrization: str
    init: str
    strength: float
    sampling: str = "soft"
    temperature: float = 1.0
    final_temperature: float = 1.0
    bound: float = 0.0
    candidates: int = 0
    selection: str = "soft"
    image: tuple[int, int, int] | None = None
    radius: int = 0

    def __post_init__(self) -> None:
        if not self.candidates:
            for name, unset, says in (
                ("radius", 0, "where they lie"),
                ("selection", "soft", "how one of them is read"),
            ):
                if (value := getattr(self, name)) != unset:
                    raise UsageError(
                        f"{name}={value} without candidates: it says {says}; give candidates, "
                        f"such as 16, or leave {name} out"
                    )
        elif self.wiring != "random":
            raise UsageError(
                f"wiring={self.wiring} with candidates={self.candidates}: candidates are drawn at "
                f"random and wires chosen among them; leave one of the two out"
            )
        self.rng = np.random.default_rng(int(torch.randint(2**62, ())))
        self.count = 0

    def gate_options(self) -> dict[str, Any]:
        """Give what every layer of gates is made with."""
        return {
            "parametrization": self.parametrization,
            "init": self.init,
            "strength": self.strength,
            "sampling": self.sampling,
            "temperature": self.temperature,
            "final_temperature": self.final_temperature,
            "bound": self.bound,
        }

    def dense(self, out_features: int) -> tuple[str, LogicDense]:
        """Build the next layer."""
        layer = LogicDense(self._wire(out_features), **self.gate_options())
        self.count += 1
        self.width = out_features
        return f"gates{self.count}", layer

    def _wire(self, out_features: int) -> FixedWiring | LearnedWiring:
        if not self.candidates:
            wires = draw_wires(
                self.wiring, self.width, out_features, layer=self.count, rng=self.rng
            )
            return FixedWiring(wires)
        if self.image and self.radius and not self.count:
            drawn = draw_local_candidates(
                self.image, out_features, self.candidates, self.radius, self.rng
            )
        else:
            drawn = draw_candidates(self.width, out_features, self.candidates, self.rng)
        return LearnedWiring(
            drawn,
            self.width,
            selection=self.selection,
            temperature=self.temperature,
            final_temperature=self.final_temperature,
            bound=self.bound,
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
    radius: int = 0,
    selection: str = "soft",
    parametrization: str = "iwp",
    init: str = "residual",
    strength: float = 3.0,
    sampling: str = "soft",
    temperature: float = 1.0,
    final_temperature: float = 1.0,
    bound: float = 0.0,
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
        final_temperature=final_temperature,
        bound=bound,
        candidates=candidates,
        selection=selection,
        image=(levels * image_shape[0], *image_shape[1:]),
        radius=radius,
    )
    gates = [stack.dense(width) for width in widths]
    sums = GroupSum(widths[-1], n_classes, tau=tau, learn_tau=learn_tau)
    return [("bits", bits), *gates, ("sums", sums)]


@register(
    "logic-conv",
    "convolutions of gate trees with OR pooling, then layers of gates",
    reads="bytes",
    **GATES,
)
def logic_conv(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    channels: int = 16,
    convolutions: int = 2,
    depth: int = 3,
    channels_per_tree: int = 2,
    widths: Sequence[int] = (2000, 1000),
    wiring: str = "random",
    candidates: int = 0,
    selection: str = "soft",
    parametrization: str = "iwp",
    init: str = "residual",
    strength: float = 3.0,
    temperature: float = 1.0,
    final_temperature: float = 1.0,
    bound: float = 0.0,
    encoder: str = "uniform",
    levels: int = 1,
    tau: float = 10.0,
    learn_tau: bool = False,
) -> Layers:
    """List the layers of bits - (3×3 trees - OR of 2×2) … - gates … gates - sums.

    The channels triple from one convolution to the next (arXiv:2411.04732).
    """
    refuse_quantizers("logic-conv", quantization)
    if not widths or convolutions < 1:
        raise UsageError(
            f"widths={list(widths)}, convolutions={convolutions}: give at least one of each"
        )
    image_channels, height, width = image_shape
    bits = Thermometer(image_shape, n_levels=levels, kind=encoder)
    n_in = levels * image_channels
    stack = GateStack(
        0,
        wiring=wiring,
        parametrization=parametrization,
        init=init,
        strength=strength,
        temperature=temperature,
        final_temperature=final_temperature,
        bound=bound,
        candidates=candidates,
        selection=selection,
    )
    layers: Layers = [("bits", bits), ("planes", Planes(n_in, height, width))]
    for n in range(1, convolutions + 1):
        n_out = channels * 3 ** (n - 1)
        pool = 2 if height % 2 == 0 and width % 2 == 0 else 1
        conv = LogicConv2d(
            *(n_in, n_out, 3),
            rng=stack.rng,
            depth=depth,
            padding=1,
            pool=pool,
            channels_per_tree=channels_per_tree,
            **stack.gate_options(),
        )
        layers.append((f"conv{n}", conv))
        height, width, n_in = height // pool, width // pool, n_out
    layers.append(("features", Features()))
    stack.width = n_in * height * width
    layers += [stack.dense(out_features) for out_features in widths]
    return [*layers, ("sums", GroupSum(widths[-1], n_classes, tau=tau, learn_tau=learn_tau))]
