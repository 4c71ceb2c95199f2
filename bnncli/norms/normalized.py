"""Norms that divide by a spread measured on the data: BatchNorm and RMSNorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnncli.norms.channels import per_channel


class BatchNorm(nn.BatchNorm1d):
    """Normalize each channel over the batch; in evaluation apply y = x · gain + offset.

    gain = weight / sqrt(running_var + eps); offset = bias - running_mean · gain.
    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.

    Shape: (batch, channels, ...) -> the same.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"BatchNorm: input has shape {tuple(input.shape)}; expected (n, c, …)")

    def gain_and_offset(self) -> tuple[Tensor, Tensor]:
        """Give the affine map that evaluation applies, each (channels,) float32."""
        assert self.running_mean is not None  # track_running_stats is never switched off here
        assert self.running_var is not None
        gain = self.weight / torch.sqrt(self.running_var + self.eps)
        return gain, self.bias - self.running_mean * gain

    def forward(self, input: Tensor) -> Tensor:
        """Normalize."""
        if self.training:
            return super().forward(input)
        gain, offset = self.gain_and_offset()
        return (input * per_channel(gain, input)).add(per_channel(offset, input))


class RMSNorm(nn.Module):
    """Divide by the root mean square over the channels of each position, times a learned gain.

    y = x / sqrt(mean_c(x²) + eps) · weight. Source: Zhang & Sennrich 2019, arXiv:1910.07467.

    Shape: (batch, channels, ...) -> the same.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize."""
        mean_square = x.square().mean(dim=1, keepdim=True)
        return x * torch.rsqrt(mean_square + self.eps) * per_channel(self.weight, x)

    def extra_repr(self) -> str:
        """Name the size in printed models."""
        return f"{self.num_features}, eps={self.eps}"
