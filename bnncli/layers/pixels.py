"""The first layer of every model: from stored pixels to numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bnncli.errors import UsageError, unknown_name

Statistics = tuple[Sequence[float], Sequence[float]]
GainAndOffset = tuple[Tensor, Tensor]


def _signed(channels: int, statistics: Callable[[], Statistics]) -> GainAndOffset:
    return torch.full((channels,), 2 / 256), torch.full((channels,), -255 / 256)


def _unit(channels: int, statistics: Callable[[], Statistics]) -> GainAndOffset:
    return torch.full((channels,), 1 / 256), torch.zeros(channels)


def _standard(channels: int, statistics: Callable[[], Statistics]) -> GainAndOffset:
    mean, std = (torch.tensor(values, dtype=torch.float32) for values in statistics())
    std.clamp_(min=1.0)  # a channel that never varies stays finite
    return 1 / std, -mean / std


PIXEL_SCALINGS: dict[str, Callable[[int, Callable[[], Statistics]], GainAndOffset]] = {
    "signed": _signed,
    "standard": _standard,
    "unit": _unit,
}
"""Ways to turn bytes into numbers, by name."""


def no_statistics() -> Statistics:
    """Stand in for the training set's statistics where the scaling needs none."""
    raise UsageError(
        "pixels 'standard' needs the mean and std of the training set; pass statistics"
    )


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

    def __init__(
        self,
        scaling: str,
        channels: int,
        statistics: Callable[[], Statistics] = no_statistics,
    ) -> None:
        super().__init__()
        if scaling not in PIXEL_SCALINGS:
            raise unknown_name("pixel scaling", scaling, PIXEL_SCALINGS)
        self.scaling = scaling
        gain, offset = PIXEL_SCALINGS[scaling](channels, statistics)
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
