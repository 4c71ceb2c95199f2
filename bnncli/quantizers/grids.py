"""Grids: the finite set of values that codes stand for, how to round to it and how to pack it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bnncli import bits
from bnncli.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Grid(Protocol):
    """A finite set of values, coded as small integers.

    ``noise`` is None for rounding to the nearest value, or uniform numbers in [0, 1) of the shape
    of ``x`` for stochastic rounding, which is unbiased inside the grid's range. Values are integers;
    levels are ``step`` times them, so that a layer can sum integers and scale the sum.
    """

    n_levels: int
    step: float
    scale_invariant: bool  # codes(x) == codes(x / s) for every s > 0

    def encode(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Round to codes.

        Shape: (...) -> (...), the smallest signed integers that hold the grid.
        """

    def decode(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """Give the value of each code, an integer.

        Shape: (...) -> (...).
        """

    def round(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Give decode(encode(x)) without the detour through integers.

        Shape: (...) -> (...).
        """

    def pack(self, codes: NDArray[np.signedinteger[Any]]) -> NDArray[np.uint64]:
        """Pack codes along the last axis.

        Shape: (..., n) -> (planes, ..., words_for(n)).
        """

    def unpack(self, words: NDArray[np.uint64], n: int) -> NDArray[np.signedinteger[Any]]:
        """Undo :meth:`pack`.

        Shape: (planes, ..., words_for(n)) -> (..., n).
        """


def bits_per_code(grid: Grid) -> float:
    """Give the information content of one code in bits: log2(levels)."""
    return math.log2(grid.n_levels)


class BinaryGrid:
    """The values -1 and +1; zero, -0.0 and NaN round to +1.

    Stochastic rounding gives +1 with probability hard_sigmoid(x) = clamp((x + 1) / 2, 0, 1)
    (BinaryConnect, Courbariaux et al. 2015, arXiv:1511.00363).
    """

    n_levels = 2
    step = 1.0
    scale_invariant = True

    def _sign(self, x: Tensor, noise: Tensor | None, out: Tensor) -> Tensor:
        # x >= 2u - 1 has probability clamp((x + 1) / 2, 0, 1) for u uniform in [0, 1).
        # Writing the comparison into `out` and mapping 0, 1 to +1, -1 is 10x faster than where().
        threshold = torch.zeros((), dtype=x.dtype, device=x.device)
        torch.lt(x, threshold if noise is None else noise.mul(2).sub_(1), out=out)
        return torch.sub(torch.ones_like(threshold, dtype=out.dtype), out, alpha=2, out=out)

    def encode(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Give -1 where x < 0 (or below the noise), else +1."""
        return self._sign(x, noise, torch.empty_like(x, dtype=torch.int8))

    def decode(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """Give the codes as real numbers."""
        return codes.to(dtype)

    def round(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Give ±1 as real numbers."""
        return self._sign(x, noise, torch.empty_like(x))

    def pack(self, codes: NDArray[np.signedinteger[Any]]) -> NDArray[np.uint64]:
        """Pack the signs into one plane."""
        return bits.pack_signs(codes)[None]

    def unpack(self, words: NDArray[np.uint64], n: int) -> NDArray[np.int8]:
        """Give -1 and +1."""
        return bits.unpack_signs(words[0], n).astype(np.int8)


class TernaryGrid:
    """The values -1, 0 and +1, rounded to nearest after division by the scale.

    With the mean-abs scale this is the absmean rounding of BitNet b1.58 (Ma et al. 2024,
    arXiv:2402.17764). Packed as a sign plane and a non-zero plane.
    """

    n_levels = 3
    step = 1.0
    scale_invariant = False

    def round(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Give clamp(round(x), -1, 1), or clamp(floor(x + noise), -1, 1) with noise."""
        near = x.round() if noise is None else torch.floor(x + noise)
        # + 0.0 turns the -0.0 that rounding leaves into the grid's single zero; NaN becomes 0.
        return near.clamp_(-1, 1).nan_to_num_(0.0).add_(0.0)

    def encode(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Give -1, 0 or +1."""
        return self.round(x, noise).to(torch.int8)

    def decode(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """Give the codes as real numbers."""
        return codes.to(dtype)

    def pack(self, codes: NDArray[np.signedinteger[Any]]) -> NDArray[np.uint64]:
        """Pack into two planes: sign (1 ⇔ negative) and non-zero."""
        return np.stack([bits.pack_signs(codes), bits.pack_bits(codes != 0)])

    def unpack(self, words: NDArray[np.uint64], n: int) -> NDArray[np.int8]:
        """Give -1, 0 and +1."""
        sign = bits.unpack_signs(words[0], n)
        return (sign * bits.unpack_bits(words[1], n)).astype(np.int8)


class UniformGrid:
    """Levels at equal distances from -1 to +1, both included: 2^n, 3^n or S + 1 of them.

    An odd number of levels has the values c = -h … h and the step 1/h, h = (levels - 1) / 2. An even
    one has no zero: the odd values 2c + 1 and the step 1 / (levels - 1). Packed as one plane of words
    for each bit of c - lowest.
    """

    scale_invariant = False

    def __init__(self, n_levels: int) -> None:
        if not 2 <= n_levels <= 2**16:
            raise UsageError(f"a grid of {n_levels} levels: expected 2 to {2**16}")
        self.n_levels = n_levels
        self.even = 1 - n_levels % 2
        self.lowest = -(n_levels // 2)
        self.highest = (n_levels - 1) // 2
        self.step = 1 / (n_levels - 1) if self.even else 1 / self.highest
        self.dtype = torch.int8 if n_levels <= 2**8 else torch.int16

    def encode(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Give the code of the nearest value, or of the one below x + noise; NaN becomes 0."""
        position = (x.float() - 1) / 2 if self.even else x.float()
        near = position.round() if noise is None else torch.floor(position + noise)
        return near.nan_to_num_(0.0).clamp_(self.lowest, self.highest).to(self.dtype)

    def decode(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """Give c, or 2c + 1."""
        return codes.to(dtype).mul_(2).add_(1) if self.even else codes.to(dtype)

    def round(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Give the value next to x."""
        return self.decode(self.encode(x, noise), x.dtype)

    def pack(self, codes: NDArray[np.signedinteger[Any]]) -> NDArray[np.uint64]:
        """Pack c - lowest."""
        return bits.pack_integers(codes.astype(np.int64) - self.lowest, self.n_levels)

    def unpack(self, words: NDArray[np.uint64], n: int) -> NDArray[np.signedinteger[Any]]:
        """Add the planes up again."""
        codes = bits.unpack_integers(words, n) + self.lowest
        return codes.astype(np.int8 if self.dtype is torch.int8 else np.int16)
