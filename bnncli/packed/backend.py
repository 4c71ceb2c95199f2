"""What computes on packed words: the operations, their operands and the checks they share.

Two implementations give the same integers: :class:`bnncli.packed.reference.NumpyBackend` and
:class:`bnncli.native.kernels.CBackend`. Arrays are C-contiguous. Words have pad bits 0 (see
:mod:`bnncli.bits`): :meth:`Backend.prepare` checks the weights, activations are trusted because
they come from :meth:`Backend.pack_signs` or a thresholded layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bnncli.bits import WORD, WORD_BITS, words_for
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

MAX_BITS = 2**31 - 2
"""A dot product of more bits would not fit int32."""


@dataclass(frozen=True, kw_only=True)
class ConvGeometry:
    """Describe a two-dimensional convolution as torch does; each pair is (height, width)."""

    in_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if (
            self.in_channels < 1
            or min(*self.kernel_size, *self.stride) < 1
            or min(self.padding) < 0
        ):
            raise BnnError(
                f"{self}: in_channels, kernel_size and stride must be at least 1 and padding at "
                "least 0"
            )

    @property
    def taps(self) -> int:
        """Count the kernel positions: kernel height * kernel width."""
        return self.kernel_size[0] * self.kernel_size[1]

    @property
    def tap_words(self) -> int:
        """Count the words that hold the channels of one position."""
        return words_for(self.in_channels)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the output height and width: (size + 2 padding - kernel) // stride + 1."""
        out = [
            (size + 2 * padding - kernel) // stride + 1
            for size, kernel, stride, padding in zip(
                (height, width), self.kernel_size, self.stride, self.padding, strict=True
            )
        ]
        if min(out) < 1:
            raise BnnError(
                f"convolution: an image of {height}x{width} with padding {self.padding} is smaller "
                f"than the kernel {self.kernel_size}; enlarge the image or the padding"
            )
        return out[0], out[1]


@dataclass(frozen=True, eq=False)
class BitMatrix:
    """Hold packed weights and what a backend made of them.

    ``words`` is the canonical form, the only one that is ever stored: row-major, one row for each
    output. ``prepared`` belongs to the backend whose ``prepare`` made it.
    """

    words: NDArray[np.uint64]
    n_rows: int
    n_bits: int
    prepared: Any


class Backend(Protocol):
    """Compute on packed words. See ``book/decisions/kernel-dispatch.md``."""

    @property
    def name(self) -> str:
        """Name the implementation: numpy, c:ref, c:scalar, c:avx2, c:avx512 or c:neon."""
        ...

    def prepare(self, words: NDArray[np.uint64], n_bits: int) -> BitMatrix:
        """Prepare the weights of a linear layer.

        Shape: (n_rows, words_for(n_bits)).
        """
        ...

    def prepare_conv2d(self, words: NDArray[np.uint64], geometry: ConvGeometry) -> BitMatrix:
        """Prepare the weights of a convolution: for each tap (ky, kx) the words of its channels.

        Shape: (n_out, kernel_h * kernel_w * words_for(in_channels)).
        """
        ...

    def pack_signs(self, x: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Pack the signs along the last axis: bit 1 ⇔ x < 0, so NaN and -0.0 give 0.

        Shape: (..., n) -> (..., words_for(n)).
        """
        ...

    def xor_gemm(self, a_words: NDArray[np.uint64], b: BitMatrix) -> NDArray[np.int32]:
        """Multiply ±1 rows: dot = n_bits - 2 * popcount(a ^ b).

        Shape: (m, words_for(n_bits)) -> (m, n_rows).
        """
        ...

    def xor_gemm_threshold(
        self, a_words: NDArray[np.uint64], b: BitMatrix, thresholds: NDArray[np.int32]
    ) -> NDArray[np.uint64]:
        """Multiply ±1 rows and keep the sign: bit 1 ⇔ dot < thresholds[row of b].

        The threshold -2**31 never sets the bit, 2**31 - 1 always does.

        Shape: (m, words_for(n_bits)), (n_rows,) -> (m, words_for(n_rows)).
        """
        ...

    def sign_gemm(self, x: NDArray[np.float32], b: BitMatrix) -> NDArray[np.float32]:
        """Multiply floats by ±1 rows: the sum of +x or -x.

        Shape: (m, n_bits) -> (m, n_rows).
        """
        ...

    def xor_conv2d(
        self, a_words: NDArray[np.uint64], b: BitMatrix, geometry: ConvGeometry
    ) -> NDArray[np.int32]:
        """Convolve ±1 images, channels last; a padded position adds 0, as in torch.

        Shape: (batch, h, w, words_for(in_channels)) -> (batch, out_h, out_w, n_rows).
        """
        ...

    def xor_conv2d_threshold(
        self,
        a_words: NDArray[np.uint64],
        b: BitMatrix,
        geometry: ConvGeometry,
        thresholds: NDArray[np.int32],
    ) -> NDArray[np.uint64]:
        """Convolve ±1 images and keep the sign: bit 1 ⇔ dot < thresholds[output channel].

        Shape: (batch, h, w, words_for(in_channels)), (n_rows,)
        -> (batch, out_h, out_w, words_for(n_rows)).
        """
        ...

    def sign_conv2d(
        self, x: NDArray[np.float32], b: BitMatrix, geometry: ConvGeometry
    ) -> NDArray[np.float32]:
        """Convolve float images with ±1 weights, channels last, zero padding.

        Shape: (batch, h, w, in_channels) -> (batch, out_h, out_w, n_rows).
        """
        ...

    def prepare_logic(
        self, network: LogicNetwork
    ) -> Callable[[NDArray[np.uint8]], NDArray[np.int32]]:
        """Prepare a gate network; give the function from flattened images to its counts.

        Shape: (n, n_pixels) uint8 -> (n, n_groups).
        """
        ...


def check_array(
    what: str, given: object, dtype: np.dtype[Any] | type, shape: tuple[int | None, ...]
) -> None:
    """Refuse an operand of another dtype, shape (None = any size) or memory order."""
    found = type(given).__name__
    if isinstance(given, np.ndarray):
        sizes = given.shape
        if (
            given.dtype == dtype
            and len(sizes) == len(shape)
            and given.flags.c_contiguous
            and all(want is None or want == size for want, size in zip(shape, sizes, strict=True))
        ):
            return
        order = "" if given.flags.c_contiguous else ", not contiguous"
        found = f"{given.dtype.name} array of shape {sizes}{order}"
    raise BnnError(
        f"{what}: {found} given, expected {np.dtype(dtype).name} array of shape "
        f"{_shape_text(shape)}, C-contiguous"
    )


def _shape_text(shape: tuple[int | None, ...]) -> str:
    sizes = ["any" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def check_weights(words: NDArray[np.uint64], n_bits: int) -> None:
    """Refuse linear weights whose words do not hold exactly ``n_bits`` bits a row."""
    if not 1 <= n_bits <= MAX_BITS:
        raise BnnError(f"prepare: n_bits={n_bits} given, expected 1 to {MAX_BITS}")
    check_array(f"prepare: words for n_bits={n_bits}", words, WORD, (None, words_for(n_bits)))
    _check_pad_bits(words, n_bits)


def check_conv_weights(words: NDArray[np.uint64], geometry: ConvGeometry) -> None:
    """Refuse convolution weights whose words do not fit the geometry."""
    n_words = geometry.taps * geometry.tap_words
    if n_words * WORD_BITS > MAX_BITS:
        raise BnnError(f"prepare_conv2d: {n_words} words a row given, too many for int32 sums")
    check_array(f"prepare_conv2d: words for {geometry}", words, WORD, (None, n_words))
    _check_pad_bits(words.reshape(-1, geometry.tap_words), geometry.in_channels)


def _check_pad_bits(words: NDArray[np.uint64], n_bits: int) -> None:
    used = n_bits % WORD_BITS
    if used and bool(np.any(words[:, -1] >> np.uint64(used))):
        raise BnnError(
            f"prepare: bits beyond the first {n_bits} are set; pack the weights with pad bits 0"
        )


def check_rows(what: str, a_words: NDArray[np.uint64], b: BitMatrix) -> tuple[int, int]:
    """Refuse rows that do not have the bits of the weights; return their number and words."""
    n_words = words_for(b.n_bits)
    if b.words.shape[1] != n_words:
        raise BnnError(
            f"{what}: the weights are those of a convolution with {b.words.shape[1]} words a row; "
            "use the convolution of the same name"
        )
    check_array(f"{what}: a_words", a_words, WORD, (None, n_words))
    return a_words.shape[0], n_words


def check_thresholds(what: str, thresholds: NDArray[np.int32], b: BitMatrix) -> None:
    """Refuse thresholds that are not one int32 for each row of the weights."""
    check_array(f"{what}: thresholds", thresholds, np.int32, (b.n_rows,))


def check_conv(
    what: str,
    x: NDArray[Any],
    dtype: np.dtype[Any] | type,
    depth: int,
    b: BitMatrix,
    geometry: ConvGeometry,
) -> tuple[int, int]:
    """Refuse operands that do not fit the geometry; return the output height and width."""
    check_array(f"{what}: images", x, dtype, (None, None, None, depth))
    if b.words.shape[1] != geometry.taps * geometry.tap_words:
        raise BnnError(
            f"{what}: the weights have {b.words.shape[1]} words a row but {geometry} needs "
            f"{geometry.taps * geometry.tap_words}; prepare them with prepare_conv2d"
        )
    return geometry.output_size(x.shape[1], x.shape[2])
