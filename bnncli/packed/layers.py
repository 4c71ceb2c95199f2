"""Steps with weights: float, ±1 and ternary, each as linear layer and as convolution.

Stored weights are one row of bits for each output, without gaps: the inputs of a linear layer, or
the taps (ky, kx) of a kernel with the channels of each. Backends want each tap in whole words;
that form is made when a plan is bound and never stored.

A kind of step is a shape (:class:`Linear`, :class:`Conv2d`) times a computation.
"""

# ruff: noqa: RUF009 (array(), integer() and real() each make a new dataclass field)

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import pack_bits, unpack_bits, words_for
from bnncli.packed.backend import ConvGeometry
from bnncli.packed.step import Step, array, integer, integers, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend
    from bnncli.packed.step import Array, Run


class Layer(Step):
    """A layer's shape: how a backend forms its sums from rows of weight bits."""

    @property
    @abstractmethod
    def n_bits(self) -> int:
        """Count the weights of one output."""

    @abstractmethod
    def float_sums(self, backend: Backend, words: NDArray[np.uint64]) -> Run:
        """Give the function from floats to sums of ±floats."""

    @abstractmethod
    def dense_sums(self, backend: Backend, weights: NDArray[np.float32]) -> Run:
        """Give the function from floats to sums with weights that are numbers.

        Shape: weights (out, n_bits).
        """

    @abstractmethod
    def bit_sums(self, backend: Backend, words: NDArray[np.uint64]) -> Run:
        """Give the function from packed ±1 inputs to int32 sums."""

    @abstractmethod
    def thresholded(
        self, backend: Backend, words: NDArray[np.uint64], thresholds: NDArray[np.int32]
    ) -> Run:
        """Give the function from packed ±1 inputs to the bits sum < threshold."""

    def check_rows(self, words: NDArray[np.uint64]) -> None:
        """Refuse words that do not hold ``n_bits`` bits a row."""
        if words.shape[-1] != words_for(self.n_bits):
            raise self.mismatch(
                f"{words.shape[-1]} words a row but {self.n_bits} weights need "
                f"{words_for(self.n_bits)}"
            )


@dataclass(frozen=True, eq=False)
class Linear(Layer):
    """The shape of a linear layer: (n, in_features) -> (n, out_features)."""

    in_features: int = integer()

    @property
    def n_bits(self) -> int:
        """Count the weights of one output."""
        return self.in_features

    def float_sums(self, backend: Backend, words: NDArray[np.uint64]) -> Run:
        """Give the function from floats to sums of ±floats."""
        matrix = backend.prepare(words, self.in_features)
        return lambda x: backend.sign_gemm(x, matrix)

    def dense_sums(self, backend: Backend, weights: NDArray[np.float32]) -> Run:
        """Give the function from floats to sums with weights that are numbers."""
        return FloatLinear(weight=weights).bind(backend)

    def bit_sums(self, backend: Backend, words: NDArray[np.uint64]) -> Run:
        """Give the function from packed ±1 inputs to int32 sums."""
        matrix = backend.prepare(words, self.in_features)
        return lambda x: backend.xor_gemm(x, matrix)

    def thresholded(
        self, backend: Backend, words: NDArray[np.uint64], thresholds: NDArray[np.int32]
    ) -> Run:
        """Give the function from packed ±1 inputs to the bits sum < threshold."""
        matrix = backend.prepare(words, self.in_features)
        return lambda x: backend.xor_gemm_threshold(x, matrix, thresholds)


@dataclass(frozen=True, eq=False)
class Conv2d(Layer):
    """The shape of a convolution: (n, h, w, in_channels) -> (n, h', w', out_channels)."""

    in_channels: int = integer()
    kernel_size: tuple[int, int] = integers()
    stride: tuple[int, int] = integers()
    padding: tuple[int, int] = integers(0)

    @property
    def geometry(self) -> ConvGeometry:
        """Give the geometry as backends take it."""
        return ConvGeometry(
            in_channels=self.in_channels,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
        )

    @property
    def n_bits(self) -> int:
        """Count the weights of one output."""
        return self.geometry.taps * self.in_channels

    def _padded(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Give each tap whole words.

        Shape: (out, words_for(taps · channels)) -> (out, taps · words_for(channels)).
        """
        bits = unpack_bits(words, self.n_bits).reshape(len(words), -1, self.in_channels)
        return pack_bits(bits).reshape(len(words), -1)

    def float_sums(self, backend: Backend, words: NDArray[np.uint64]) -> Run:
        """Give the function from floats to sums of ±floats."""
        geometry = self.geometry
        matrix = backend.prepare_conv2d(self._padded(words), geometry)
        return lambda x: backend.sign_conv2d(x, matrix, geometry)

    def dense_sums(self, backend: Backend, weights: NDArray[np.float32]) -> Run:
        """Give the function from floats to sums with weights that are numbers."""
        kernel = np.ascontiguousarray(weights.T).reshape(*self.kernel_size, self.in_channels, -1)
        step = FloatConv2d(weight=kernel, stride=self.stride, padding=self.padding)
        return step.bind(backend)

    def bit_sums(self, backend: Backend, words: NDArray[np.uint64]) -> Run:
        """Give the function from packed ±1 inputs to int32 sums."""
        geometry = self.geometry
        matrix = backend.prepare_conv2d(self._padded(words), geometry)
        return lambda x: backend.xor_conv2d(x, matrix, geometry)

    def thresholded(
        self, backend: Backend, words: NDArray[np.uint64], thresholds: NDArray[np.int32]
    ) -> Run:
        """Give the function from packed ±1 inputs to the bits sum < threshold."""
        geometry = self.geometry
        matrix = backend.prepare_conv2d(self._padded(words), geometry)
        return lambda x: backend.xor_conv2d_threshold(x, matrix, geometry, thresholds)


@dataclass(frozen=True, eq=False)
class SignWeights(Layer):
    """±1 weights on float inputs: each sum adds or subtracts an input."""

    takes = "floats"
    gives = "floats"

    words: NDArray[np.uint64] = array("<u8", 2, "weights")

    def validate(self) -> None:
        """Refuse rows of the wrong length."""
        self.check_rows(self.words)

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return self.float_sums(backend, self.words)


@dataclass(frozen=True, eq=False)
class TernaryWeights(Layer):
    """Weights -1, 0 and +1 on float inputs, as the mean of two ±1 matrices.

    Plane 0 has the zeros as +1, plane 1 as -1: w = (w0 + w1) / 2.

    Shape: planes (2, out, words_for(n_bits)).
    """

    takes = "floats"
    gives = "floats"

    planes: NDArray[np.uint64] = array("<u8", 3, "weights")

    def validate(self) -> None:
        """Refuse rows of the wrong length and another number of planes."""
        self.check_rows(self.planes)
        if len(self.planes) != 2:
            raise self.mismatch(f"{len(self.planes)} planes of weights, expected 2")

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        zeros_up, zeros_down = (self.float_sums(backend, words) for words in self.planes)

        def run(x: Array) -> Array:
            sums = zeros_up(x)
            sums = sums + zeros_down(x)
            sums *= np.float32(0.5)
            return sums

        return run


@dataclass(frozen=True, eq=False)
class XnorWeights(Layer):
    """±1 weights on ±1 inputs: integer sums n - 2 popcount(x ^ w), given as floats."""

    takes = "bits"
    gives = "floats"

    words: NDArray[np.uint64] = array("<u8", 2, "weights")

    def validate(self) -> None:
        """Refuse rows of the wrong length."""
        self.check_rows(self.words)

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        sums = self.bit_sums(backend, self.words)
        return lambda x: sums(x).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ThresholdWeights(Layer):
    """±1 weights on ±1 inputs with ±1 outputs: bit 1 ⇔ sum < threshold of the output."""

    takes = "bits"
    gives = "bits"

    words: NDArray[np.uint64] = array("<u8", 2, "weights")
    thresholds: NDArray[np.int32] = array("<i4", 1, "thresholds")

    def validate(self) -> None:
        """Refuse rows of the wrong length and another number of thresholds."""
        self.check_rows(self.words)
        if len(self.words) != len(self.thresholds):
            raise self.mismatch(f"{len(self.words)} rows but {len(self.thresholds)} thresholds")

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return self.thresholded(backend, self.words, self.thresholds)


@register
@dataclass(frozen=True, eq=False)
class SignLinear(SignWeights, Linear):
    """±1 weights on float rows."""

    kind = "sign-linear"


@register
@dataclass(frozen=True, eq=False)
class SignConv2d(SignWeights, Conv2d):
    """±1 weights on float images."""

    kind = "sign-conv2d"


@register
@dataclass(frozen=True, eq=False)
class TernaryLinear(TernaryWeights, Linear):
    """Ternary weights on float rows."""

    kind = "ternary-linear"


@register
@dataclass(frozen=True, eq=False)
class TernaryConv2d(TernaryWeights, Conv2d):
    """Ternary weights on float images."""

    kind = "ternary-conv2d"


@register
@dataclass(frozen=True, eq=False)
class XnorLinear(XnorWeights, Linear):
    """±1 weights on ±1 rows."""

    kind = "xnor-linear"


@register
@dataclass(frozen=True, eq=False)
class XnorConv2d(XnorWeights, Conv2d):
    """±1 weights on ±1 images."""

    kind = "xnor-conv2d"


@register
@dataclass(frozen=True, eq=False)
class ThresholdLinear(ThresholdWeights, Linear):
    """±1 weights on ±1 rows, signs out."""

    kind = "threshold-linear"


@register
@dataclass(frozen=True, eq=False)
class ThresholdConv2d(ThresholdWeights, Conv2d):
    """±1 weights on ±1 images, signs out."""

    kind = "threshold-conv2d"


@register
@dataclass(frozen=True, eq=False)
class FloatLinear(Step):
    """Multiply by unquantized weights: y = x Wᵀ.

    Shape: (n, in_features) -> (n, out_features), weight (out_features, in_features).
    """

    kind = "float-linear"
    takes = "floats"
    gives = "floats"

    weight: NDArray[np.float32] = array("<f4", 2, "weights")

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        return lambda x: x @ self.weight.T


@register
@dataclass(frozen=True, eq=False)
class FloatConv2d(Step):
    """Convolve with unquantized weights and zero padding.

    Shape: (n, h, w, in_channels) -> (n, h', w', out), weight (ky, kx, in_channels, out).
    """

    kind = "float-conv2d"
    takes = "floats"
    gives = "floats"

    weight: NDArray[np.float32] = array("<f4", 4, "weights")
    stride: tuple[int, int] = integers()
    padding: tuple[int, int] = integers(0)

    def bind(self, backend: Backend) -> Run:
        """Give the function: one matrix product for each tap."""
        kernel_h, kernel_w, in_channels, out_channels = self.weight.shape
        geometry = ConvGeometry(
            in_channels=in_channels,
            kernel_size=(kernel_h, kernel_w),
            stride=self.stride,
            padding=self.padding,
        )
        (pad_h, pad_w), (step_h, step_w) = self.padding, self.stride

        def run(x: Array) -> Array:
            out_h, out_w = geometry.output_size(x.shape[1], x.shape[2])
            x = np.pad(x, ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
            out = np.zeros((len(x), out_h, out_w, out_channels), dtype=np.float32)
            for i in range(kernel_h):
                for j in range(kernel_w):
                    rows = slice(i, i + step_h * (out_h - 1) + 1, step_h)
                    columns = slice(j, j + step_w * (out_w - 1) + 1, step_w)
                    tap = x[:, rows, columns].reshape(-1, in_channels)
                    out += (tap @ self.weight[i, j]).reshape(out.shape)
            return out

        return run
