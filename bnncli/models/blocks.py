"""The repeating piece of every architecture: layer, pool, norm, activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from bnncli.layers import QuantConv2d, QuantLinear
from bnncli.norms import check_norm_options, make_norm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnncli.models.registry import Layers, Quantization


class Stack:
    """List layers in order; the first quantized layer takes real inputs.

    A block is layer → max pool → norm → activation. Pooling first gives the same result for a
    rising activation and costs a quarter of the norm. With binary activations the sign belongs to
    the next layer (its input quantizer), so a block ends with the norm.
    """

    def __init__(
        self,
        quantization: Quantization,
        norm: str,
        norm_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.quantization = quantization
        self.norm = norm
        self.norm_options = check_norm_options(norm, norm_options or {})
        self.layers: Layers = []
        self._count = 0

    def linear(
        self, in_features: int, out_features: int, *, last: bool = False, dropout: float = 0.0
    ) -> None:
        """Append a linear block; the last one has no activation and gives the logits."""
        layer = QuantLinear(
            in_features,
            out_features,
            bias=self.norm == "none",
            weight_quantizer=self.quantization.weight(),
            input_quantizer=self.quantization.activation() if self._count else None,
        )
        self._block("fc", layer, out_features, fan_in=in_features, last=last, dropout=dropout)

    def conv(self, in_channels: int, out_channels: int, *, pool: int = 1) -> None:
        """Append a 3×3 convolution block of stride 1 that keeps the image size, then pools."""
        layer = QuantConv2d(
            in_channels,
            out_channels,
            3,
            padding=1,
            bias=self.norm == "none",
            weight_quantizer=self.quantization.weight(),
            input_quantizer=self.quantization.activation() if self._count else None,
        )
        self._block("conv", layer, out_channels, fan_in=9 * in_channels, pool=pool)

    def flatten(self) -> None:
        """Append the step from images to rows."""
        self.layers.append(("flatten", nn.Flatten()))

    def _block(
        self,
        kind: str,
        layer: nn.Module,
        channels: int,
        *,
        fan_in: int,
        pool: int = 1,
        last: bool = False,
        dropout: float = 0.0,
    ) -> None:
        self._count += 1
        n = self._count
        self.layers.append((f"{kind}{n}", layer))
        if pool > 1:
            self.layers.append((f"pool{n}", nn.MaxPool2d(pool)))
        if self.norm != "none":
            norm = make_norm(self.norm, channels, fan_in=fan_in, **self.norm_options)
            self.layers.append((f"norm{n}", norm))
        if last:
            return
        if self.quantization.activations == "float":
            self.layers.append((f"relu{n}", nn.ReLU()))
        if dropout:
            self.layers.append((f"dropout{n}", nn.Dropout(dropout)))
