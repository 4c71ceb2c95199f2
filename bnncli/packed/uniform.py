"""Steps with integer weights of n bits on float inputs: registers and analog votes.

Stored are bit planes; they are decoded once, when a plan is bound, into whole numbers as float32.
Sums of ±1 inputs are then exact below 2^24, and the scale comes after the sum as an affine step.
"""

# ruff: noqa: RUF009 (array() and integer() each make a new dataclass field)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import planes_for, unpack_integers
from bnncli.packed.layers import Conv2d, Layer, Linear
from bnncli.packed.step import array, integer, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend
    from bnncli.packed.step import Run


@dataclass(frozen=True, eq=False)
class UniformWeights(Layer):
    """Weights on equally spaced levels: plane i holds bit i of k = 0 … n_levels - 1.

    An odd number of levels stands for k - (n_levels - 1) / 2, an even one for 2k - (n_levels - 1).

    Shape: planes (planes_for(n_levels), out, words_for(n_bits)).
    """

    takes = "floats"
    gives = "floats"

    planes: NDArray[np.uint64] = array("<u8", 3, "weights")
    n_levels: int = integer(2)

    def validate(self) -> None:
        """Refuse rows of the wrong length and another number of planes."""
        self.check_rows(self.planes)
        expected = planes_for(self.n_levels)
        if len(self.planes) != expected:
            raise self.mismatch(
                f"{len(self.planes)} planes of weights, but {self.n_levels} levels need {expected}"
            )

    def weights(self) -> NDArray[np.float32]:
        """Give the whole numbers that the planes stand for.

        Shape: -> (out, n_bits).
        """
        k = unpack_integers(self.planes, self.n_bits)
        if k.max() >= self.n_levels:
            raise self.mismatch(f"a weight of level {k.max()}, expected 0 to {self.n_levels - 1}")
        twice = 2 * k - (self.n_levels - 1)
        return (twice // (1 + self.n_levels % 2)).astype(np.float32)

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return self.dense_sums(backend, self.weights())


@register
@dataclass(frozen=True, eq=False)
class UniformLinear(UniformWeights, Linear):
    """Integer weights on float rows."""

    kind = "uniform-linear"


@register
@dataclass(frozen=True, eq=False)
class UniformConv2d(UniformWeights, Conv2d):
    """Integer weights on float images."""

    kind = "uniform-conv2d"
