"""The only place that knows bit order and sign coding.

A value is stored as one bit: 1 ⇔ value < 0, so +1, 0, -0.0 and NaN all give 0. Element ``i`` of a
row is bit ``i % 64`` of word ``i // 64``; words are little-endian ``uint64``; pad bits are 0.
With both operands coded so, the dot product of two ±1 rows of length n is

    dot(a, b) = n - 2 * popcount(a ^ b)

and zero padding costs nothing, because equal pad bits cancel in the xor.
See ``book/decisions/bit-order.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD_BITS = 64
WORD = np.dtype("<u8")


def words_for(n_bits: int) -> int:
    """Count the 64-bit words that hold ``n_bits`` bits: ceil(n_bits / 64)."""
    return -(-n_bits // WORD_BITS)


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack booleans along the last axis.

    Shape: (..., n) -> (..., words_for(n)), dtype uint64, C-contiguous, pad bits 0.
    """
    n_bits = bits.shape[-1]
    n_bytes = words_for(n_bits) * 8
    packed = np.packbits(bits, axis=-1, bitorder="little")
    out = np.zeros((*bits.shape[:-1], n_bytes), dtype=np.uint8)
    out[..., : packed.shape[-1]] = packed
    return out.view(WORD)


def unpack_bits(words: NDArray[np.uint64], n_bits: int) -> NDArray[np.bool_]:
    """Undo :func:`pack_bits`.

    Shape: (..., words_for(n_bits)) -> (..., n_bits), dtype bool.
    """
    if words.shape[-1] != words_for(n_bits):
        raise BnnError(
            f"unpack_bits: {words.shape[-1]} words a row given, but n_bits={n_bits} needs "
            f"{words_for(n_bits)}; pass the n_bits that the words were packed with"
        )
    as_bytes = np.ascontiguousarray(words, dtype=WORD).view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, count=n_bits, bitorder="little").view(np.bool_)


def pack_signs(values: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Pack the signs of numbers along the last axis: bit 1 ⇔ value < 0.

    Shape: (..., n) -> (..., words_for(n)).
    """
    return pack_bits(np.less(values, 0))


def unpack_signs(words: NDArray[np.uint64], n_bits: int) -> NDArray[np.float32]:
    """Give the ±1 values that the bits stand for: bit 0 -> +1, bit 1 -> -1.

    Shape: (..., words_for(n_bits)) -> (..., n_bits), dtype float32.
    """
    return np.where(unpack_bits(words, n_bits), np.float32(-1), np.float32(1))


def planes_for(n_values: int) -> int:
    """Count the bits of an integer below ``n_values``."""
    return (n_values - 1).bit_length()


def pack_integers(values: NDArray[np.int64], n_values: int) -> NDArray[np.uint64]:
    """Pack integers of 0 to n_values - 1 along the last axis, a plane for each bit, lowest first.

    Shape: (..., n) -> (planes_for(n_values), ..., words_for(n)).
    """
    return np.stack([pack_bits(values >> i & 1 != 0) for i in range(planes_for(n_values))])


def unpack_integers(planes: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
    """Undo :func:`pack_integers`.

    Shape: (planes, ..., words_for(n)) -> (..., n).
    """
    total = np.zeros((*planes.shape[1:-1], n), dtype=np.int64)
    for i, plane in enumerate(planes):
        total += unpack_bits(plane, n).astype(np.int64) << i
    return total


def xor_popcount(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Count differing bits along the last axis: popcount(a ^ b).

    Shape: (..., w), (..., w) -> (...), broadcast as numpy does, dtype int32.
    """
    counts: NDArray[np.int32] = np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.int32)
    return counts
