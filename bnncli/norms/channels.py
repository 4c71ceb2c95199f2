"""Vectors with one number per channel, against activations with channels on axis 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    """View a vector so that it broadcasts along axis 1.

    Shape: (channels,) -> (channels, 1, ...) with ``like.dim() - 1`` axes.
    """
    return values.view(-1, *([1] * (like.dim() - 2)))


def channel_mean(x: Tensor) -> Tensor:
    """Average over the batch and all positions.

    Shape: (batch, channels, ...) -> (channels,) float32.
    """
    return x.mean(dim=[axis for axis in range(x.dim()) if axis != 1], dtype=torch.float32)
