"""Plan a row of an automaton: which shared operations a pass over its columns computes and keeps.

A pass computes operations column by column in variables. What another column, a later pass or a
later row reads is stored in a row of its own; see :mod:`bnncli.circuit.translation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.circuit.translation import Read

if TYPE_CHECKING:
    from bnncli.circuit.translation import Shared


@dataclass(frozen=True)
class RowPlan:
    """Passes of operations, in order; by operation its pass, rows in store, and if it is closed.

    ``rows[i]`` is 0 for an operation that lives in variables only, else 1 and the rows before that
    are read. A ``closed`` row is read beyond its ends. ``warm_up`` rows above the board are computed
    before its first, for what is kept.
    """

    shared: Shared
    passes: tuple[tuple[int, ...], ...]
    pass_of: tuple[int, ...]
    rows: tuple[int, ...]
    closed: tuple[bool, ...]
    warm_up: int


def plan_rows(shared: Shared) -> RowPlan:
    """Distribute the operations over as few passes as the columns that they read allow."""
    number = _earliest_passes(shared)
    last = _last_pass(shared, number)
    _move_down(shared, number, last)
    stored = _stored(shared, number, last)
    columns = {read.source for read in shared.reads() if read.column}
    closed = [source in columns for source in range(shared.channels, shared.channels + shared.size)]
    return RowPlan(
        shared=shared,
        passes=tuple(
            tuple(i for i in range(shared.size) if number[i] == n) for n in range(last + 1)
        ),
        pass_of=tuple(number),
        rows=tuple(
            (kept + 1) * is_stored for kept, is_stored in zip(shared.kept, stored, strict=True)
        ),
        closed=tuple(closed),
        warm_up=_warm_up(shared),
    )


def _operands(shared: Shared, i: int) -> list[tuple[int, Read]]:
    """Give the operations that an operation reads, by number, with the reads."""
    reads = shared.operations[i][1:]
    return [(r.source - shared.channels, r) for r in reads if r.source >= shared.channels]


def _ends(shared: Shared) -> list[tuple[int, Read]]:
    """Give the operations that the outputs read, by number, with the reads."""
    reads = [end for end in shared.outputs if isinstance(end, Read)]
    return [(r.source - shared.channels, r) for r in reads if r.source >= shared.channels]


def _earliest_passes(shared: Shared) -> list[int]:
    number = [0] * shared.size
    for i in range(shared.size):
        for j, read in _operands(shared, i):
            if read.row == 0:
                number[i] = max(number[i], number[j] + (read.column != 0))
    return number


def _last_pass(shared: Shared, number: list[int]) -> int:
    """Give the pass that writes the outputs."""
    after = [number[j] + (r.row == 0 and r.column != 0) for j, r in _ends(shared)]
    return max([*number, *after], default=0)


def _stored(shared: Shared, number: list[int], last: int) -> list[bool]:
    stored = [kept > 0 for kept in shared.kept]
    for i in range(shared.size):
        for j, read in _operands(shared, i):
            stored[j] |= read.column != 0 or number[i] > number[j]
    for j, read in _ends(shared):
        stored[j] |= read.column != 0 or last > number[j]
    return stored


def _move_down(shared: Shared, number: list[int], last: int) -> None:
    """Compute operations only in the pass that reads them, unless more would be stored then."""
    readers: list[list[int]] = [[] for _ in range(shared.size)]
    for i in range(shared.size):
        for j, _ in _operands(shared, i):
            readers[j].append(i)
    at_ends = {j for j, _ in _ends(shared)}
    anywhere = [True] * shared.size
    for read in shared.reads():
        if read.source >= shared.channels and (read.row or read.column):
            anywhere[read.source - shared.channels] = False
    count = sum(_stored(shared, number, last))
    for i in reversed(range(shared.size)):
        if not anywhere[i]:
            continue
        before = number[i]
        later = [number[j] for j in readers[i]] + [last] * (i in at_ends)
        if min(later) == before:
            continue
        number[i] = min(later)
        stored = sum(_stored(shared, number, last))
        if stored > count:
            number[i] = before
        else:
            count = stored


def _warm_up(shared: Shared) -> int:
    """Count the rows above the board whose operations its first row needs."""
    first = [0] * shared.size
    for j, read in _ends(shared):
        first[j] = min(first[j], read.row)
    for i in reversed(range(shared.size)):
        for j, read in _operands(shared, i):
            first[j] = min(first[j], first[i] + read.row)
    return -min(first, default=0)
