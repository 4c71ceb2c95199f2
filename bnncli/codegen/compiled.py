"""Run a design as compiled C on this machine, behind numpy arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import WORD, WORD_BITS
from bnncli.codegen.c import FAST_BUILD, ONE_FUNCTION, c_name, circuit_c
from bnncli.errors import BnnError
from bnncli.native import available_isas
from bnncli.native.compile import load, need_compiler
from bnncli.native.logic_eval import huge_page_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bnncli.circuit.design import Design

_VECTORS = {
    "avx512": (512, ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl")),
    "avx2": (256, ("-mavx2",)),
    "neon": (128, ()),
}
"""By instruction set of this machine: the width in bits and the options for it."""


def vector_options(width: int | None = None) -> tuple[int, tuple[str, ...]]:
    """Give the width in bits (the widest of this machine where none is given) and its options."""
    here = [_VECTORS[isa] for isa in available_isas() if isa in _VECTORS]
    if width is None:
        width = max((bits for bits, _ in here), default=64)
    return width, next((flags for bits, flags in here if bits == width), ())


class CompiledDesign:
    """A design compiled to a library; kept in the cache of compiled code.

    Raises :class:`~bnncli.native.compile.NoCompiler` where there is no C compiler.
    """

    def __init__(
        self,
        design: Design,
        *,
        width: int | None = None,
        keep: bool = True,
        emit: Callable[[Design], str] = circuit_c,
    ) -> None:
        self.design = design
        self.width, vectors = vector_options(width)
        large = design.circuit.size > ONE_FUNCTION
        compiler = need_compiler(f"compiling {design.name}")
        # clang knows none of these, and needs none.
        gcc = "Free Software Foundation" in compiler.version
        fast = ("-O1", *(FAST_BUILD if gcc else ())) if large else ("-O3",)
        self.options = ("-std=c99", *fast, *vectors, f"-DBNN_WIDTH={self.width}")
        self.library_name = name = c_name(design)
        declarations = [
            f"int {name}_words(const uint64_t *, uint64_t *, size_t);",
            f"void {name}_run(const uint64_t *, uint64_t *, uint64_t *);",
            f"extern size_t {name}_slots;",
        ]
        if design.pixels and design.sums:
            declarations += [
                f"int {name}_{verb}(const uint8_t *, size_t, int32_t *);"
                for verb in ("classify", "scores")
            ]
        self.library = load(
            emit(design),
            "\n".join(declarations),
            options=self.options,
            purpose=f"compiling {design.name}",
            keep=keep,
        )

    def _call(self, verb: str, *arguments: Any) -> None:
        if getattr(self.library.lib, f"{self.library_name}_{verb}")(*arguments):
            raise BnnError(f"{self.design.name}: not enough memory to run the compiled circuit")

    def _pointer(self, array: NDArray[Any], kind: str, *, write: bool = False) -> Any:
        return self.library.ffi.from_buffer(f"{kind}[]", array, require_writable=write)

    def simulate(self, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute the outputs as :func:`bnncli.circuit.simulate` does.

        Shape: (n_inputs, words) -> (n_outputs, words).
        """
        circuit = self.design.circuit
        if inputs.ndim != 2 or inputs.dtype != WORD or len(inputs) != circuit.n_inputs:
            raise BnnError(
                f"{self.design.name}: inputs of {inputs.dtype}, shape {inputs.shape}; expected "
                f"uint64, ({circuit.n_inputs}, words)"
            )
        n_words = inputs.shape[1]
        out = np.empty((circuit.n_outputs, n_words), dtype=WORD)
        given = self._pointer(np.ascontiguousarray(inputs), "uint64_t")
        self._call("words", given, self._pointer(out, "uint64_t", write=True), n_words)
        return out

    def one_pass(self) -> OnePass:
        """Give memory for ``width`` cases and the function that computes them in it."""
        return OnePass(self)

    def _images(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        pixels = self.design.pixels
        if pixels is None or self.design.sums is None:
            raise BnnError(f"{self.design.name}: only pixels with class sums give scores")
        rows = images.reshape(len(images), math.prod(images.shape[1:]))
        if rows.shape[1] != pixels.n_pixels or rows.dtype != np.uint8:
            raise BnnError(
                f"{self.design.name}: images of {images.dtype}, shape {images.shape}; expected "
                f"{pixels.n_pixels} bytes each"
            )
        return np.ascontiguousarray(rows)

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Give the scores of all classes; Shape: (n, …) -> (n, n_classes)."""
        rows = self._images(images)
        out = np.empty((len(rows), self.design.sums.n_classes if self.design.sums else 0), np.int32)
        given = self._pointer(rows, "uint8_t")
        self._call("scores", given, len(rows), self._pointer(out, "int32_t", write=True))
        return out

    def classify(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Give the class of the highest score, the first of several; Shape: (n, …) -> (n,)."""
        rows = self._images(images)
        out = np.empty(len(rows), np.int32)
        given = self._pointer(rows, "uint8_t")
        self._call("classify", given, len(rows), self._pointer(out, "int32_t", write=True))
        return out


class OnePass:
    """The circuit alone, on ``width`` cases in memory of its own: what is timed.

    Shape: inputs (n_inputs, width / 64), outputs (n_outputs, width / 64).
    """

    def __init__(self, compiled: CompiledDesign) -> None:
        circuit, lanes = compiled.design.circuit, compiled.width // WORD_BITS
        name, library = compiled.library_name, compiled.library
        n_slots = int(getattr(library.lib, f"{name}_slots"))
        self.inputs, self.outputs, self._slots = (
            huge_page_words(n * lanes).reshape(n, lanes)
            for n in (circuit.n_inputs, circuit.n_outputs, n_slots)
        )
        self._run = getattr(library.lib, f"{name}_run")
        arrays = (self.inputs, self.outputs, self._slots)
        self._pointers = [library.ffi.from_buffer("uint64_t[]", array) for array in arrays]

    def __call__(self) -> NDArray[np.uint64]:
        """Compute the outputs from the inputs."""
        self._run(*self._pointers)
        return self.outputs
