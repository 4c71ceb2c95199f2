"""C of cellular automata: a program of one file that steps boards, and the part that only steps.

The rule is written twice: as a function of one cell, which can be read and checked against, and as
passes over rows that compute what neighbouring cells share once.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from bnncli.circuit.ir import FIRST_INPUT
from bnncli.circuit.rebuild import rebuild
from bnncli.circuit.translation import WINDOW, Constant, Read, schedule
from bnncli.codegen.automaton_rows import plan_rows
from bnncli.codegen.c_gates import C_GATES, Style, gate_statements
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.circuit.design import Design
    from bnncli.codegen.automaton_rows import RowPlan

PLACES = ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")
"""The cells of a neighbourhood, in the order of the inputs."""

ROWS = {-1: "above", 0: "here", 1: "below"}
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
_WORDS = Style(false="0", true="~(uint64_t)0", statement="    const uint64_t {name} = {value};")


def automaton_program(design: Design) -> str:
    """Write a program that steps a torus by the design's rule, shows it and times itself."""
    _check(design)
    parts = [
        _head(design),
        _INCLUDES,
        _fixed("layout.c"),
        *_rule_of_a_cell(design),
        _rule_of_rows(design),
        _fixed("board.c"),
        _fixed("main.c"),
    ]
    return "\n".join(parts)


def automaton_library(design: Design) -> str:
    """Write the functions that step a board, for :mod:`bnncli.codegen.stepper`."""
    _check(design)
    includes = "#include <stdint.h>\n#include <stdlib.h>\n#include <string.h>\n"
    names = ("layout.c", "board.c", "library.c")
    layout, board, library = map(_fixed, names)
    return "\n".join([includes, layout, _rule_of_rows(design), board, library])


def _check(design: Design) -> None:
    if not design.channels:
        raise BnnError(f"design {design.name}: expected the rule of a cellular automaton")


@cache
def _fixed(name: str) -> str:
    """Read the part of a program that is the same for every rule."""
    return resources.files("bnncli.codegen").joinpath("automaton", name).read_text("utf-8")


def _head(design: Design) -> str:
    shared = schedule(design.circuit)
    lines = [
        f"{_comment(design.name)}: a cellular automaton of bits",
        "",
        *map(_comment, design.notes),
        f"{_count(design.circuit.size, 'gate')} a cell; with work shared between cells",
        f"{_count(shared.size, 'operation')} a word, {shared.row_operations} of them on one row.",
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
    if channels == 1:
        yield " *     nw n ne\n *      w c e\n *     sw s se"
    else:
        yield f" *     nw n ne\n *      w c e\n *     sw s se     in each of {channels} channels,"
    yield f" * in {_count(circuit.size, 'gate')} of two inputs. */"
    yield f"enum {{ CHANNELS = {channels} }};\n"
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


def _rule_of_rows(design: Design) -> str:
    return "\n".join(_RowText(plan_rows(schedule(design.circuit))).lines())


class _RowText:
    """Write passes over rows as C."""

    def __init__(self, plan: RowPlan) -> None:
        self._plan = plan
        self._shared = plan.shared

    def lines(self) -> Iterator[str]:
        plan, channels = self._plan, self._shared.channels
        if any(plan.rows):
            yield _fixed("kept.c")
        yield "/* The rule of a row, for all its cells at once, in operations on vectors. A gate that"
        yield " * is a neighbour's gate too is computed once: r2_0[x - 1] is that of the cells to the"
        yield " * left, and r2_1[x] was computed for the row above, r2_2[x] for the one above that. */"
        yield f"enum {{ WARM_UP = {plan.warm_up}, KEPT_ROWS = {sum(plan.rows)} }};"
        for n in range(len(plan.passes)):
            yield ""
            yield from self._pass(n)
        yield ""
        yield "WIDE static void step_row(const board *b, long y) {"
        names = dict.fromkeys(name for n in range(len(plan.passes)) for name in self._inputs(n))
        first, starts = 0, {}
        for i, count in enumerate(plan.rows):
            starts[i] = (first, count)
            first += count
        written = [f"r{i}_0" for i in range(self._shared.size) if plan.rows[i]]
        for name in dict.fromkeys([*names, *written]):
            const = "" if name in written else "const "
            yield f"    {const}vec *const {name} = {self._pointer(name, starts)};"
        for channel in range(channels):
            yield f"    vec *const next{channel} = row_of(b, b->next, {channel}, y);"
        for n, operations in enumerate(plan.passes):
            yield f"    pass_{n}(b->columns, {', '.join(self._arguments(n))});"
            for i in operations:
                if plan.closed[i]:
                    yield f"    close_row(b, r{i}_0);"
        for channel in range(channels):
            yield f"    close_row(b, next{channel});"
        yield "}\n"

    def _pointer(self, name: str, starts: dict[int, tuple[int, int]]) -> str:
        source, _, number = name.partition("_")
        if source in ROWS.values():
            row = next(row for row, word in ROWS.items() if word == source)
            return f"row_of(b, b->cells, {number}, y{_offset(row)})"
        start, count = starts[int(source[1:])]
        return f"kept_row(b, {start}, {count}, y{_offset(-int(number))})"

    def _inputs(self, n: int) -> list[str]:
        """Name the rows that a pass reads."""
        reads = [r for i in self._plan.passes[n] for r in self._shared.operations[i][1:]]
        if n == len(self._plan.passes) - 1:
            reads += [self._end(end) for end in self._shared.outputs]
        rows = [self._row(read, n) for read in reads]
        return sorted({row for row in rows if row}, key=_by_row)

    def _end(self, end: Read | Constant) -> Read:
        """Give the read of an output; a constant is made from any cell."""
        return Read(0, 0, 0) if isinstance(end, Constant) else end

    def _row(self, read: Read, n: int) -> str:
        """Name the row of a read in a pass, or nothing where it is a variable of the pass."""
        if read.source < self._shared.channels:
            return f"{ROWS[read.row]}_{read.source}"
        i = read.source - self._shared.channels
        if not read.row and not read.column and self._plan.pass_of[i] == n:
            return ""
        return f"r{i}_{-read.row}"

    def _value(self, read: Read, n: int) -> str:
        row = self._row(read, n)
        return (
            f"{row}[x{_offset(read.column)}]" if row else f"r{read.source - self._shared.channels}"
        )

    def _arguments(self, n: int) -> list[str]:
        stored = [f"r{i}_0" for i in self._plan.passes[n] if self._plan.rows[i]]
        ends = [f"next{channel}" for channel in range(self._shared.channels)]
        last = n == len(self._plan.passes) - 1
        return [*self._inputs(n), *stored, *(ends if last else [])]

    def _pass(self, n: int) -> Iterator[str]:
        inputs = self._inputs(n)
        parameters = [
            f"{'const ' if name in inputs else ''}vec *restrict {name}"
            for name in self._arguments(n)
        ]
        start = f"WIDE static inline void pass_{n}("
        yield from _wrapped(start, ["long columns", *parameters], ") {")
        yield "    for (long x = 0; x < columns; x++) {"
        for i in self._plan.passes[n]:
            operation = self._shared.operations[i]
            a, b = (self._value(read, n) for read in operation[1:])
            yield f"        const vec r{i} = {C_GATES[operation.op].format(a=a, b=b)};"
            if self._plan.rows[i]:
                yield f"        r{i}_0[x] = r{i};"
        if n == len(self._plan.passes) - 1:
            for channel, end in enumerate(self._shared.outputs):
                yield f"        next{channel}[x] = {self._output(end, n)};"
        yield "    }"
        yield "}"

    def _output(self, end: Read | Constant, n: int) -> str:
        if isinstance(end, Constant):
            cell = self._value(self._end(end), n)
            return f"~({cell} ^ {cell})" if end.value else f"{cell} ^ {cell}"
        return self._value(end, n)


def _offset(number: int) -> str:
    return f" {'-' if number < 0 else '+'} {abs(number)}" if number else ""


def _by_row(name: str) -> tuple[int, int, str]:
    source, _, number = name.partition("_")
    if source in ROWS.values():
        return (0, int(number), str(list(ROWS.values()).index(source)))
    return (1, int(source[1:]), number)


def _wrapped(start: str, items: list[str], end: str, width: int = 100) -> Iterator[str]:
    """Break a list of items over lines."""
    line = start + items[0]
    for item in items[1:]:
        if len(line) + len(item) + 4 > width:
            yield line + ","
            line = "    " * 2 + item
        else:
            line += ", " + item
    yield line + end
