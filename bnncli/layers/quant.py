"""Linear and convolutional layers whose weights and inputs pass through quantizers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from bnncli.errors import UsageError
from bnncli.norms import per_channel
from bnncli.quantizers.stored import StoredQuantizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.quantizers import Quantizer


def _affine(out: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scale and shift sums along axis 1 by a weight scale of shape () or (out, 1, ...)."""
    if scale is not None:
        out = out * (scale if scale.dim() == 0 else per_channel(scale.reshape(-1), out))
    return out if bias is None else out + per_channel(bias, out)


class _Quantized(nn.Module):
    """What linear and convolutional layers share: where their weights live.

    A quantizer with a memory keeps the weights as integers; ``weight`` is then a port that only
    receives the gradient, and is neither saved nor copied with the layer's layout.
    """

    weight: Tensor
    weight_quantizer: Quantizer | None
    input_quantizer: Quantizer | None

    def _adopt(self) -> None:
        if self.input_quantizer is not None and self.input_quantizer.adopts:
            raise UsageError(
                f"{type(self.input_quantizer).__name__} keeps weights and cannot quantize "
                f"activations; give --activations binary, ternary or float"
            )
        if self.weight_quantizer is not None:
            assert isinstance(self.weight, nn.Parameter)
            self.weight = self.weight_quantizer.adopt(self.weight)

    @contextmanager
    def _without_port(self) -> Iterator[None]:
        """Hide the port; it keeps its identity, by which an optimizer knows it."""
        weight = self._parameters["weight"]
        hidden = isinstance(self.weight_quantizer, StoredQuantizer)
        if hidden:
            self._parameters["weight"] = None
        try:
            yield
        finally:
            self._parameters["weight"] = weight

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        with self._without_port():
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if isinstance(self.weight_quantizer, StoredQuantizer):
            weight, grad = self.weight, self.weight.grad
            weight.grad = None
            weight.data = fn(weight.detach().as_strided((), ())).expand(weight.shape)
            weight.grad = None if grad is None else fn(grad)
        return self

    def _save_to_state_dict(self, *args: Any) -> None:
        with self._without_port():
            super()._save_to_state_dict(*args)

    def _load_from_state_dict(self, *args: Any) -> None:
        with self._without_port():
            super()._load_from_state_dict(*args)


class QuantLinear(_Quantized, nn.Linear):
    """Compute y = Q_in(x) · Q_w(W)ᵀ + b.

    Without quantizers it is ``nn.Linear``. In evaluation the scale of the weights multiplies the
    sum, so that the sum itself is one of integers when the inputs are. Training scales the weights,
    whose surrogate gradient is then that of their quantizer.

    Shape: (batch, in_features) -> (batch, out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = False,
        weight_quantizer: Quantizer | None = None,
        input_quantizer: Quantizer | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.weight_quantizer = weight_quantizer
        self.input_quantizer = input_quantizer
        self._adopt()

    def forward(self, input: Tensor) -> Tensor:
        """Quantize and multiply."""
        if input.shape[-1] != self.in_features:
            raise UsageError(
                f"QuantLinear: in_features={self.in_features} but input has shape "
                f"{tuple(input.shape)}; flatten the image or set in_features={input.shape[-1]}"
            )
        x = input if self.input_quantizer is None else self.input_quantizer(input)
        if self.weight_quantizer is None:
            return F.linear(x, self.weight, self.bias)
        if self.training:
            return F.linear(x, self.weight_quantizer(self.weight), self.bias)
        w, scale = self.weight_quantizer.factored(self.weight)
        return _affine(F.linear(x, w), scale, self.bias)


class QuantConv2d(_Quantized, nn.Conv2d):
    """Convolve Q_in(x) with Q_w(W); padding adds zeros after the input is quantized.

    Shape: (batch, in_channels, h, w) -> (batch, out_channels, h', w').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        weight_quantizer: Quantizer | None = None,
        input_quantizer: Quantizer | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias
        )
        self.weight_quantizer = weight_quantizer
        self.input_quantizer = input_quantizer
        self._adopt()

    def forward(self, input: Tensor) -> Tensor:
        """Quantize and convolve."""
        if input.dim() != 4 or input.shape[1] != self.in_channels:
            raise UsageError(
                f"QuantConv2d: in_channels={self.in_channels} but input has shape "
                f"{tuple(input.shape)}; expected (batch, {self.in_channels}, height, width)"
            )
        x = input if self.input_quantizer is None else self.input_quantizer(input)
        if self.weight_quantizer is None:
            return self._convolve(x, self.weight, self.bias)
        if self.training:
            return self._convolve(x, self.weight_quantizer(self.weight), self.bias)
        w, scale = self.weight_quantizer.factored(self.weight)
        return _affine(self._convolve(x, w, None), scale, self.bias)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


QuantLayer = QuantLinear | QuantConv2d
"""Any layer whose weights are quantized."""
