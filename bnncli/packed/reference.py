"""The operations on packed words in numpy: slower than the C kernels, and their reference.

Bits are unpacked to ±1 floats and multiplied. A sum of n terms ±1 is exact in float32 below 2**24
terms, in any order, and in float64 below 2**53.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bnncli import bits
from bnncli.bits import WORD, unpack_signs
from bnncli.errors import BnnError
from bnncli.packed.backend import (
    BitMatrix,
    ConvGeometry,
    check_array,
    check_conv,
    check_conv_weights,
    check_rows,
    check_thresholds,
    check_weights,
)
from bnncli.packed.logic_reference import LogicReference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

_CHUNK_VALUES = 2**23  # floats unpacked at once: 32 MB
_EXACT_FLOAT32 = 2**24


class _Signs:
    """The ±1 weights as a float matrix, unpacked at the first use."""

    def __init__(self, words: NDArray[np.uint64], taps: int, bits_per_tap: int) -> None:
        self._words = words
        self._taps = taps
        self._bits_per_tap = bits_per_tap

    @cached_property
    def transposed(self) -> NDArray[np.float32]:
        """Shape: (taps * bits_per_tap, n_rows)."""
        n_rows = self._words.shape[0]
        by_tap = self._words.reshape(n_rows, self._taps, -1)
        signs = unpack_signs(by_tap, self._bits_per_tap).reshape(n_rows, -1)
        return np.ascontiguousarray(signs.T)


def _weights(what: str, b: BitMatrix) -> NDArray[np.float32]:
    if not isinstance(b.prepared, _Signs):
        raise BnnError(
            f"{what}: the weights were prepared by another backend; "
            "use prepare of the backend that computes"
        )
    return b.prepared.transposed


def _chunks(n_rows: int, values_per_row: int) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // max(1, values_per_row))
    for start in range(0, n_rows, step):
        yield slice(start, min(n_rows, start + step))


def _patches(x: NDArray[np.float32], geometry: ConvGeometry) -> NDArray[np.float32]:
    """Gather the zero-padded inputs of every output position, tap-major.

    Shape: (batch, h, w, c) -> (batch, out_h, out_w, taps * c).
    """
    (pad_h, pad_w), (stride_h, stride_w) = geometry.padding, geometry.stride
    padded = np.pad(x, ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, geometry.kernel_size, axis=(1, 2))
    windows = windows[:, ::stride_h, ::stride_w].transpose(0, 1, 2, 4, 5, 3)
    return windows.reshape(*windows.shape[:3], -1)


class NumpyBackend:
    """Compute on packed words with numpy; see :class:`bnncli.packed.backend.Backend`."""

    name = "numpy"

    def prepare(self, words: NDArray[np.uint64], n_bits: int) -> BitMatrix:
        """Prepare the weights of a linear layer."""
        check_weights(words, n_bits)
        return BitMatrix(words, words.shape[0], n_bits, _Signs(words, 1, n_bits))

    def prepare_conv2d(self, words: NDArray[np.uint64], geometry: ConvGeometry) -> BitMatrix:
        """Prepare the weights of a convolution."""
        check_conv_weights(words, geometry)
        n_bits = geometry.taps * geometry.in_channels
        signs = _Signs(words, geometry.taps, geometry.in_channels)
        return BitMatrix(words, words.shape[0], n_bits, signs)

    def pack_signs(self, x: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Pack the signs along the last axis."""
        check_array("pack_signs: x", x, np.float32, (None,) * max(1, np.ndim(x)))
        return bits.pack_signs(x)

    def xor_gemm(self, a_words: NDArray[np.uint64], b: BitMatrix) -> NDArray[np.int32]:
        """Multiply ±1 rows."""
        check_rows("xor_gemm", a_words, b)
        weights = _weights("xor_gemm", b)
        dtype = np.float32 if b.n_bits < _EXACT_FLOAT32 else np.float64
        out = np.empty((a_words.shape[0], b.n_rows), dtype=np.int32)
        for rows in _chunks(a_words.shape[0], b.n_bits):
            signs = unpack_signs(a_words[rows], b.n_bits)
            out[rows] = signs.astype(dtype, copy=False) @ weights.astype(dtype, copy=False)
        return out

    def xor_gemm_threshold(
        self, a_words: NDArray[np.uint64], b: BitMatrix, thresholds: NDArray[np.int32]
    ) -> NDArray[np.uint64]:
        """Multiply ±1 rows and keep the sign against a threshold."""
        check_thresholds("xor_gemm_threshold", thresholds, b)
        return bits.pack_bits(self.xor_gemm(a_words, b) < thresholds)

    def sign_gemm(self, x: NDArray[np.float32], b: BitMatrix) -> NDArray[np.float32]:
        """Multiply floats by ±1 rows."""
        check_array("sign_gemm: x", x, np.float32, (None, b.n_bits))
        return x @ _weights("sign_gemm", b)

    def xor_conv2d(
        self, a_words: NDArray[np.uint64], b: BitMatrix, geometry: ConvGeometry
    ) -> NDArray[np.int32]:
        """Convolve ±1 images."""
        out_h, out_w = check_conv("xor_conv2d", a_words, WORD, geometry.tap_words, b, geometry)
        weights = _weights("xor_conv2d", b)
        dtype = np.float32 if weights.shape[0] < _EXACT_FLOAT32 else np.float64
        out = np.empty((a_words.shape[0], out_h, out_w, b.n_rows), dtype=np.int32)
        for images in _chunks(a_words.shape[0], out_h * out_w * weights.shape[0]):
            signs = unpack_signs(a_words[images], geometry.in_channels)
            patches = _patches(signs, geometry).astype(dtype, copy=False)
            out[images] = patches @ weights.astype(dtype, copy=False)
        return out

    def xor_conv2d_threshold(
        self,
        a_words: NDArray[np.uint64],
        b: BitMatrix,
        geometry: ConvGeometry,
        thresholds: NDArray[np.int32],
    ) -> NDArray[np.uint64]:
        """Convolve ±1 images and keep the sign against a threshold."""
        check_thresholds("xor_conv2d_threshold", thresholds, b)
        return bits.pack_bits(self.xor_conv2d(a_words, b, geometry) < thresholds)

    def sign_conv2d(
        self, x: NDArray[np.float32], b: BitMatrix, geometry: ConvGeometry
    ) -> NDArray[np.float32]:
        """Convolve float images with ±1 weights."""
        out_h, out_w = check_conv("sign_conv2d", x, np.float32, geometry.in_channels, b, geometry)
        weights = _weights("sign_conv2d", b)
        out = np.empty((x.shape[0], out_h, out_w, b.n_rows), dtype=np.float32)
        for images in _chunks(x.shape[0], out_h * out_w * weights.shape[0]):
            out[images] = _patches(x[images], geometry) @ weights
        return out

    def prepare_logic(self, network: LogicNetwork) -> LogicReference:
        """Prepare a gate network; give the function from flattened images to its counts."""
        return LogicReference(network)
