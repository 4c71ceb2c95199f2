"""Work that cells share: a signal that is another one shifted by whole cells is computed once.

A cell's rule reads its neighbourhood, input (channel, row, column) of (channels, 3, 3). When all
cells of a board step together, a gate of one cell's circuit that has the same structure as another
gate, with every input shifted alike, is the same gate of another cell. So gates fall into classes
(translation-aware structural hashing), and one operation for each class and cell is enough:

    key(gate) = (table, class of a, class of b, place of b − place of a)
    place(gate) = place of a

with complements absorbed, so that table(0, 0) = 0, and the operands in the order of the smaller
key. Cells are swept downwards, each class computed once a cell and kept as long as cells below read
it, so a vertical shift costs nothing; a horizontal one is a shift where a row is packed into words,
and a load from another column where columns are words of their own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnncli.circuit.ir import FIRST_INPUT, Circuit
from bnncli.circuit.rebuild import rebuild
from bnncli.errors import BnnError
from bnncli.gates import INVERT_A, INVERT_B, NOT_A, SWAP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ALL_TRUE = 0xF
WINDOW = 9
"""Cells of a neighbourhood."""


class Read(NamedTuple):
    """A signal as an operation reads it: whose, and how many rows down and columns right of here.

    Sources are numbered 0 … channels - 1 for the cells' states, then the operations in order.
    """

    source: int
    row: int
    column: int


class Operation(NamedTuple):
    """A truth table (bit a + 2b) of two reads."""

    op: int
    a: Read
    b: Read


class Constant(NamedTuple):
    """An output that is always the same."""

    value: int


@dataclass(frozen=True)
class Shared:
    """Operations for each cell, in an order in which a sweep over the board can compute them.

    The sweep goes from the top down and from the left to the right. At each cell every operation is
    computed once. It reads cells of the neighbourhood, and operations of this cell (row and column
    0) or of cells one or two rows or columns before it (-1, -2). ``outputs`` are the cell's next
    states.
    """

    channels: int
    operations: tuple[Operation, ...]
    outputs: tuple[Read | Constant, ...]

    def reads(self) -> Iterator[Read]:
        """Give every operand and every output that is no constant."""
        for operation in self.operations:
            yield operation.a
            yield operation.b
        for output in self.outputs:
            if isinstance(output, Read):
                yield output

    @property
    def size(self) -> int:
        """Count the operations for each cell, or for each word of cells."""
        return len(self.operations)

    @cached_property
    def kept(self) -> tuple[tuple[int, int], ...]:
        """Count for each operation the rows and the columns before that it is still read from."""
        ages = [(0, 0)] * self.size
        for read in self.reads():
            if read.source >= self.channels:
                i = read.source - self.channels
                ages[i] = (max(ages[i][0], -read.row), max(ages[i][1], -read.column))
        return tuple(ages)

    @cached_property
    def warm_up(self) -> tuple[int, int]:
        """Count the rows and the columns before the board from which its first cells read."""
        first = [(0, 0)] * (self.channels + self.size)

        def demand(read: Read, row: int, column: int) -> None:
            before = first[read.source]
            first[read.source] = (
                min(before[0], row + read.row),
                min(before[1], column + read.column),
            )

        for output in self.outputs:
            if isinstance(output, Read):
                demand(output, 0, 0)
        for i in reversed(range(self.size)):
            for read in self.operations[i][1:]:
                demand(read, *first[self.channels + i])
        operations = first[self.channels :] or [(0, 0)]
        return -min(row for row, _ in operations), -min(column for _, column in operations)

    @property
    def shifts(self) -> int:
        """Count the signals that are read one column away, each way: what packed rows shift."""
        return len({(read.source, read.column) for read in self.reads() if read.column})

    @property
    def row_operations(self) -> int:
        """Count the operations that depend on the cells of one row only."""
        rows: list[set[int]] = [{0} for _ in range(self.channels)]
        for operation in self.operations:
            rows.append({read.row + r for read in operation[1:] for r in rows[read.source]})
        return sum(len(r) == 1 for r in rows[self.channels :])


def shared_operations(circuit: Circuit) -> int:
    """Count the operations a word when cells share their work; see the module."""
    return schedule(circuit).size


def transpose(circuit: Circuit) -> Circuit:
    """Exchange the rows and the columns of the neighbourhood that a rule reads."""
    n_places = WINDOW * channels_of(circuit)
    signals = np.arange(circuit.n_signals, dtype=np.int32)
    places = signals[FIRST_INPUT : FIRST_INPUT + n_places].reshape(-1, 3, 3)
    signals[FIRST_INPUT : FIRST_INPUT + n_places] = places.swapaxes(1, 2).ravel()
    a, b, outputs = (signals[x] for x in (circuit.a, circuit.b, circuit.outputs))
    return Circuit(circuit.n_inputs, circuit.op, a, b, outputs, (), circuit.output_names)


def channels_of(circuit: Circuit) -> int:
    """Give the channels of a local rule, or refuse a circuit that is none."""
    channels = circuit.n_outputs
    if circuit.n_inputs != WINDOW * channels:
        raise BnnError(
            f"circuit of {circuit.n_inputs} inputs and {channels} outputs: the rule of a cell has "
            f"{WINDOW} inputs for each output, its neighbourhood (channels, 3, 3)"
        )
    return channels


class _Signal(NamedTuple):
    """Where a circuit's signal is found: a source, shifted, and whether it is complemented."""

    source: int
    row: int
    column: int
    complement: int


def schedule(circuit: Circuit, *, across: bool = True) -> Shared:
    """Find the operations that cells share, and an order by rows.

    Without ``across`` cells share only with those above and below, and no operation reads another
    one from a column to the left.
    """
    classes = _Classes(rebuild(circuit), across=across)
    return _in_row_order(classes.channels, classes.operations, classes.outputs())


class _Classes:
    """Hash the gates of a clean circuit up to translation and complement."""

    def __init__(self, circuit: Circuit, *, across: bool) -> None:
        self.channels = channels_of(circuit)
        self._across = across
        self.operations: list[Operation] = []
        self._known: dict[Operation, int] = {}
        self._ends = circuit.outputs.tolist()
        # The constants have no source; after the clean-up only outputs are constant.
        self._signals = [_Signal(-1, 0, 0, 0), _Signal(-1, 0, 0, 1)]
        for i in range(circuit.n_inputs):
            channel, place = divmod(i, WINDOW)
            self._signals.append(_Signal(channel, place // 3 - 1, place % 3 - 1, 0))
        for op, a, b in zip(
            circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True
        ):
            self._signals.append(self._gate(op, self._signals[a], self._signals[b]))

    def _gate(self, op: int, x: _Signal, y: _Signal) -> _Signal:
        if x == y:  # an inverter before an output
            return x._replace(complement=1 - x.complement)
        table = op
        if x.complement:
            table = INVERT_A[table]
        if y.complement:
            table = INVERT_B[table]
        complement = table & 1
        if complement:
            table ^= ALL_TRUE
        key, anchor = min(
            self._key(table, x, y),
            self._key(SWAP[table], y, x),
            key=lambda pair: _order(pair[0]),
        )
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self.channels + len(self.operations)
            self.operations.append(key)
        return _Signal(known, *anchor, complement)

    def _key(self, table: int, x: _Signal, y: _Signal) -> tuple[Operation, tuple[int, int]]:
        """Give a gate as seen from its place, and the place: that of the first operand."""
        row, column = x.row, x.column if self._across else 0
        operation = Operation(
            table,
            Read(x.source, 0, x.column - column),
            Read(y.source, y.row - row, y.column - column),
        )
        return operation, (row, column)

    def outputs(self) -> list[Read | Constant]:
        """Give the outputs; what must be complemented turns its operation, or is inverted."""
        ends = [self._signals[end] for end in self._ends]
        straight = {e.source for e in ends if not e.complement}
        turned = {e.source for e in ends if e.complement} - straight
        turned = {source for source in turned if source >= self.channels}
        for source in turned:
            i = source - self.channels
            self.operations[i] = self.operations[i]._replace(op=self.operations[i].op ^ ALL_TRUE)
        for i, (op, a, b) in enumerate(self.operations):
            table = INVERT_A[op] if a.source in turned else op
            table = INVERT_B[table] if b.source in turned else table
            self.operations[i] = Operation(table, a, b)
        inverters: dict[int, int] = {}
        given: list[Read | Constant] = []
        for source, row, column, complement in ends:
            if source < 0:
                given.append(Constant(complement))
            elif complement and source not in turned:
                if source not in inverters:
                    inverters[source] = self.channels + len(self.operations)
                    cell = Read(source, 0, 0)
                    self.operations.append(Operation(NOT_A, cell, cell))
                given.append(Read(inverters[source], row, column))
            else:
                given.append(Read(source, row, column))
        return given


def _order(operation: Operation) -> tuple[int, ...]:
    op, a, b = operation
    return (a.source, b.source, op, b.row, b.column, a.column)


def _in_row_order(
    channels: int, operations: list[Operation], outputs: list[Read | Constant]
) -> Shared:
    """Move each operation to the lowest row, and the rightmost column, that read it."""
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def demand(reads: Iterable[Read | Constant]) -> None:
        for read in reads:
            if isinstance(read, Read):
                places[read.source].append((read.row, read.column))

    demand(outputs)
    moved = [(0, 0)] * (channels + len(operations))
    shifted = list(operations)
    for i in reversed(range(len(operations))):
        source = channels + i
        rows, columns = zip(*places[source], strict=True)
        row, column = max(rows), max(columns)
        moved[source] = (row, column)
        op, a, b = operations[i]
        shifted[i] = Operation(op, _shift(a, row, column), _shift(b, row, column))
        demand(shifted[i][1:])

    def here(read: Read) -> Read:
        row, column = moved[read.source]
        return Read(read.source, read.row - row, read.column - column)

    final = [Operation(op, here(a), here(b)) for op, a, b in shifted]
    ends = [r if isinstance(r, Constant) else here(r) for r in outputs]
    return Shared(channels, tuple(final), tuple(ends))


def _shift(read: Read, row: int, column: int) -> Read:
    return Read(read.source, read.row + row, read.column + column)
