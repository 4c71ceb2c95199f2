"""Cut large circuits into functions of bounded size; see ``book/decisions/emitters.md``.

Compilers need more than linear time for long functions. Gates go in depth-first order, so that most
values are used soon; values that are read in a later part lie in slots, which are used again once
nobody reads them.
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


def depth_first(circuit: Circuit) -> list[int]:
    """Order the live gates so that each comes after what it reads, as late as possible."""
    first = circuit.first_gate
    a, b = circuit.a.tolist(), circuit.b.tolist()
    done = [True] * first + [False] * circuit.n_gates
    order = []
    for output in circuit.outputs.tolist():
        stack = [output]
        while stack:
            signal = stack[-1]
            if done[signal]:
                stack.pop()
            elif not done[a[signal - first]]:
                stack.append(a[signal - first])
            elif not done[b[signal - first]]:
                stack.append(b[signal - first])
            else:
                done[signal] = True
                order.append(stack.pop())
    return order


def plan(circuit: Circuit, size: int) -> Plan:
    """Cut the live gates into parts of at most ``size``."""
    order = depth_first(circuit)
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
