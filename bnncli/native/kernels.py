"""The C kernels behind the signatures of the numpy reference, and the choice between the two.

Every call passes the instruction set along, so backends for different ones can live side by side;
cffi releases the GIL for the duration of a call. The kernels are single-threaded.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import WORD, words_for
from bnncli.errors import BnnError, UsageError
from bnncli.native.logic_eval import LogicInterpreter
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
from bnncli.packed.reference import NumpyBackend

try:
    from bnncli._kernels import ffi as _ffi
    from bnncli._kernels import lib as _lib
except ImportError as error:
    _ffi = _lib = None
    _IMPORT_ERROR = str(error)

ABI = 5
"""The version of kernels/include/bnn_kernels.h that this module was written for."""

if _lib is not None and getattr(_lib, "BNN_ABI", 0) != ABI:
    # Structures of another layout would be computed on without a word.
    _IMPORT_ERROR = f"they were built for version {getattr(_lib, 'BNN_ABI', 0)}, expected {ABI}"
    _ffi = _lib = None

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend
    from bnncli.packed.logic import LogicNetwork

ISA_NAMES = ("ref", "scalar", "avx2", "avx512", "neon")
"""Instruction sets, as BNN_ISA names them; which of them run depends on the machine."""

_CHOICES = ("auto", "c", "numpy")
_CACHE_LINE = 64
_HOW_TO_GET_THEM = (
    "install a C compiler and reinstall bnncli with pip's --no-cache-dir --force-reinstall"
)


def compiled() -> bool:
    """Tell whether the C kernels were built with this installation."""
    return _lib is not None


def available_isas() -> list[str]:
    """List the instruction sets that are compiled in and that this machine supports."""
    if _lib is None:
        return []
    return [name for name in ISA_NAMES if _lib.bnn_isa_find(name.encode())]


def _aligned_words(n_words: int) -> NDArray[np.uint64]:
    """Return uninitialized words that start on a cache line, so that no vector straddles two."""
    spare = np.empty(n_words + _CACHE_LINE // WORD.itemsize, dtype=WORD)
    skip = -spare.ctypes.data % _CACHE_LINE // WORD.itemsize
    return spare[skip : skip + n_words]


def _pointer(array: NDArray[Any], c_type: str) -> Any:
    """Point cffi at an array; the pointer keeps the array alive."""
    return _ffi.from_buffer(f"{c_type}[]", array)


@dataclass(frozen=True)
class Library:
    """The compiled functions and one instruction set, as other faces of the kernels use them."""

    functions: Any
    isa: Any
    isa_name: str
    null: Any

    @staticmethod
    def pointer(array: NDArray[Any], c_type: str) -> Any:
        """Point cffi at an array; the pointer keeps the array alive."""
        return _pointer(array, c_type)

    @staticmethod
    def new(c_type: str, value: Any) -> Any:
        """Make a C value."""
        return _ffi.new(c_type, value)

    @staticmethod
    def collected(pointer: Any, free: Any) -> Any:
        """Free what a function made as soon as nothing refers to it."""
        return _ffi.gc(pointer, free)


def load_library(isa: str | None = None) -> Library:
    """Load the kernels for ``isa``, by default ``BNN_ISA``, else the fastest one."""
    if _lib is None:
        raise BnnError(
            f"the C kernels cannot be loaded ({_IMPORT_ERROR}); {_HOW_TO_GET_THEM}, "
            "or set BNN_KERNEL=numpy"
        )
    wanted = isa or os.environ.get("BNN_ISA")
    found = _lib.bnn_isa_find(wanted.encode()) if wanted else _lib.bnn_isa_best()
    if not found:
        raise UsageError(
            f"instruction set {wanted!r} is unknown or not supported here; set BNN_ISA to one "
            f"of: {', '.join(available_isas())}"
        )
    return Library(_lib, found, _ffi.string(_lib.bnn_isa_name(found)).decode(), _ffi.NULL)


class _Layouts:
    """The layouts that the kernels read, each made from the canonical words at its first use."""

    def __init__(self, words: NDArray[np.uint64], taps: int, bits_per_tap: int) -> None:
        self._words = words
        self._taps = taps
        self._bits_per_tap = bits_per_tap

    @cached_property
    def panels(self) -> Any:
        """Point to the words of 32 outputs side by side, for xor."""
        n_rows, n_words = self._words.shape
        lanes = _lib.BNN_PANEL_LANES
        out = _pointer(_aligned_words(-(-n_rows // lanes) * lanes * n_words), "uint64_t")
        _lib.bnn_panels_pack(_pointer(self._words, "uint64_t"), n_rows, n_words, out)
        return out

    def for_sums(self, isa: Any) -> tuple[Any, Any]:
        """Return the masks and the codes, of which the instruction set reads only one."""
        if _lib.bnn_sign_reads_codes(isa, self._words.shape[0]):
            return _ffi.NULL, self.codes
        return self.masks, _ffi.NULL

    @cached_property
    def codes(self) -> Any:
        """Point to 32 weight bits each of 64 outputs side by side, for sums by table."""
        n_rows = self._words.shape[0]
        lanes = _lib.BNN_MASK_LANES
        n_codes = -(-n_rows // lanes) * lanes * -(-self._taps * self._bits_per_tap // 32)
        out = _pointer(_aligned_words(n_codes // 2), "uint32_t")
        _lib.bnn_codes_pack(
            _pointer(self._words, "uint64_t"), n_rows, self._taps, self._bits_per_tap, out
        )
        return out

    @cached_property
    def masks(self) -> Any:
        """Point to single weight bits of 64 outputs side by side, for sums of floats."""
        n_rows = self._words.shape[0]
        lanes = _lib.BNN_MASK_LANES
        n_masks = -(-n_rows // lanes) * self._taps * self._bits_per_tap
        out = _pointer(_aligned_words(n_masks), "uint64_t")
        _lib.bnn_masks_pack(
            _pointer(self._words, "uint64_t"), n_rows, self._taps, self._bits_per_tap, out
        )
        return out


def _layouts(what: str, b: BitMatrix) -> _Layouts:
    if not isinstance(b.prepared, _Layouts):
        raise BnnError(
            f"{what}: the weights were prepared by another backend; "
            "use prepare of the backend that computes"
        )
    return b.prepared


def _conv_shape(images: NDArray[Any], b: BitMatrix, geometry: ConvGeometry) -> Any:
    batch, height, width, _ = images.shape
    return _ffi.new(
        "bnn_conv_shape *",
        (
            *(batch, height, width, geometry.in_channels, b.n_rows),
            *(*geometry.kernel_size, *geometry.stride, *geometry.padding),
        ),
    )


def check_memory(what: str, status: int) -> None:
    """Raise what a kernel's status says: anything but 0 is scratch memory that it did not get."""
    if status != 0:
        raise MemoryError(f"{what}: no memory for the kernel's scratch rows")


class CBackend:
    """Compute on packed words with the C kernels; see :class:`bnncli.packed.backend.Backend`.

    ``isa`` is one of :data:`ISA_NAMES`; by default ``BNN_ISA``, else the fastest one.
    """

    def __init__(self, isa: str | None = None) -> None:
        library = load_library(isa)
        self._isa = library.isa
        self._name: str = "c:" + library.isa_name

    @property
    def name(self) -> str:
        """Name the implementation and its instruction set."""
        return self._name

    def prepare(self, words: NDArray[np.uint64], n_bits: int) -> BitMatrix:
        """Prepare the weights of a linear layer."""
        check_weights(words, n_bits)
        return BitMatrix(words, words.shape[0], n_bits, _Layouts(words, 1, n_bits))

    def prepare_conv2d(self, words: NDArray[np.uint64], geometry: ConvGeometry) -> BitMatrix:
        """Prepare the weights of a convolution."""
        check_conv_weights(words, geometry)
        n_bits = geometry.taps * geometry.in_channels
        layouts = _Layouts(words, geometry.taps, geometry.in_channels)
        return BitMatrix(words, words.shape[0], n_bits, layouts)

    def pack_signs(self, x: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Pack the signs along the last axis."""
        check_array("pack_signs: x", x, np.float32, (None,) * max(1, np.ndim(x)))
        n = x.shape[-1]
        out = np.empty((*x.shape[:-1], words_for(n)), dtype=WORD)
        if out.size:
            rows = out.size // out.shape[-1]
            x_pointer, out_pointer = _pointer(x, "float"), _pointer(out, "uint64_t")
            _lib.bnn_signs_pack(self._isa, x_pointer, rows, n, out_pointer)
        return out

    def xor_gemm(self, a_words: NDArray[np.uint64], b: BitMatrix) -> NDArray[np.int32]:
        """Multiply ±1 rows."""
        rows, n_words = check_rows("xor_gemm", a_words, b)
        out = np.empty((rows, b.n_rows), dtype=np.int32)
        _lib.bnn_gemm_xor(
            self._isa,
            _pointer(a_words, "uint64_t"),
            *(rows, n_words),
            _layouts("xor_gemm", b).panels,
            *(b.n_rows, b.n_bits),
            _pointer(out, "int32_t"),
        )
        return out

    def xor_gemm_threshold(
        self, a_words: NDArray[np.uint64], b: BitMatrix, thresholds: NDArray[np.int32]
    ) -> NDArray[np.uint64]:
        """Multiply ±1 rows and keep the sign against a threshold."""
        rows, n_words = check_rows("xor_gemm_threshold", a_words, b)
        check_thresholds("xor_gemm_threshold", thresholds, b)
        out = np.empty((rows, words_for(b.n_rows)), dtype=WORD)
        _lib.bnn_gemm_threshold(
            self._isa,
            _pointer(a_words, "uint64_t"),
            *(rows, n_words),
            _layouts("xor_gemm_threshold", b).panels,
            *(b.n_rows, b.n_bits),
            _pointer(thresholds, "int32_t"),
            _pointer(out, "uint64_t"),
        )
        return out

    def sign_gemm(self, x: NDArray[np.float32], b: BitMatrix) -> NDArray[np.float32]:
        """Multiply floats by ±1 rows."""
        check_array("sign_gemm: x", x, np.float32, (None, b.n_bits))
        out = np.empty((x.shape[0], b.n_rows), dtype=np.float32)
        _lib.bnn_gemm_sign(
            self._isa,
            _pointer(x, "float"),
            *x.shape,
            *_layouts("sign_gemm", b).for_sums(self._isa),
            b.n_rows,
            _pointer(out, "float"),
        )
        return out

    def xor_conv2d(
        self, a_words: NDArray[np.uint64], b: BitMatrix, geometry: ConvGeometry
    ) -> NDArray[np.int32]:
        """Convolve ±1 images."""
        out_h, out_w = check_conv("xor_conv2d", a_words, WORD, geometry.tap_words, b, geometry)
        out = np.empty((a_words.shape[0], out_h, out_w, b.n_rows), dtype=np.int32)
        status = _lib.bnn_conv_xor(
            self._isa,
            _conv_shape(a_words, b, geometry),
            _pointer(a_words, "uint64_t"),
            _layouts("xor_conv2d", b).panels,
            _pointer(out, "int32_t"),
        )
        check_memory("xor_conv2d", status)
        return out

    def xor_conv2d_threshold(
        self,
        a_words: NDArray[np.uint64],
        b: BitMatrix,
        geometry: ConvGeometry,
        thresholds: NDArray[np.int32],
    ) -> NDArray[np.uint64]:
        """Convolve ±1 images and keep the sign against a threshold."""
        what = "xor_conv2d_threshold"
        out_h, out_w = check_conv(what, a_words, WORD, geometry.tap_words, b, geometry)
        check_thresholds(what, thresholds, b)
        out = np.empty((a_words.shape[0], out_h, out_w, words_for(b.n_rows)), dtype=WORD)
        status = _lib.bnn_conv_threshold(
            self._isa,
            _conv_shape(a_words, b, geometry),
            _pointer(a_words, "uint64_t"),
            _layouts(what, b).panels,
            _pointer(thresholds, "int32_t"),
            _pointer(out, "uint64_t"),
        )
        check_memory(what, status)
        return out

    def sign_conv2d(
        self, x: NDArray[np.float32], b: BitMatrix, geometry: ConvGeometry
    ) -> NDArray[np.float32]:
        """Convolve float images with ±1 weights."""
        out_h, out_w = check_conv("sign_conv2d", x, np.float32, geometry.in_channels, b, geometry)
        out = np.empty((x.shape[0], out_h, out_w, b.n_rows), dtype=np.float32)
        status = _lib.bnn_conv_sign(
            self._isa,
            _conv_shape(x, b, geometry),
            _pointer(x, "float"),
            *_layouts("sign_conv2d", b).for_sums(self._isa),
            _pointer(out, "float"),
        )
        check_memory("sign_conv2d", status)
        return out

    def prepare_logic(self, network: LogicNetwork) -> LogicInterpreter:
        """Prepare a gate network; give the function from flattened images to its counts."""
        return LogicInterpreter(network, _ffi, _lib, self._isa)


def _choose() -> tuple[Backend, str | None]:
    """Return the backend that BNN_KERNEL asks for, and what the user must be told about it."""
    choice = os.environ.get("BNN_KERNEL") or "auto"
    if choice not in _CHOICES:
        raise UsageError(f"BNN_KERNEL={choice} given, expected one of: {', '.join(_CHOICES)}")
    if choice == "numpy":
        return NumpyBackend(), None
    if choice == "auto" and not compiled():
        return NumpyBackend(), (
            f"bnn: the C kernels are not there ({_IMPORT_ERROR}), using slower numpy; "
            f"{_HOW_TO_GET_THEM}, or set BNN_KERNEL=numpy to accept it"
        )
    return CBackend(), None


@cache
def default_backend() -> Backend:
    """Return the backend that BNN_KERNEL asks for: auto (the default), c or numpy.

    With auto and no compiled kernels it is numpy, announced in one line on stderr.
    """
    backend, notice = _choose()
    if notice:
        print(notice, file=sys.stderr)
    return backend


def backend_name() -> str:
    """Name the backend that :func:`default_backend` returns, without announcing it."""
    return _choose()[0].name
