"""The first layer of every model: from stored pixels to numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bnncli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _signed(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    return torch.full_like(mean, 2 / 256), torch.full_like(mean, -255 / 256)


def _standard(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    return 1 / std, -mean / std


def _unit(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    return torch.full_like(mean, 1 / 256), torch.zeros_like(mean)


PIXEL_SCALINGS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "signed": _signed,
    "standard": _standard,
    "unit": _unit,
}


class Pixels(nn.Module):
    """Map bytes to numbers: x = pixel · gain + offset per channel.

    - ``signed``: (2 pixel - 255) / 256, in (-1, 1). All values are multiples of 1/256, so a ±1
      weighted sum of fewer than 65,536 of them is exact in float32 in any order.
    - ``unit``: pixel / 256, exact in the same way.
    - ``standard``: (pixel - mean) / std with the mean and std of the training set's channels.

    Being part of the model, it is frozen with it: packed models take the bytes themselves.

    Shape: (batch, channels, h, w) uint8 or float pixel values -> the same, float32.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, scaling: str, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if scaling not in PIXEL_SCALINGS:
            raise unknown_name("pixel scaling", scaling, PIXEL_SCALINGS)
        self.scaling = scaling
        deviation = torch.tensor(std, dtype=torch.float32).clamp_(min=1.0)
        gain, offset = PIXEL_SCALINGS[scaling](torch.tensor(mean, dtype=torch.float32), deviation)
        self.register_buffer("gain", gain.view(-1, 1, 1))
        self.register_buffer("offset", offset.view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Scale, in two separately rounded operations so that numpy gives the same bits."""
        if images.dim() != 4 or images.shape[1] != len(self.gain):
            raise UsageError(
                f"Pixels: {len(self.gain)} channels but input has shape {tuple(images.shape)}; "
                f"expected (batch, {len(self.gain)}, height, width)"
            )
        return (images.to(torch.float32) * self.gain).add_(self.offset)

    def extra_repr(self) -> str:
        """Name the scaling in printed models."""
        return self.scaling
