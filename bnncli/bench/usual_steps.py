"""Ways to step a board that the suite ``gol`` compares with: C as it is usually written."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import weakref
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import pack_bits, unpack_bits
from bnncli.codegen.automaton_c import automaton_program
from bnncli.codegen.c_gates import Style, gate_statements
from bnncli.errors import BnnError
from bnncli.native.compile import load, need_compiler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.circuit import Circuit, Design

    Board = NDArray[np.uint8]

OPTIONS = ("-std=c99", "-O3")
_DECLARATION = (
    "void usual_run(uint64_t *board, uint64_t *next, long height, long words, long steps);"
)
_WORDS = Style(false="0", true="~(uint64_t)0", statement="    const uint64_t {name} = {value};")


def usual_source(circuit: Circuit) -> str:
    """Write a rule as a function of nine words, one variable a gate, and the step around it."""
    gates, outputs = gate_statements(circuit, [f"a[{i}]" for i in range(9)], style=_WORDS)
    around = resources.files("bnncli.bench").joinpath("usual_step.c").read_text("utf-8")
    rule = ["static uint64_t rule(const uint64_t *a) {", *gates, f"    return {outputs[0]};", "}"]
    return "\n".join(["#include <stdint.h>\n", *rule, "", around])


class UsualSteps:
    """A board in words of 64 cells of a row, stepped by C as it is usually written.

    Height any, width a multiple of 64; an even number of steps.
    """

    def __init__(self, circuit: Circuit, board: Board, n_steps: int) -> None:
        purpose = "compiling the usual C"
        self._library = load(usual_source(circuit), _DECLARATION, options=OPTIONS, purpose=purpose)
        self._n_steps = n_steps
        self._words = pack_bits(board != 0)
        self._next = np.empty_like(self._words)

    def __call__(self) -> None:
        """Step."""
        pointers = [
            self._library.ffi.from_buffer("uint64_t[]", a) for a in (self._words, self._next)
        ]
        self._library.lib.usual_run(*pointers, *self._words.shape, self._n_steps)

    def cells(self) -> Board:
        """Give the board."""
        return unpack_bits(self._words, 64 * self._words.shape[1]).view(np.uint8)


class EmittedProgram:
    """The emitted program, compiled and run on its own; it times its steps itself."""

    def __init__(self, design: Design, width: int, board: Board, n_steps: int) -> None:
        self._board, self._n_steps = board, n_steps
        folder = tempfile.mkdtemp(prefix="bnn-")
        # Also at the end of the process, however it comes.
        weakref.finalize(self, shutil.rmtree, folder)
        self._program = Path(folder) / "gate"
        self._seconds = 0.0
        source = self._program.with_suffix(".c")
        source.write_text(automaton_program(design))
        compiler = need_compiler("compiling the emitted program")
        options = [*OPTIONS, f"-DBNN_WIDTH={width}", str(source), "-o", str(self._program)]
        self._call([*compiler.command, *options])

    def __call__(self) -> None:
        """Step, from random cells."""
        said = self._call([*self._command(), "--bench"])
        rate = float(said.partition(" steps/s")[0].rpartition(" ")[2])
        # No rate is given where the processor's clock did not move.
        self._seconds += self._n_steps / rate if rate else 0.0

    def clock(self) -> float:
        """Give the seconds of all steps so far."""
        return self._seconds

    def cells(self) -> Board:
        """Step the board that was given, and give it."""
        text = "\n".join(map("".join, np.array([*".#"])[self._board]))
        said = self._call([*self._command(), "--read", "--print"], text)
        rows = said.splitlines()[: len(self._board)]
        alive = np.frombuffer("".join(rows).encode(), np.uint8) == ord("#")
        cells: Board = alive.reshape(self._board.shape).view(np.uint8)
        return cells

    def _command(self) -> list[str]:
        height, width = self._board.shape
        return [str(self._program), "--size", f"{width}x{height}", "--steps", str(self._n_steps)]

    @staticmethod
    def _call(command: list[Any], given: str = "") -> str:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BnnError(f"{command[0]} failed: {' '.join(done.stderr.split())[:200]}")
        return done.stdout
