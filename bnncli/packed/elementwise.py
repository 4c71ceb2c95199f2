"""Steps without weight matrices: pixels, norms, activations, pooling, changes of form.

Each float operation is rounded separately, in the order that the torch modules use, so that both
give the same bits. Affine, RMSNorm and ReLU work in place: new memory would cost more than they.
"""

# ruff: noqa: RUF009 (array(), integer() and real() each make a new dataclass field)

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import pack_bits, unpack_bits, words_for
from bnncli.errors import BnnError
from bnncli.packed.step import Step, array, integer, real, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend
    from bnncli.packed.step import Array, Run


@register
@dataclass(frozen=True, eq=False)
class Pixels(Step):
    """Map bytes to numbers: x = pixel · gain + offset per channel.

    Shape: (n, channels, h, w) uint8 -> (n, h, w, channels) float32.
    """

    kind = "pixels"
    takes = "pixels"
    gives = "floats"

    gain: NDArray[np.float32] = array("<f4", 1, "other")
    offset: NDArray[np.float32] = array("<f4", 1, "other")

    def validate(self) -> None:
        """Refuse a gain and offset of different sizes."""
        if self.gain.shape != self.offset.shape:
            raise self.mismatch(f"{len(self.gain)} gains but {len(self.offset)} offsets")

    def bind(self, backend: Backend) -> Run:
        """Give the function."""

        def run(images: Array) -> Array:
            if images.shape[1] != len(self.gain):
                raise BnnError(
                    f"packed model: images of shape {images.shape} given, expected "
                    f"(n, {len(self.gain)}, height, width)"
                )
            x = images.transpose(0, 2, 3, 1).astype(np.float32, order="C")
            x *= self.gain
            x += self.offset
            return x

        return run


@register
@dataclass(frozen=True, eq=False)
class Affine(Step):
    """Compute y = x · gain + offset per channel, the two operations rounded separately.

    A gain or offset of one element serves all channels.

    Shape: (..., channels) -> (..., channels).
    """

    kind = "affine"
    takes = "floats"
    gives = "floats"

    gain: NDArray[np.float32] = array("<f4", 1, "other")
    offset: NDArray[np.float32] = array("<f4", 1, "other")

    def bind(self, backend: Backend) -> Run:
        """Give the function."""

        def run(x: Array) -> Array:
            x *= self.gain
            x += self.offset
            return x

        return run


@register
@dataclass(frozen=True, eq=False)
class RMSNorm(Step):
    """Compute y = x / sqrt(mean(x²) + eps) · weight over the channels of each position.

    Shape: (..., channels) -> (..., channels).
    """

    kind = "rms-norm"
    takes = "floats"
    gives = "floats"

    weight: NDArray[np.float32] = array("<f4", 1, "other")
    eps: float = real(0.0)

    def bind(self, backend: Backend) -> Run:
        """Give the function."""

        def run(x: Array) -> Array:
            mean_square = np.square(x).mean(axis=-1, keepdims=True)
            x *= np.float32(1) / np.sqrt(mean_square + np.float32(self.eps))
            x *= self.weight
            return x

        return run


@register
@dataclass(frozen=True, eq=False)
class ReLU(Step):
    """Compute max(x, 0).

    Shape: (...) -> (...).
    """

    kind = "relu"
    takes = "floats"
    gives = "floats"

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return lambda x: np.maximum(x, np.float32(0), out=x)


@register
@dataclass(frozen=True, eq=False)
class Sign(Step):
    """Give -1 where x < 0, else +1, as floats.

    Shape: (...) -> (...).
    """

    kind = "sign"
    takes = "floats"
    gives = "floats"

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return lambda x: np.where(x < 0, np.float32(-1), np.float32(1))


@register
@dataclass(frozen=True, eq=False)
class RoundTernary(Step):
    """Round to -1, 0 or +1, halves to even; NaN becomes 0.

    Shape: (...) -> (...).
    """

    kind = "round-ternary"
    takes = "floats"
    gives = "floats"

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return lambda x: np.nan_to_num(np.clip(np.rint(x), -1, 1))


@register
@dataclass(frozen=True, eq=False)
class Binarize(Step):
    """Pack the signs of the channels: bit 1 ⇔ x < 0.

    Shape: (..., channels) float32 -> (..., words_for(channels)) words.
    """

    kind = "binarize"
    takes = "floats"
    gives = "bits"

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return backend.pack_signs


def _reduce_windows(op: np.ufunc, x: Array, size: int) -> Array:
    """Combine each size × size window; rows and columns left over are dropped.

    Shape: (n, h, w, c) -> (n, h // size, w // size, c).
    """
    height, width = x.shape[1] // size * size, x.shape[2] // size * size
    corners = itertools.product(range(size), repeat=2)
    views = (x[:, i:height:size, j:width:size] for i, j in corners)
    return functools.reduce(op, views)


@register
@dataclass(frozen=True, eq=False)
class MaxPool(Step):
    """Keep the largest value of each size × size window, windows side by side.

    Shape: (n, h, w, c) -> (n, h // size, w // size, c).
    """

    kind = "max-pool"
    takes = "floats"
    gives = "floats"

    size: int = integer(1)

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return lambda x: _reduce_windows(np.maximum, x, self.size)


@register
@dataclass(frozen=True, eq=False)
class PoolBits(Step):
    """Pool bits that stand for "below the threshold": AND in a window, OR where ``any_mask`` is 1.

    The largest value of a window is below a rising function's threshold when all values are
    (AND); below a falling function's, which takes its least value at the largest input, when any
    is (OR).

    Shape: (n, h, w, words) -> (n, h // size, w // size, words), any_mask (words,).
    """

    kind = "pool-bits"
    takes = "bits"
    gives = "bits"

    size: int = integer(1)
    any_mask: NDArray[np.uint64] = array("<u8", 1, "thresholds")

    def bind(self, backend: Backend) -> Run:
        """Give the function."""

        def run(x: Array) -> Array:
            every = _reduce_windows(np.bitwise_and, x, self.size)
            some = _reduce_windows(np.bitwise_or, x, self.size)
            out: Array = (every & ~self.any_mask) | (some & self.any_mask)
            return out

        return run


@register
@dataclass(frozen=True, eq=False)
class Flatten(Step):
    """Put the values of an image in one row, channels last.

    Shape: (n, h, w, channels) -> (n, h · w · channels).
    """

    kind = "flatten"
    takes = "floats"
    gives = "floats"

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return lambda x: x.reshape(len(x), -1)


@register
@dataclass(frozen=True, eq=False)
class FlattenBits(Step):
    """Put the bits of an image in one row, channels last, without gaps between positions.

    Shape: (n, h, w, words_for(channels)) -> (n, words_for(h · w · channels)).
    """

    kind = "flatten-bits"
    takes = "bits"
    gives = "bits"

    channels: int = integer(1)

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        if self.channels == 64 * words_for(self.channels):
            return lambda x: x.reshape(len(x), -1)
        return lambda x: pack_bits(unpack_bits(x, self.channels).reshape(len(x), -1))
