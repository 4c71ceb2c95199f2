"""What flows between the steps of a packed model while they are turned into gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.elementwise import Affine, Flatten, MaxPool

    Ints = NDArray[np.int64]

EXACT = 2**24
"""Whole numbers below this are exact as float32, and so are their sums in any order."""


@dataclass(frozen=True, eq=False)
class Images:
    """Bytes: literals of the bits of each, the lowest first. Shape: (channels, h, w, 8)."""

    literals: Ints


@dataclass(frozen=True, eq=False)
class Bits:
    """Literals that are true where the value is -1, false where it is +1. Shape: (…, features)."""

    literals: Ints

    def numbers(self) -> Numbers:
        """Give 1 - 2 · literal."""
        weights = np.full((*self.literals.shape, 1), -2, np.int64)
        return Numbers(self.literals[..., None], weights, np.ones_like(self.literals), 1.0)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Values unit · (offset + Σ weights[…, b] · literals[…, b]), ``unit`` a power of two.

    Shape: literals, weights (…, features, b); offset (…, features).
    """

    literals: Ints
    weights: Ints
    offset: Ints
    unit: float

    def reshaped(self, *shape: int) -> Numbers:
        """Put the features in another shape."""
        digits = (*shape, self.literals.shape[-1])
        return Numbers(
            self.literals.reshape(digits),
            self.weights.reshape(digits),
            self.offset.reshape(shape),
            self.unit,
        )


@dataclass(frozen=True, eq=False)
class Sums:
    """Outputs of a layer at each position, and the float steps behind them so far.

    Output k at position p is chain(unit · (offset[p, k] + Σ weights[p, k, i] · literals[p, i])),
    the weights being those of the layer, times those of what it reads.
    Shape: matrix (out, features); the numbers' literals (positions, features, b).
    """

    inputs: Numbers
    matrix: Ints
    places: tuple[int, int] | None  # height and width of images, None for rows
    pending: tuple[Affine | MaxPool | Flatten, ...] = ()

    def __post_init__(self) -> None:
        reach = np.abs(self.inputs.weights).sum(axis=-1) + np.abs(self.inputs.offset)
        largest = int((reach @ np.abs(self.matrix).T).max(initial=0))
        if largest >= EXACT:
            raise BnnError(
                f"sums up to {largest:,} units: float32 adds whole numbers exactly only below "
                f"{EXACT:,}, so that no circuit is certain to agree"
            )

    def then(self, step: Affine | MaxPool | Flatten) -> Sums:
        """Note a step behind the sums."""
        return Sums(self.inputs, self.matrix, self.places, (*self.pending, step))

    @property
    def n_positions(self) -> int:
        """Count the positions: 1 for rows."""
        return len(self.inputs.literals)

    def literals(self, position: int) -> Ints:
        """Give what all outputs of a position read. Shape: -> (features · b,)."""
        row: Ints = self.inputs.literals[position]
        return row.ravel()

    def weights(self, position: int) -> Ints:
        """Give the weights of a position. Shape: -> (out, features · b)."""
        spread: Ints = self.matrix[:, :, None] * self.inputs.weights[position]
        return spread.reshape(len(self.matrix), -1)

    def offset(self, position: int) -> Ints:
        """Give the constants of a position. Shape: -> (out,)."""
        constants: Ints = self.matrix @ self.inputs.offset[position]
        return constants
