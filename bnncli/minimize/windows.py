"""Replace gates by what is at hand nearby, where no output can tell the difference.

Around each gate x a window is cut out of the circuit: x, the first gates that depend on it, and
what these compute from at most :data:`N_LEAVES` signals. Every combination of the leaves is tried
(a signal's values are the bits of one integer), so what holds in the window holds in the circuit.
Flipping x shows the combinations in which something beyond the window sees x: the care set. There
another signal, its complement, or one gate of two other signals may take x's place, and what only
x needed goes.

Don't-care resubstitution on windows is due to Mishchenko, Brayton, Jiang and Jang, "Scalable
don't-care-based logic optimization and resynthesis" (2011).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from bnncli.circuit import FIRST_INPUT, TRUE, Builder, Circuit, rebuild
from bnncli.gates import INVERT_A, INVERT_B, N_GATES, NOT_A

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

N_LEAVES = 12
READERS = (0, 12)
"""Gates after x in its window: first none, so that all leaves tell what x depends on."""

N_INSIDE = 40
"""Gates of a window at most."""

N_SIGNALS = 40
"""Signals, about, that may take x's place."""

MAX_ROUNDS = 8

N_CASES = 1 << N_LEAVES
ALL = (1 << N_CASES) - 1
VARIABLES = [ALL // ((1 << (1 << i)) + 1) << (1 << i) for i in range(N_LEAVES)]
"""Leaf i as an integer whose bit c is bit i of the combination c."""


def _gate_functions() -> list[Callable[[int, int], int]]:
    """Give each truth table as a function of two integers of :data:`N_CASES` bits."""
    return [
        lambda x, y: 0,
        lambda x, y: (x | y) ^ ALL,
        lambda x, y: x & ~y,
        lambda x, y: y ^ ALL,
        lambda x, y: y & ~x,
        lambda x, y: x ^ ALL,
        lambda x, y: x ^ y,
        lambda x, y: (x & y) ^ ALL,
        lambda x, y: x & y,
        lambda x, y: x ^ y ^ ALL,
        lambda x, y: x,
        lambda x, y: x | (y ^ ALL),
        lambda x, y: y,
        lambda x, y: y | (x ^ ALL),
        lambda x, y: x | y,
        lambda x, y: ALL,
    ]


GATES = _gate_functions()
assert len(GATES) == N_GATES


class Network:
    """A circuit whose gates change in place; a gate reads smaller signals at all times."""

    def __init__(self, circuit: Circuit) -> None:
        none = [0] * circuit.first_gate
        self.first = circuit.first_gate
        self.op = [*none, *circuit.op.tolist()]
        self.a = [*none, *circuit.a.tolist()]
        self.b = [*none, *circuit.b.tolist()]
        self.outputs = circuit.outputs.tolist()
        self.readers: list[list[int]] = [[] for _ in range(circuit.n_signals)]
        self.output_count = [0] * circuit.n_signals
        for signal in range(self.first, circuit.n_signals):
            self.readers[self.a[signal]].append(signal)
            self.readers[self.b[signal]].append(signal)
        for signal in self.outputs:
            self.output_count[signal] += 1

    def is_dead(self, signal: int) -> bool:
        """Tell whether nothing reads a signal."""
        return not self.readers[signal] and not self.output_count[signal]

    def freed(self, signal: int, kept: Iterable[int] = ()) -> int:
        """Count the gates that go with one, itself included, if some others stay."""
        count, waiting = 0, [signal]
        left: dict[int, int] = dict.fromkeys(kept, -1)
        while waiting:
            gate = waiting.pop()
            count += 1
            for x in (self.a[gate], self.b[gate]):
                if x >= self.first:
                    uses = left.get(x)
                    if uses is None:
                        uses = len(self.readers[x]) + self.output_count[x]
                    left[x] = uses - 1
                    if uses == 1:
                        waiting.append(x)
        return count

    def _release(self, signal: int) -> None:
        """Take away a gate that nothing reads, and what only it read."""
        waiting = [signal]
        while waiting:
            gate = waiting.pop()
            for x in (self.a[gate], self.b[gate]):
                self.readers[x].remove(gate)
                if x >= self.first and self.is_dead(x):
                    waiting.append(x)
            self.a[gate] = self.b[gate] = self.op[gate] = 0

    def set_gate(self, signal: int, op: int, a: int, b: int) -> None:
        """Make a signal another gate."""
        old = (self.a[signal], self.b[signal])
        for x in (a, b):
            self.readers[x].append(signal)
        for x in old:
            self.readers[x].remove(signal)
        self.op[signal], self.a[signal], self.b[signal] = op, a, b
        for x in set(old):
            if x >= self.first and self.is_dead(x):
                self._release(x)

    def replace(self, signal: int, other: int, complement: bool) -> None:
        """Let everything that reads a signal read another one or its complement instead."""
        if complement and self.output_count[signal]:
            self.set_gate(signal, NOT_A, other, other)
            return
        for gate in self.readers[signal]:
            if self.a[gate] == signal:
                self.a[gate] = other
                self.op[gate] = INVERT_A[self.op[gate]] if complement else self.op[gate]
            if self.b[gate] == signal:
                self.b[gate] = other
                self.op[gate] = INVERT_B[self.op[gate]] if complement else self.op[gate]
            self.readers[other].append(gate)
        self.readers[signal] = []
        if self.output_count[signal]:
            self.outputs = [other if x == signal else x for x in self.outputs]
            self.output_count[other] += self.output_count[signal]
            self.output_count[signal] = 0
        self._release(signal)

    def circuit(self, like: Circuit) -> Circuit:
        """Give the circuit as it is now, cleaned up."""
        gates = zip(self.op[self.first :], self.a[self.first :], self.b[self.first :], strict=True)
        names = (like.input_names, like.output_names)
        return rebuild(Circuit.of_gates(like.n_inputs, gates, self.outputs, *names))


class Window:
    """The surroundings of a gate, with all their values.

    ``values`` are those of the signals that may take the gate's place, and ``care`` are the
    combinations in which the gate matters.
    """

    def __init__(self, net: Network, gate: int, limit: int) -> None:
        self.net, self.gate = net, gate
        while True:
            self.after = self._first_readers(limit)
            leaves, inside = self._leaves()
            if len(leaves) <= N_LEAVES:
                break
            limit = min(limit, len(self.after)) // 2
        self._grow(leaves, inside)
        self.values = {0: 0, TRUE: ALL}
        self.values.update(zip(sorted(leaves), VARIABLES, strict=False))
        self._compute(sorted(inside))
        self.wanted = self.values[gate]
        self.care = self._care()
        for x in (gate, *self.after):
            del self.values[x]
        self._add_neighbours()

    def _first_readers(self, limit: int) -> list[int]:
        """List the first gates, in order, that depend on the gate.

        In order, so that whatever else one of them reads does not depend on the gate.
        """
        readers = self.net.readers
        heap = list(set(readers[self.gate]))
        heapq.heapify(heap)
        seen = set(heap)
        after: list[int] = []
        while heap and len(after) < limit:
            x = heapq.heappop(heap)
            after.append(x)
            for y in readers[x]:
                if y not in seen:
                    seen.add(y)
                    heapq.heappush(heap, y)
        return after

    def _leaves(self) -> tuple[set[int], set[int]]:
        net = self.net
        inside = {self.gate, *self.after}
        read = {net.a[x] for x in inside} | {net.b[x] for x in inside}
        return {x for x in read if x >= FIRST_INPUT} - inside, inside

    def _grow(self, leaves: set[int], inside: set[int]) -> None:
        """Move leaves inwards, those first that bring the fewest new ones."""
        a, b, first = self.net.a, self.net.b, self.net.first
        while len(inside) < N_INSIDE:
            best, best_cost = -1, 2
            for x in leaves:
                if x < first:
                    continue
                cost = -1
                for y in {a[x], b[x]}:
                    cost += y >= FIRST_INPUT and y not in leaves and y not in inside
                if cost < best_cost or (cost == best_cost and x > best):
                    best, best_cost = x, cost
            if best < 0 or len(leaves) + best_cost > N_LEAVES:
                return
            leaves.remove(best)
            inside.add(best)
            leaves |= {y for y in (a[best], b[best]) if y >= FIRST_INPUT} - inside

    def _compute(self, gates: Iterable[int]) -> None:
        net, values = self.net, self.values
        for x in gates:
            values[x] = GATES[net.op[x]](values[net.a[x]], values[net.b[x]])

    def _care(self) -> int:
        """Flip the gate and see where a signal that is read outside changes."""
        net, values = self.net, self.values
        inside = {self.gate, *self.after}
        flipped = {self.gate: values[self.gate] ^ ALL}
        care = 0
        for x in (self.gate, *self.after):
            if x != self.gate:
                y, z = net.a[x], net.b[x]
                flipped[x] = GATES[net.op[x]](flipped.get(y, values[y]), flipped.get(z, values[z]))
            if net.output_count[x] or not inside.issuperset(net.readers[x]):
                care |= flipped[x] ^ values[x]
                if care == ALL:
                    break
        return care

    def _add_neighbours(self) -> None:
        """Drop later signals; add earlier gates that read only signals of the window."""
        net, gate = self.net, self.gate
        values = {x: value for x, value in self.values.items() if x < gate}
        waiting = sorted(values, reverse=True)
        while waiting and len(values) < N_SIGNALS:
            for x in net.readers[waiting.pop()]:
                if x < gate and x not in values and net.a[x] in values and net.b[x] in values:
                    values[x] = GATES[net.op[x]](values[net.a[x]], values[net.b[x]])
                    waiting.append(x)
        self.values = values

    def improve(self) -> bool:
        """Replace the gate by something cheaper, if there is anything."""
        return self._by_signal() or self._by_gate()

    def _by_signal(self) -> bool:
        net, gate, care = self.net, self.gate, self.care
        inverter = net.output_count[gate] > 0
        for x, value in self.values.items():
            differ = (value ^ self.wanted) & care
            if not differ or (differ == care and not (inverter and net.freed(gate, (x,)) < 2)):
                if x < FIRST_INPUT:
                    net.replace(gate, x ^ (differ != 0), complement=False)
                else:
                    net.replace(gate, x, complement=differ != 0)
                return True
        return False

    def _by_gate(self) -> bool:
        net, gate, care = self.net, self.gate, self.care
        if net.freed(gate) < 2:
            return False
        ones, zeros = care & self.wanted, care & ~self.wanted
        # One combination where x is 1: a pair must tell it from all where x is 0.
        pivot = ones & -ones
        signals = [x for x in self.values if x >= FIRST_INPUT]
        told = [
            (self.values[x] if not self.values[x] & pivot else ~self.values[x]) & zeros
            for x in signals
        ]
        for i, x in enumerate(signals):
            rest = told[i]
            for j in range(i):
                if rest | told[j] == zeros:
                    y = signals[j]
                    op = self._table(self.values[x], self.values[y], ones, zeros)
                    if op is not None and net.freed(gate, (x, y)) > 1:
                        net.set_gate(gate, op, x, y)
                        return True
        return False

    @staticmethod
    def _table(x: int, y: int, ones: int, zeros: int) -> int | None:
        """Find the truth table that gives ones and zeros of two signals, if there is one."""
        table = 0
        for row, both in enumerate((~(x | y), x & ~y, y & ~x, x & y)):
            if ones & both:
                if zeros & both:
                    return None
                table |= 1 << row
        return table


class _Seen:
    """Tell which gates of a circuit were not, with all that they depend on, in an earlier one."""

    def __init__(self, n_inputs: int) -> None:
        self._build = Builder(n_inputs)

    def new_gates(self, circuit: Circuit) -> list[int]:
        """List a circuit's new gates and what these read, last first; remember the circuit."""
        known = circuit.first_gate + len(self._build)
        literals = self._build.add(circuit, self._build.inputs())
        first, a, b = circuit.first_gate, circuit.a.tolist(), circuit.b.tolist()
        new = {x for x in range(first, circuit.n_signals) if literals[x] >> 1 >= known}
        read = {x for gate in new for x in (a[gate - first], b[gate - first])}
        return sorted((x for x in new | read if x >= first), reverse=True)


def resubstitute(circuit: Circuit, *, should_stop: Callable[[], bool] | None = None) -> Circuit:
    """Replace gates within windows until a round finds nothing more.

    After the first round only what has changed is looked at again.
    """
    best = rebuild(circuit)
    seen = _Seen(best.n_inputs)
    for _ in range(MAX_ROUNDS):
        net = Network(best)
        for gate in seen.new_gates(best):
            if should_stop is not None and should_stop():
                break
            if net.op[gate] == NOT_A or net.is_dead(gate):
                continue
            for limit in READERS if net.readers[gate] else READERS[:1]:
                if Window(net, gate, limit).improve():
                    break
        made = net.circuit(best)
        if made.size >= best.size:
            break
        best = made
    return best
