"""Architectures by name: a keyword-only function that lists the layers, and its defaults."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from bnncli.errors import UsageError, unknown_name
from bnncli.options import options_of
from bnncli.quantizers import QUANTIZERS, Quantizer, make_quantizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Layers = list[tuple[str, nn.Module]]


@dataclass(frozen=True)
class Quantization:
    """Which quantizers a network's layers get; ``float`` means none."""

    weights: str = "float"
    activations: str = "float"
    scale: str | None = None
    surrogate: str | None = None
    activation_surrogate: str | None = None
    weight_options: Mapping[str, Any] | None = None

    def weight(self) -> Quantizer | None:
        """Build a fresh weight quantizer."""
        if self.weights == "float":
            if self.weight_options:
                raise UsageError(f"weights float take no options, but {self.weight_options} given")
            return None
        return make_quantizer(
            self.weights,
            scale=self.scale,
            surrogate=self.surrogate,
            options=self.weight_options,
        )

    def activation(self) -> Quantizer | None:
        """Build a fresh activation quantizer; the gradient is cut off where |x| > 1 by default."""
        if self.activations == "float":
            return None
        if self.activations in QUANTIZERS and QUANTIZERS[self.activations].weights_only:
            raise UsageError(
                f"activations {self.activations}: it keeps weights and cannot quantize "
                f"activations; give --activations binary, ternary or float"
            )
        surrogate = self.activation_surrogate or "clipped"
        return make_quantizer(self.activations, scale="none", surrogate=surrogate)


@dataclass(frozen=True)
class Arch:
    """An architecture: how to list its layers, what its options default to, a line about it.

    ``reads`` says what its first layer takes: scaled pixels, or the stored bytes themselves.
    ``trainer`` names how it is trained where the settings do not say.
    """

    name: str
    layers: Callable[..., Layers]
    summary: str
    defaults: dict[str, Any] = field(default_factory=dict)
    reads: Literal["pixels", "bytes"] = "pixels"
    trainer: str = "images"

    @property
    def options(self) -> dict[str, Any]:
        """Give the architecture's own options with their defaults."""
        return options_of(self.layers)


ARCHS: dict[str, Arch] = {}
"""Every architecture by name."""


def register(
    name: str,
    summary: str,
    *,
    reads: Literal["pixels", "bytes"] = "pixels",
    trainer: str = "images",
    **defaults: Any,
) -> Callable[[Callable[..., Layers]], Callable[..., Layers]]:
    """Register the decorated function as architecture ``name``."""

    def add(layers: Callable[..., Layers]) -> Callable[..., Layers]:
        ARCHS[name] = Arch(name, layers, summary, defaults, reads, trainer)
        return layers

    return add


def find_arch(name: str) -> Arch:
    """Look an architecture up by name."""
    if name not in ARCHS:
        raise unknown_name("arch", name, ARCHS)
    return ARCHS[name]


def build_model(
    arch: str,
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    pixels: nn.Module,
    **options: Any,
) -> nn.Sequential:
    """Build a network that takes stored pixels (uint8) and gives logits.

    Shape of its input: (batch, *image_shape) uint8 -> (batch, n_classes) float32.
    """
    entry = find_arch(arch)
    for name in options:
        if name not in entry.options:
            takes = ", ".join(sorted(entry.options)) or "none"
            raise UsageError(f"arch {arch} has no option {name!r}; its options are: {takes}")
    layers = entry.layers(
        image_shape=image_shape, n_classes=n_classes, quantization=quantization, **options
    )
    first = [("pixels", pixels)] if entry.reads == "pixels" else []
    return nn.Sequential(OrderedDict([*first, *layers]))


def quantized_weights(model: nn.Module) -> list[tuple[str, nn.Parameter, Quantizer]]:
    """List the latent weights: (parameter name, parameter, quantizer) of each quantized layer."""
    found = []
    for name, module in model.named_modules():
        quantizer = getattr(module, "weight_quantizer", None)
        if isinstance(quantizer, Quantizer):
            weight = module.get_parameter("weight")
            found.append((f"{name}.weight".removeprefix("."), weight, quantizer))
    return found
