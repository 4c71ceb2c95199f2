"""Cut large circuits into functions of bounded size; see ``book/decisions/emitters.md``.

Compilers need more than linear time for long functions. Gates are ordered so that most values are
used soon; values that are read in a later part lie in slots, which are used again once nobody reads
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.circuit.ir import Circuit


@dataclass(frozen=True)
class Plan:
    """Signals of gates in the order in which they are computed, cut into parts.

    ``slot`` gives the slot of each signal that a later part reads and that is no output; a slot is
    written when its signal is computed and free after the last gate that reads it.
    """

    parts: tuple[tuple[int, ...], ...]
    slot: dict[int, int]
    n_slots: int


NEWEST, FEW, CHEAP = 8, 4, 3
"""Values and readers of each among which one looks, and the missing gates at which looking ends."""


class _Order:
    """Gates in the order in which they are computed, as it grows."""

    def __init__(self, circuit: Circuit) -> None:
        first = circuit.first_gate
        self.a = [0] * first + circuit.a.tolist()
        self.b = [0] * first + circuit.b.tolist()
        self.done = [True] * first + [False] * circuit.n_gates
        self.readers: list[list[int]] = [[] for _ in range(circuit.n_signals)]
        for i in circuit.live().nonzero()[0].tolist():
            self.readers[self.a[first + i]].append(first + i)
            self.readers[self.b[first + i]].append(first + i)
        self.gates: list[int] = []
        self._waiting: list[int] = []

    def compute(self, wanted: int) -> None:
        """Compute a signal, what it needs, and every gate that both operands of are there for."""
        a, b, done = self.a, self.b, self.done
        stack = [wanted]
        while stack:
            signal = stack[-1]
            if done[signal]:
                stack.pop()
            elif not done[a[signal]]:
                stack.append(a[signal])
            elif not done[b[signal]]:
                stack.append(b[signal])
            else:
                done[signal] = True
                self.gates.append(stack.pop())
                self._waiting.append(signal)
                readers = self.readers[signal]
                stack += [r for r in readers if done[a[r]] and done[b[r]] and not done[r]]

    def _missing(self, signal: int, limit: int) -> int:
        """Count the gates that must be computed for a signal, up to a limit."""
        seen: set[int] = set()
        stack = [signal]
        while stack and len(seen) < limit:
            x = stack.pop()
            if not self.done[x] and x not in seen:
                seen.add(x)
                stack += (self.a[x], self.b[x])
        return len(seen)

    def next_reader(self) -> int | None:
        """Find the gate that misses least among those that read one of the newest values."""
        best, least = None, 1 << 6
        looked, i = 0, len(self._waiting)
        while i > 0 and looked < NEWEST and least > CHEAP:
            i -= 1
            left = self.readers[self._waiting[i]]
            while left and self.done[left[-1]]:
                left.pop()
            if not left:
                del self._waiting[i]
                continue
            looked += 1
            for reader in left[-FEW:]:
                if self.done[reader]:
                    continue
                missing = self._missing(reader, least)
                if best is None or missing < least:
                    best, least = reader, missing
        return best


def order_gates(circuit: Circuit) -> list[int]:
    """Order the live gates: each after what it reads, and near to it.

    A gate is computed as soon as both operands are there. Where none is ready, the reader of one of
    the newest values comes next that misses the fewest gates, and the next output when none waits.
    """
    order = _Order(circuit)
    for output in circuit.outputs.tolist():
        order.compute(output)
        while (reader := order.next_reader()) is not None:
            order.compute(reader)
    return order.gates


def plan(circuit: Circuit, size: int) -> Plan:
    """Cut the live gates into parts of at most ``size``."""
    order = order_gates(circuit)
    first = circuit.first_gate
    a, b = circuit.a.tolist(), circuit.b.tolist()
    part = {signal: i // size for i, signal in enumerate(order)}
    kept = set(circuit.outputs.tolist())
    last: dict[int, int] = {}
    crossing: set[int] = set()
    for i, signal in enumerate(order):
        for read in (a[signal - first], b[signal - first]):
            last[read] = i
            if read >= first and part[read] != i // size and read not in kept:
                crossing.add(read)
    parts = tuple(tuple(order[i : i + size]) for i in range(0, len(order), size))
    reads = [(a[signal - first], b[signal - first]) for signal in order]
    slot, n_slots = _allocate(order, reads, last, crossing)
    return Plan(parts, slot, n_slots)


def _allocate(
    order: Sequence[int],
    reads: Sequence[tuple[int, int]],
    last: dict[int, int],
    crossing: set[int],
) -> tuple[dict[int, int], int]:
    """Give each crossing signal the slot that became free last."""
    free: list[int] = []
    slot: dict[int, int] = {}
    n_slots = 0
    for i, (signal, operands) in enumerate(zip(order, reads, strict=True)):
        free += [slot[x] for x in dict.fromkeys(operands) if x in slot and last[x] == i]
        if signal in crossing:
            if not free:
                free.append(n_slots)
                n_slots += 1
            slot[signal] = free.pop()
    return slot, n_slots
