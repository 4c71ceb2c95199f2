"""Run gate networks with the C interpreter; see ``book/decisions/interpreter.md``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import WORD
from bnncli.native.logic_schedule import MAX_NARROW, schedule
from bnncli.packed.backend import check_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

_HUGE_PAGE = 2**21


def huge_page_words(n_words: int) -> NDArray[np.uint64]:
    """Return uninitialized words that start on a huge page, where the system has such.

    The slots are read in no order, so with pages of 4 KB most reads would miss the TLB. numpy asks
    for huge pages in arrays from 4 MB on; those that are never touched cost nothing.
    """
    per_page = _HUGE_PAGE // WORD.itemsize
    spare = np.empty(n_words + 2 * per_page, dtype=WORD)
    skip = -spare.ctypes.data % _HUGE_PAGE // WORD.itemsize
    return spare[skip : skip + n_words]


class LogicInterpreter:
    """Evaluate a gate network; a call gives the counts. Threads may call at the same time.

    Shape: (n, n_pixels) uint8 -> (n, n_groups) int32.
    """

    def __init__(self, network: LogicNetwork, ffi: Any, lib: Any, isa: Any) -> None:
        self._ffi, self._lib, self._isa = ffi, lib, isa
        self._n_groups = network.n_groups
        self.program = schedule(network)
        self._c_program = self._make_program()
        self._scratch = threading.local()

    def _pointer(self, array: NDArray[Any], c_type: str) -> Any:
        """Point to an array; the pointer keeps the array alive."""
        pointer = self._ffi.from_buffer(f"{c_type}[]", np.ascontiguousarray(array))
        self._kept.append(pointer)
        return pointer

    def _make_program(self) -> Any:
        # A struct does not keep alive what its pointers point to.
        self._kept: list[Any] = []
        program, inputs = self.program, self.program.inputs
        narrow = program.n_slots <= MAX_NARROW
        operands = program.operands.astype(np.uint16 if narrow else np.uint32)
        pointer = self._pointer(operands, operands.dtype.name + "_t")
        runs = self._pointer(program.runs, "uint32_t")
        return self._ffi.new(
            "bnn_logic_program *",
            {
                "blocks": len(inputs.offsets),
                "inputs": program.n_inputs,
                "offsets": self._pointer(inputs.offsets, "uint32_t"),
                "thresholds": self._pointer(inputs.thresholds, "uint8_t"),
                "used": self._pointer(inputs.used, "uint64_t"),
                "span": inputs.span,
                "runs": len(program.runs),
                "run": self._ffi.cast("bnn_logic_run *", runs),
                "narrow": pointer if narrow else self._ffi.NULL,
                "wide": self._ffi.NULL if narrow else pointer,
                "groups": len(program.ends),
                "ends": self._pointer(program.ends, "uint32_t"),
                "counted": self._pointer(program.counted, "uint32_t"),
                "biases": self._pointer(program.biases, "int32_t"),
                "planes": program.n_planes,
            },
        )

    def _values(self) -> Any:
        """Point to the slots of this thread."""
        if not hasattr(self._scratch, "values"):
            words = huge_page_words(self.program.n_slots * self._lib.BNN_LOGIC_WORDS)
            self._scratch.values = self._ffi.from_buffer("uint64_t[]", words)
        return self._scratch.values

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Count the true outputs of each group."""
        check_array("logic network: images", images, np.uint8, (None, None))
        n, n_pixels = images.shape
        out = np.empty((n, self._n_groups), dtype=np.int32)
        self._lib.bnn_logic_count(
            self._isa,
            self._c_program,
            self._ffi.from_buffer("uint8_t[]", images),
            n,
            n_pixels,
            self._values(),
            self._ffi.from_buffer("int32_t[]", out, require_writable=True),
        )
        return out

    def evaluate(
        self, inputs: NDArray[np.uint64], out: NDArray[np.uint64] | None = None
    ) -> NDArray[np.uint64]:
        """Compute the counted signals from the bits of the program's inputs, 512 samples a pass.

        Shape: (passes, n_inputs, 8) -> (passes, n_counted, 8).
        """
        n_words = self._lib.BNN_LOGIC_WORDS
        n_inputs, n_counted = self.program.n_inputs, len(self.program.counted)
        check_array("logic network: inputs", inputs, WORD, (None, n_inputs, n_words))
        if out is None:
            out = np.empty((len(inputs), n_counted, n_words), dtype=WORD)
        check_array("logic network: out", out, WORD, (len(inputs), n_counted, n_words))
        self._lib.bnn_logic_evaluate(
            self._isa,
            self._c_program,
            self._ffi.from_buffer("uint64_t[]", inputs),
            len(inputs),
            self._values(),
            self._ffi.from_buffer("uint64_t[]", out, require_writable=True),
        )
        return out

    def spin(self, operations: int) -> None:
        """Do two-input operations on 512 bits in registers alone: the limit of the processor."""
        self._lib.bnn_logic_spin(self._isa, operations)
