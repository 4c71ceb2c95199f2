"""From stored pixels to bits, features first: what a network of gates reads.

Every input bit is the answer to "is this pixel above that threshold?". Thresholds that follow from
the training images are set by ``fit`` before training; they are saved with the model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bnncli.errors import UsageError, unknown_name
from bnncli.quantizers import TwoForms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAX_PIXEL = 255


def uniform_thresholds(images: NDArray[np.uint8], n_levels: int) -> NDArray[np.float32]:
    """Space thresholds evenly between 0 and 255, whatever the images.

    Shape: -> (n_levels, channels), whole numbers.
    """
    steps = np.arange(1, n_levels + 1) * MAX_PIXEL // (n_levels + 1)
    return np.repeat(steps[:, None], images.shape[1], axis=1).astype(np.float32)


def distributive_thresholds(images: NDArray[np.uint8], n_levels: int) -> NDArray[np.float32]:
    """Put thresholds where they part a channel's pixels above 0 into equally many.

    Dark background says nothing about where ink or light differ, so it is left out.

    Shape: -> (n_levels, channels), whole numbers.
    """
    steps = np.arange(n_levels) / n_levels
    columns = []
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].ravel(), minlength=MAX_PIXEL + 1)[1:]
        share = np.cumsum(counts) / max(1, counts.sum())
        columns.append(np.searchsorted(share, steps, side="right"))
    return np.stack(columns, axis=1).astype(np.float32)


THRESHOLDS: dict[str, Callable[[NDArray[np.uint8], int], NDArray[np.float32]]] = {
    "distributive": distributive_thresholds,
    "uniform": uniform_thresholds,
}
"""Ways to place the thresholds of a thermometer, by name."""


class _Above(torch.autograd.Function):
    """Compare, with the gradient of sigmoid((pixel - threshold) / width)."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, thresholds: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(pixels, thresholds)
        ctx.width = width
        # As the hard form has it: a threshold below 0 tells 0 from the rest, like one at 0.
        return (pixels > thresholds.clamp(min=0)).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        pixels, thresholds = ctx.saved_tensors
        soft = torch.sigmoid((pixels - thresholds) / ctx.width)
        slope = grads[0] * soft * (1 - soft) / -ctx.width
        return None, slope.sum(dim=(2, 3), keepdim=True), None


class Thermometer(TwoForms, nn.Module):
    """Compare every pixel with each of its channel's thresholds: bit = pixel > threshold.

    One level at 127 is plain binarization. With ``learned`` the thresholds are parameters, kept as
    fractions of 255: the forward pass compares, the gradient is that of
    sigmoid((pixel - threshold) / 16), which is the soft form. Source: Bacellar et al., Differentiable
    Weightless Neural Networks, ICML 2024, for distributive thresholds; arXiv:2510.15655 for learned
    ones.

    Shape: (batch, channels, h, w) uint8 -> (n_levels · channels · h · w, batch), in that order.
    """

    fractions: Tensor
    width = 16.0

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        n_levels: int = 1,
        kind: str = "uniform",
        learned: bool = False,
    ) -> None:
        super().__init__()
        if kind not in THRESHOLDS:
            raise unknown_name("encoder", kind, THRESHOLDS)
        if not 1 <= n_levels < MAX_PIXEL:
            raise UsageError(f"levels={n_levels}: expected 1 to {MAX_PIXEL - 1} thresholds")
        self.image_shape, self.n_levels, self.kind = image_shape, n_levels, kind
        self.learned = learned
        fractions = torch.zeros(n_levels, image_shape[0])
        if learned:
            self.fractions = nn.Parameter(fractions)
        else:
            self.register_buffer("fractions", fractions)
        self.fit(np.empty((0, *image_shape), np.uint8))

    @property
    def out_features(self) -> int:
        """Count the bits."""
        return self.n_levels * math.prod(self.image_shape)

    def fit(self, images: NDArray[np.uint8]) -> None:
        """Set the thresholds from training images."""
        fitted = torch.from_numpy(THRESHOLDS[self.kind](images, self.n_levels))
        with torch.no_grad():
            # Half a grey level above the whole number, so that rounding cannot move it.
            self.fractions.copy_((fitted + 0.5) / MAX_PIXEL)

    def forward(self, images: Tensor) -> Tensor:
        """Compare; bits are 0.0 and 1.0."""
        if images.dim() != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise UsageError(
                f"Thermometer: images of shape {self.image_shape} expected but input has shape "
                f"{tuple(images.shape)}; expected (batch, channels, height, width)"
            )
        # (1, channels, h·w, batch) against (levels, channels, 1, 1).
        pixels = images.flatten(2).permute(1, 2, 0).contiguous().unsqueeze(0)
        if self.learned and (self.training or self.soft):
            limits = self.fractions[:, :, None, None] * MAX_PIXEL
            if self.soft:
                bits = torch.sigmoid((pixels.float() - limits) / self.width)
            else:
                bits = _Above.apply(pixels.float(), limits, self.width)  # type: ignore[no-untyped-call]
        else:
            bits = (pixels > self.limits()[:, :, None, None]).float()
        return bits.flatten(0, 2)

    def limits(self) -> Tensor:
        """Give the thresholds as bytes: a byte is above a number just when it is above its floor.

        Shape: (n_levels, channels) uint8.
        """
        limits = (self.fractions.detach() * MAX_PIXEL).floor()
        return limits.clamp(0, MAX_PIXEL).to(torch.uint8)

    def comparisons(self) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Give for each bit its pixel, counted through (channel, row, column), and threshold.

        Shape: (out_features,) each.
        """
        channels, height, width = self.image_shape
        pixel = np.tile(np.arange(channels * height * width, dtype=np.int32), self.n_levels)
        return pixel, np.repeat(self.limits().cpu().numpy().ravel(), height * width)

    def extra_repr(self) -> str:
        """Name the levels in printed models."""
        return f"{self.image_shape}, levels={self.n_levels}, {self.kind}"
