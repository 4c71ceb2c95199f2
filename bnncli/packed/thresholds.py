"""Fold scale, bias, norm and sign into one integer threshold per output.

Behind an integer sum s in [-n, n] the hard model computes, in float32, a chain of affine steps and
then keeps the sign, bit = y(s) < 0. Each rounded float operation is monotone, so y is monotone,
and the bit changes at most once. A binary search with the very same float operations finds where,
so the packed bit equals the hard bit for every sum; solving for s in real numbers would not.
See ``book/decisions/thresholds.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bnncli.packed.elementwise import Affine


class Thresholds(NamedTuple):
    """Integer thresholds, and the outputs whose weights change sign.

    bit = s' < thresholds with s' = -s where ``flipped``, else s. Both of shape (n_out,).
    """

    thresholds: NDArray[np.int32]
    flipped: NDArray[np.bool_]


def apply_chain(chain: Sequence[Affine], sums: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compute the float32 values behind integer sums, as the hard model does.

    Shape: (..., n_out) -> (..., n_out).
    """
    y = sums.astype(np.float32)
    # Overflow shows as inf or NaN at the ends of the range, which find_thresholds refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        for affine in chain:
            y = y * affine.gain + affine.offset
    return y


def falling(chain: Sequence[Affine], n_out: int) -> NDArray[np.bool_]:
    """Tell which outputs fall with their input: the product of the gains is negative.

    A gain of zero makes an output constant, which counts as rising.

    Shape: -> (n_out,).
    """
    sign = np.ones(n_out, dtype=np.float32)
    for affine in chain:
        sign = sign * np.sign(affine.gain)
    return sign < 0


def find_thresholds(chain: Sequence[Affine], n_inputs: int, n_out: int) -> Thresholds:
    """Find the least t in [-n, n + 1] with y(t) >= 0 for a rising y; y(-t) for a falling one.

    n + 1 stands for "every sum gives bit 1". Shape: -> (n_out,), (n_out,).
    """
    flipped = falling(chain, n_out)
    direction = np.where(flipped, np.int64(-1), np.int64(1))
    for end in (-n_inputs, n_inputs):
        if not np.isfinite(apply_chain(chain, end * direction)).all():
            raise BnnError(
                f"thresholds: a norm or scale gives NaN or infinity for a sum of {end}, expected "
                f"finite values; the training diverged, freeze an earlier checkpoint"
            )
    low = np.full(n_out, -n_inputs, dtype=np.int64)
    high = np.full(n_out, n_inputs + 1, dtype=np.int64)
    while np.any(low < high):
        middle = (low + high) // 2
        reached = apply_chain(chain, middle * direction) >= 0
        # Where low == high, middle may be n + 1, outside the range: leave those alone.
        open_ = low < high
        high = np.where(open_ & reached, middle, high)
        low = np.where(open_ & ~reached, middle + 1, low)
    return Thresholds(low.astype(np.int32), flipped)
