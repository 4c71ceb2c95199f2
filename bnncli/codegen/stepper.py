"""Step boards by a circuit: compiled for this machine, or in numpy where there is no compiler."""

from __future__ import annotations

import math
import os
import platform
import sys
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bnncli.bits import WORD, pack_bits, unpack_bits
from bnncli.circuit.translation import Constant, schedule
from bnncli.codegen.automaton_c import automaton_library, sweep_of
from bnncli.errors import BnnError, UsageError
from bnncli.native.compile import NoCompiler, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.circuit.design import Design
    from bnncli.circuit.translation import Read, Shared
    from bnncli.native.compile import Library

    Board = NDArray[np.uint8]

DECLARATIONS = """
typedef struct board board;
long stepper_lanes(void);
int stepper_runs(void);
board *stepper_make(long height, long width);
void stepper_free(board *b);
void stepper_copy(board *b, uint64_t *words, int out);
void stepper_step(board *b, long steps);
"""
OPTIONS = ("-std=c99", "-O3")
WIDTHS = (512, 256, 64) if platform.machine() in ("x86_64", "AMD64") else (128, 64)
"""Bits of a vector that are tried, the widest first; the processor decides."""

_MAX_SIDE = 65536
_STRIPES = 64
_TABLES: dict[int, np.ufunc] = {
    0x2: np.greater,
    0x4: np.less,
    0x6: np.not_equal,
    0x8: np.logical_and,
    0xE: np.logical_or,
}
"""Truth tables with f(0, 0) = 0 of two booleans."""


class Torus(Protocol):
    """A board whose opposite edges touch, on its way."""

    def step(self, n_steps: int = 1) -> None:
        """Advance every cell."""

    def cells(self) -> Board:
        """Give the cells; Shape: -> (channels, height, width), 0 and 1."""


class BoardStepper:
    """Advance boards by the rule of a design, all cells at once.

    C compiled on this machine steps vectors of 512, 256 or 64 bits, whatever the processor has;
    fast where the width is a multiple of 64 and the height one of 8. ``width`` chooses the bits.
    Without a C compiler, or with BNN_KERNEL=numpy, it is numpy. A fire rate needs
    :class:`bnncli.data.automaton.Automaton`.
    """

    def __init__(self, design: Design, *, width: int | None = None) -> None:
        if not design.channels:
            raise BnnError(f"design {design.name}: expected the rule of a cellular automaton")
        self.design = design
        self._library: Library | None = None
        self.name = "numpy"
        if os.environ.get("BNN_KERNEL") == "numpy" and width is None:
            return
        try:
            self._library, bits = _widest(design, (width,) if width else WIDTHS)
        except NoCompiler:
            if width or os.environ.get("BNN_KERNEL") == "c":
                raise
            _announce_numpy()
        else:
            self.name = f"c:{bits}"

    def torus(self, board: Board) -> Torus:
        """Begin with a board; Shape: (channels, height, width), 0 and 1."""
        channels = self.design.channels
        if board.ndim != 3 or len(board) != channels or min(board.shape[1:]) < 1:
            raise UsageError(
                f"board of shape {board.shape}: expected ({channels}, height, width), both at "
                f"least 1"
            )
        if max(board.shape[1:]) > _MAX_SIDE:
            raise UsageError(f"board of shape {board.shape}: expected at most {_MAX_SIDE} a side")
        if board.dtype != np.uint8 or board.max() > 1:
            raise UsageError(
                f"board of {board.dtype} up to {board.max()}: expected uint8, 0 (dead) and 1"
            )
        if self._library is None:
            return _NumpyTorus(schedule(self.design.circuit), board)
        return _CompiledTorus(self._library, board, transposed=self._transposed)

    @cached_property
    def _transposed(self) -> bool:
        return sweep_of(self.design.circuit)[1]

    def run(self, board: Board, n_steps: int = 1) -> Board:
        """Give the board after some steps.

        Shape: (..., channels, height, width), 0 and 1 -> as board.
        """
        if board.ndim > 3:
            boards = [self.run(part, n_steps) for part in board]
            return np.stack(boards) if boards else board.copy()
        torus = self.torus(board)
        torus.step(n_steps)
        return torus.cells()


def _widest(design: Design, widths: tuple[int, ...]) -> tuple[Library, int]:
    """Compile for the first width that this processor has."""
    source = automaton_library(design)
    purpose = f"compiling the rule {design.name}"
    for bits in widths:
        options = (*OPTIONS, f"-DBNN_WIDTH={bits}")
        library = load(source, DECLARATIONS, options=options, purpose=purpose)
        if library.lib.stepper_runs():
            return library, bits
    raise UsageError(f"width={widths[-1]}: this processor has no such vectors; use width=64")


@cache
def _announce_numpy() -> None:
    print(
        "bnn: no C compiler found, stepping boards in slower numpy; install gcc or clang, or set "
        "BNN_KERNEL=numpy to accept it",
        file=sys.stderr,
    )


class _CompiledTorus:
    """A board in the library's layout: vectors (columns, rows), stripes in bits, bands in words."""

    def __init__(self, library: Library, board: Board, *, transposed: bool) -> None:
        self._lib, self._ffi = library.lib, library.ffi
        self._transposed = transposed
        channels, height, width = board.shape
        made = self._lib.stepper_make(height, width)
        if made == self._ffi.NULL:
            raise MemoryError(f"no memory for a board of {height}x{width} cells")
        self._board = self._ffi.gc(made, self._lib.stepper_free)
        down, across = (width, height) if transposed else (height, width)
        self._lanes = self._lib.stepper_lanes()
        self._bands, self._stripes = math.gcd(down, self._lanes), math.gcd(across, _STRIPES)
        self._shape = (channels, across // self._stripes, down // self._bands)
        words = np.zeros((*self._shape, self._lanes), dtype=WORD)
        words[..., : self._bands] = self._packed(board)
        self._lib.stepper_copy(self._board, self._pointer(words), 0)

    def step(self, n_steps: int = 1) -> None:
        self._lib.stepper_step(self._board, n_steps)

    def cells(self) -> Board:
        words = np.empty((*self._shape, self._lanes), dtype=WORD)
        self._lib.stepper_copy(self._board, self._pointer(words), 1)
        bits = unpack_bits(words[..., : self._bands, None], self._stripes)
        # (channels, columns, rows, bands, stripes) -> (channels, bands, rows, stripes, columns)
        channels, columns, rows = self._shape
        cells = bits.transpose(0, 3, 2, 4, 1).reshape(
            channels, self._bands * rows, self._stripes * columns
        )
        return np.ascontiguousarray(self._turned(cells)).astype(np.uint8)

    def _packed(self, board: Board) -> NDArray[np.uint64]:
        channels, columns, rows = self._shape
        cells = self._turned(board).reshape(channels, self._bands, rows, self._stripes, columns)
        return pack_bits(np.ascontiguousarray(cells.transpose(0, 4, 2, 1, 3)) != 0)[..., 0]

    def _turned(self, board: NDArray[Any]) -> NDArray[Any]:
        return board.swapaxes(1, 2) if self._transposed else board

    def _pointer(self, words: NDArray[np.uint64]) -> Any:
        return self._ffi.from_buffer("uint64_t[]", words)


class _NumpyTorus:
    """A board of booleans: each shared operation at once for all cells."""

    def __init__(self, shared: Shared, board: Board) -> None:
        self._shared = shared
        self._cells = list(board != 0)

    def step(self, n_steps: int = 1) -> None:
        for _ in range(n_steps):
            self._cells = self._next()

    def _next(self) -> list[NDArray[np.bool_]]:
        values = list(self._cells)

        def at(read: Read) -> NDArray[np.bool_]:
            value = values[read.source]
            moved = read.row or read.column
            return np.roll(value, (-read.row, -read.column), (0, 1)) if moved else value

        for op, a, b in self._shared.operations:
            table, turned = (op ^ 0xF, True) if op & 1 else (op, False)
            value = _TABLES[table](at(a), at(b)) if table in _TABLES else at(a)
            values.append(~value if turned else value)
        return [
            np.full(values[0].shape, bool(end.value)) if isinstance(end, Constant) else at(end)
            for end in self._shared.outputs
        ]

    def cells(self) -> Board:
        return np.stack(self._cells).astype(np.uint8)
