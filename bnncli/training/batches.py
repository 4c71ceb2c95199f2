"""Batches as index selections from images in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

GATHERED_STEPS = 16
"""Steps whose images are copied at once: the rows are scattered, and many wait together."""


class Batches:
    """Give the images of one step after another in a drawn order.

    Shape: images (n, channels, h, w); each batch (batch_size, channels, h, w).
    """

    def __init__(self, images: Tensor, batch_size: int) -> None:
        self.images = images
        self.batch_size = batch_size
        self._key: tuple[int, int] | None = None

    def take(self, order: Tensor, start: int) -> Tensor:
        """Give images[order[start : start + batch_size]], to be read, not written."""
        span = self.batch_size * GATHERED_STEPS
        first = start - start % span
        if self._key != (id(order), first):
            self._key = (id(order), first)
            self._order = order  # kept, so that its id stays its own
            self._gathered = self.images.index_select(0, order[first : first + span])
        return self._gathered[start - first : start - first + self.batch_size]
