"""Cover circuits with functions of three inputs.

Cuts of at most three leaves are enumerated from the inputs on and chosen by area flow, then by the
luts that a choice saves exactly. See Mishchenko, Chatterjee and Brayton, *Improvements to
Technology Mapping for LUT-Based FPGAs* (2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnncli.circuit.ir import Circuit

    Cut = tuple[int, ...]

MAX_LEAVES, KEPT, ROUNDS = 3, 12, 3


@dataclass(frozen=True)
class Lut:
    """A function of up to three signals: bit x + 2y + 4z of ``table`` for leaves x, y, z."""

    signal: int
    leaves: tuple[int, ...]
    table: int


class _Mapper:
    """Choose a cut for each signal that is needed."""

    def __init__(self, circuit: Circuit) -> None:
        self.first = circuit.first_gate
        self.op, self.a, self.b = (x.tolist() for x in (circuit.op, circuit.a, circuit.b))
        self.outputs = [s for s in circuit.outputs.tolist() if s >= self.first]
        self.cuts: list[list[Cut]] = [[(s,)] for s in range(circuit.n_signals)]
        self.best: list[Cut] = [(s,) for s in range(circuit.n_signals)]
        self.uses = [0] * circuit.n_signals
        self._flow(circuit)
        for signal in self.outputs:
            self.take(signal)

    def _flow(self, circuit: Circuit) -> None:
        """Enumerate cuts and choose those of the least area, shared among readers."""
        fanout = [0] * circuit.n_signals
        for x in (*self.a, *self.b, *self.outputs):
            fanout[x] += 1
        flow = [0.0] * circuit.n_signals
        for i, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            merged = {tuple(sorted({*x, *y})) for x, y in product(self.cuts[a], self.cuts[b])}
            areas = sorted(
                (1.0 + sum(flow[leaf] for leaf in cut), len(cut), cut)
                for cut in merged
                if len(cut) <= MAX_LEAVES
            )[:KEPT]
            signal = self.first + i
            self.cuts[signal] = [cut for _, _, cut in areas] + [(signal,)]
            self.best[signal] = areas[0][2]
            flow[signal] = areas[0][0] / max(fanout[signal], 1)

    def take(self, signal: int) -> int:
        """Use a signal; give how many luts that adds."""
        added, stack = 0, [signal]
        while stack:
            s = stack.pop()
            if s >= self.first:
                self.uses[s] += 1
                if self.uses[s] == 1:
                    added += 1
                    stack += self.best[s]
        return added

    def drop(self, signal: int) -> None:
        """Undo :meth:`take`."""
        stack = [signal]
        while stack:
            s = stack.pop()
            if s >= self.first:
                self.uses[s] -= 1
                if not self.uses[s]:
                    stack += self.best[s]

    def improve(self) -> None:
        """Give each signal in use the cut that costs the fewest luts beside all others."""
        for signal in range(self.first, len(self.best)):
            if not self.uses[signal]:
                continue
            for leaf in self.best[signal]:
                self.drop(leaf)
            costs = []
            for cut in self.cuts[signal][:-1]:
                costs.append((sum(self.take(leaf) for leaf in cut), len(cut), cut))
                for leaf in cut:
                    self.drop(leaf)
            self.best[signal] = min(costs)[2]
            for leaf in self.best[signal]:
                self.take(leaf)

    def table(self, signal: int) -> int:
        """Compute the function of a signal's cut."""
        patterns = (0xAA, 0xCC, 0xF0)
        known = dict(zip(self.best[signal], patterns, strict=False)) | {0: 0, 1: 0xFF}
        return self._value(signal, known)

    def _value(self, signal: int, known: dict[int, int]) -> int:
        # A cone of a cut with three leaves is a few gates deep.
        if signal not in known:
            i = signal - self.first
            a, b = self._value(self.a[i], known), self._value(self.b[i], known)
            op = self.op[i]
            value = 0
            for case, (x, y) in enumerate(((~a, ~b), (a, ~b), (~a, b), (a, b))):
                value |= x & y & -(op >> case & 1)
            known[signal] = value & 0xFF
        return known[signal]


def map_lut3(circuit: Circuit) -> list[Lut]:
    """Cover a circuit with functions of three inputs, in order; no more of them than gates."""
    mapper = _Mapper(circuit)
    for _ in range(ROUNDS):
        mapper.improve()
    return [
        Lut(signal, mapper.best[signal], mapper.table(signal))
        for signal in range(circuit.first_gate, circuit.n_signals)
        if mapper.uses[signal]
    ]
