"""C of cellular automata: a program of one file that steps boards, and the part that only steps.

The rule is written twice: as a function of one cell, which can be read and checked against, and as
a sweep over columns of vectors that computes what neighbouring cells share once.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from bnncli.circuit.ir import FIRST_INPUT, Circuit
from bnncli.circuit.rebuild import rebuild
from bnncli.circuit.translation import ALL_TRUE, WINDOW, Constant, Read, schedule, transpose
from bnncli.codegen.c_gates import C_GATES, Style, gate_statements
from bnncli.codegen.lut3_cover import map_lut3
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.circuit.design import Design
    from bnncli.circuit.translation import Shared

PLACES = ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")
"""The cells of a neighbourhood, in the order of the inputs."""

UNROLLED = 64
"""Operations up to which the rows of a column are unrolled."""

COLUMNS = {-1: "left", 0: "middle", 1: "right"}
_INCLUDES = """\
#define _POSIX_C_SOURCE 200112L
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
"""
_LIBRARY_INCLUDES = """\
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
"""
_WORDS = Style(false="0", true="~(uint64_t)0", statement="    const uint64_t {name} = {value};")


def automaton_program(design: Design) -> str:
    """Write a program that steps a torus by the design's rule, shows it and times itself."""
    _check(design)
    sweep = _Sweep(design.circuit)
    parts = [
        _head(design, sweep.shared),
        _INCLUDES,
        sweep.constants(),
        *_rule_of_a_cell(design),
        _fixed("layout.c"),
        *sweep.lines(),
        _fixed("board.c"),
        _fixed("main.c"),
    ]
    return "\n".join(parts)


def automaton_library(design: Design) -> str:
    """Write the functions that step a board, for :mod:`bnncli.codegen.stepper`."""
    _check(design)
    sweep = _Sweep(design.circuit)
    parts = [
        _LIBRARY_INCLUDES,
        sweep.constants(),
        _fixed("layout.c"),
        *sweep.lines(),
        _fixed("board.c"),
        _fixed("library.c"),
    ]
    return "\n".join(parts)


def sweep_of(circuit: Circuit) -> tuple[Shared, bool]:
    """Choose how a rule is swept: sharing along rows only or also along columns, or transposed.

    What a later row reads stays in a register. What a later column reads is stored, and columns
    before the board are computed for it: of eight columns, which a board of 512 has, two more.
    """
    sweeps = [
        (schedule(turned, across=across), turned is not circuit)
        for turned in (circuit, transpose(circuit))
        for across in (True, False)
    ]

    def cost(sweep: tuple[Shared, bool]) -> float:
        shared = sweep[0]
        stored = sum(columns > 0 for _, columns in shared.kept)
        return shared.size * (1 + shared.warm_up[1] / 8) + stored

    return min(sweeps, key=cost)


def _check(design: Design) -> None:
    if not design.channels:
        raise BnnError(f"design {design.name}: expected the rule of a cellular automaton")


@cache
def _fixed(name: str) -> str:
    """Read the part of a program that is the same for every rule."""
    return resources.files("bnncli.codegen").joinpath("automaton", name).read_text("utf-8")


def _head(design: Design, shared: Shared) -> str:
    lines = [
        f"{_comment(design.name)}: a cellular automaton of bits",
        "",
        *map(_comment, design.notes),
        f"{_count(design.circuit.size, 'gate')} a cell; with work shared between cells",
        f"{_count(shared.size, 'operation')} a word, {shared.row_operations} of them on one row",
        "",
        "    gcc gate.c -O3 -Wall -Wextra -o gate",
        "    ./gate                      in the terminal",
        "    ./gate --bench              as fast as possible",
        "    ./gate --check              against the rule applied cell by cell",
        "",
        "-DBNN_WIDTH=128, 256 or 512 steps with vectors of so many bits (gcc or clang).",
    ]
    return "\n".join(["/* " + lines[0], *(f" * {line}".rstrip() for line in lines[1:]), " */"])


def _comment(text: str) -> str:
    """Make text that cannot end a comment."""
    return " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _rule_of_a_cell(design: Design) -> Iterator[str]:
    circuit, channels = rebuild(design.circuit), design.channels
    yield "/* The rule of one cell (of 64, one in each bit): its next state from its neighbourhood,"
    yield " *     nw n ne\n *      w c e"
    yield f" *     sw s se{f'     in each of {channels} channels,' if channels > 1 else ''}"
    yield f" * in {_count(circuit.size, 'gate')} of two inputs. */"
    yield "static void rule(const uint64_t *around, uint64_t *next) {"
    names = [
        PLACES[i % WINDOW] + (f"_{i // WINDOW}" if channels > 1 else "")
        for i in range(circuit.n_inputs)
    ]
    gates, outputs = gate_statements(circuit, names, style=_WORDS)
    read = {*circuit.a.tolist(), *circuit.b.tolist(), *circuit.outputs.tolist()}
    used = [i for i in range(circuit.n_inputs) if FIRST_INPUT + i in read]
    yield from (f"    const uint64_t {names[i]} = around[{i}];" for i in used)
    if not used:
        yield "    (void)around;"
    yield from gates
    yield from (f"    next[{i}] = {value};" for i, value in enumerate(outputs))
    yield "}\n"


class _Sweep:
    """Write the sweep over a column of vectors as C.

    An operation is a variable r0, r1, …; r2_1 is that of the row above and r2_2 of the one above
    that, carried from row to row. What a column to the right reads is stored in columns of its own,
    r2_at_0 for this column and r2_at_1 for the one to the left.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.shared, self.transposed = sweep_of(circuit)
        self._operations = range(self.shared.size)
        self._stored = [columns + 1 if columns else 0 for _, columns in self.shared.kept]

    def constants(self) -> str:
        """Define what the fixed parts must know of the rule."""
        rows, columns = self.shared.warm_up
        return (
            f"enum {{ CHANNELS = {self.shared.channels}, TRANSPOSED = {int(self.transposed)} }};\n"
            f"enum {{ ROW_WARM_UP = {rows}, COLUMN_WARM_UP = {columns}, "
            f"KEPT_COLUMNS = {sum(self._stored)} }};\n"
        )

    def lines(self) -> Iterator[str]:
        """Write the function that computes a column."""
        if any(self._stored):
            yield _fixed("kept.c")
        yield "/* The rule of a column, in operations on vectors. A gate that is a neighbour's gate too is"
        yield " * computed once: r2_1 was computed for the row above, r2_2 for the one above that. */"
        yield "WIDE static void step_column(const board *b, long x) {"
        reads = {read for read in self.shared.reads() if read.source < self.shared.channels}
        for channel, column in sorted({(read.source, read.column) for read in reads}):
            side = COLUMNS[column]
            yield f"    const vec *restrict {side}_{channel} = b->{side}[{channel}];"
        yield from self._kept_columns()
        for channel in range(self.shared.channels):
            yield f"    vec *restrict next_{channel} = b->next[{channel}];"
        carried = self._carried()
        if carried:
            names = ", ".join(f"r{i}_{age} = {{0}}" for i, age in carried)
            yield f"    vec {names};"
        if not any(self._stored):
            yield "    (void)x;"
        yield "    const long rows = b->rows;"
        if self.shared.size <= UNROLLED:
            # What is carried from row to row needs no moves then.
            yield "#pragma GCC unroll 4"
        yield "    for (long y = -ROW_WARM_UP; y < rows; y++) {"
        yield "#ifdef LUT3"
        yield from self._luts()
        yield "#else"
        for i, (op, *operands) in enumerate(self.shared.operations):
            a, b = map(self._value, operands)
            yield f"        const vec r{i} = {C_GATES[op].format(a=a, b=b)};"
        yield "#endif"
        yield from (f"        r{i}_at_0[y] = r{i};" for i in self._operations if self._stored[i])
        for channel, end in enumerate(self.shared.outputs):
            yield f"        next_{channel}[y] = {self._output(end, channel)};"
        for i, age in reversed(carried):
            yield f"        r{i}_{age} = r{i}{f'_{age - 1}' if age > 1 else ''};"
        yield "    }"
        yield "}\n"

    def _luts(self) -> Iterator[str]:
        """Write the operations in three-input tables: those that are kept, and outputs."""
        reads = dict.fromkeys(read for read in self.shared.reads() if not self._is_here(read))
        leaves = {read: FIRST_INPUT + i for i, read in enumerate(reads)}
        first = FIRST_INPUT + len(leaves) - self.shared.channels

        def signal(read: Read) -> int:
            return leaves[read] if read in leaves else first + read.source

        gates = [(op, signal(a), signal(b)) for op, a, b in self.shared.operations]
        kept = [i for i in self._operations if self.shared.kept[i] != (0, 0)]
        ends = [signal(end) for end in self.shared.outputs if isinstance(end, Read)]
        outputs = [*ends, *(first + self.shared.channels + i for i in kept)]
        names = ["", "", *map(self._value, reads), *(f"r{i}" for i in self._operations)]
        for lut in map_lut3(Circuit.of_gates(len(leaves), gates, outputs)):
            x, y, z = (*lut.leaves, *[lut.leaves[0]] * (3 - len(lut.leaves)))
            value = f"LUT3(0x{lut.table:02x}, {names[z]}, {names[y]}, {names[x]})"
            # The table of two inputs is a gate's, twice.
            if len(lut.leaves) == 2 and 0 < lut.table < 0xFF:
                value = C_GATES[lut.table & ALL_TRUE].format(a=names[x], b=names[y])
            yield f"        const vec {names[lut.signal]} = {value};"

    def _is_here(self, read: Read) -> bool:
        """Tell whether a read is of an operation of this very cell."""
        return read.source >= self.shared.channels and not read.row and not read.column

    def _carried(self) -> list[tuple[int, int]]:
        """List the operations and the rows above whose values are carried in variables."""
        rows = [0] * self.shared.size
        for read in self.shared.reads():
            if read.source >= self.shared.channels and not read.column:
                i = read.source - self.shared.channels
                rows[i] = max(rows[i], -read.row)
        return [(i, age) for i in self._operations for age in range(1, rows[i] + 1)]

    def _kept_columns(self) -> Iterator[str]:
        ages: dict[int, set[int]] = {i: {0} for i in self._operations if self._stored[i]}
        for read in self.shared.reads():
            if read.source >= self.shared.channels and read.column:
                ages[read.source - self.shared.channels].add(-read.column)
        first = 0
        for i, read_ages in ages.items():
            for age in sorted(read_ages):
                const = "const " if age else ""
                kept = f"kept_column(b, {first}, {self._stored[i]}, x{_offset(-age)})"
                yield f"    {const}vec *restrict r{i}_at_{age} = {kept};"
            first += self._stored[i]

    def _value(self, read: Read) -> str:
        """Write an operand."""
        if read.source < self.shared.channels:
            return f"{COLUMNS[read.column]}_{read.source}[y{_offset(read.row)}]"
        name = f"r{read.source - self.shared.channels}"
        if read.column:
            return f"{name}_at_{-read.column}[y{_offset(read.row)}]"
        return f"{name}_{-read.row}" if read.row else name

    def _output(self, end: Read | Constant, channel: int) -> str:
        if isinstance(end, Constant):
            zero = f"next_{channel}[y] ^ next_{channel}[y]"
            return f"~({zero})" if end.value else zero
        return self._value(end)


def _offset(number: int) -> str:
    return f" {'-' if number < 0 else '+'} {abs(number)}" if number else ""
