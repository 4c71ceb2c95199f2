"""Build circuits from literals; what can be simplified at once never becomes a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.circuit.ir import FIRST_INPUT, TRUE, Circuit
from bnncli.errors import BnnError
from bnncli.gates import AND, INVERT_A, INVERT_B, N_GATES, OR, SWAP, TRIVIAL, WIRE_A, XOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Literal = int

ALL_TRUE = 0xF
ZERO_A = [t & 0b0101 | (t & 0b0101) << 1 for t in range(N_GATES)]
ZERO_B = [t & 0b0011 | (t & 0b0011) << 2 for t in range(N_GATES)]
EQUAL = [(t & 1) * 0b0101 | (t >> 3) * 0b1010 for t in range(N_GATES)]
"""By truth table: the one it becomes with an input 0, or with both inputs equal."""


class Builder:
    """Collect gates on literals: 2 · signal + 1 if complemented. 0 is false, 1 is true.

    A gate on constants, on one signal twice, or equal or complementary to one that exists gives an
    old literal; every other one is stored with f(0, 0) = 0 and its smaller signal first, so the
    same function of the same literals is stored once (structural hashing); with ``share`` off equal
    gates are stored again.

    >>> build = Builder(2)
    >>> x, y = build.inputs()
    >>> build.or_(x, y) == build.not_(build.and_(build.not_(x), build.not_(y)))
    True
    """

    def __init__(self, n_inputs: int, *, share: bool = True) -> None:
        self.n_inputs = n_inputs
        self._share = share
        self._op: list[int] = []
        self._a: list[int] = []
        self._b: list[int] = []
        self._known: dict[tuple[int, int, int], int] = {}

    def inputs(self) -> list[Literal]:
        """Give the inputs' literals."""
        return [2 * (FIRST_INPUT + i) for i in range(self.n_inputs)]

    def __len__(self) -> int:
        """Count the gates so far."""
        return len(self._op)

    def gate(self, op: int, x: Literal, y: Literal) -> Literal:
        """Give the literal of a truth table of two literals."""
        table = op
        if x & 1:
            table = INVERT_A[table]
        if y & 1:
            table = INVERT_B[table]
        a, b = x >> 1, y >> 1
        if not a:
            table = ZERO_A[table]
        if not b:
            table = ZERO_B[table]
        if a == b:
            table = EQUAL[table]
        complement = table & 1
        if complement:
            table ^= ALL_TRUE
        if table in TRIVIAL:
            return complement + (2 * (a if table == WIRE_A else b) if table else 0)
        if a > b:
            table, a, b = SWAP[table], b, a
        key = (table, a, b)
        signal = self._known.get(key)
        if signal is None or not self._share:
            signal = FIRST_INPUT + self.n_inputs + len(self._op)
            self._known[key] = signal
            self._op.append(table)
            self._a.append(a)
            self._b.append(b)
        return 2 * signal + complement

    def not_(self, x: Literal) -> Literal:
        """Complement a literal; costs nothing."""
        return x ^ 1

    def and_(self, x: Literal, y: Literal) -> Literal:
        """Give x and y."""
        return self.gate(AND, x, y)

    def or_(self, x: Literal, y: Literal) -> Literal:
        """Give x or y."""
        return self.gate(OR, x, y)

    def xor(self, x: Literal, y: Literal) -> Literal:
        """Give x xor y."""
        return self.gate(XOR, x, y)

    def add(self, circuit: Circuit, inputs: Sequence[Literal]) -> list[Literal]:
        """Copy a circuit onto literals as its inputs; give the literals of all its signals.

        Shape: (n_inputs,) -> (n_signals,).
        """
        if len(inputs) != circuit.n_inputs:
            raise BnnError(f"{len(inputs)} literals for a circuit of {circuit.n_inputs} inputs")
        literals = [0, 1, *inputs]
        gate = self.gate
        gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
        for op, a, b in gates:
            literals.append(gate(op, literals[a], literals[b]))
        return literals

    def build(
        self,
        outputs: Iterable[Literal],
        input_names: Sequence[str] = (),
        output_names: Sequence[str] = (),
    ) -> Circuit:
        """Close the gates that the outputs need into a circuit.

        A complemented output turns its gate round; where the gate is an output as it is too, or is
        an input, the output gets an inverter.
        """
        wanted = list(outputs)
        live = self.live(wanted)
        straight = {x >> 1 for x in wanted if not x & 1}
        turned = {x >> 1 for x in wanted if x & 1} - straight
        first = FIRST_INPUT + self.n_inputs
        op: list[int] = []
        a: list[int] = []
        b: list[int] = []
        # By signal here: the literal in the circuit.
        new = [0, 2 * TRUE, *self.inputs()]
        for signal in range(first, first + len(self._op)):
            if not live[signal]:
                new.append(0)
                continue
            i = signal - first
            x, y = new[self._a[i]], new[self._b[i]]
            table = self._op[i]
            if x & 1:
                table = INVERT_A[table]
            if y & 1:
                table = INVERT_B[table]
            turn = signal in turned
            op.append(table ^ ALL_TRUE if turn else table)
            a.append(x >> 1)
            b.append(y >> 1)
            new.append(2 * (first + len(op) - 1) + turn)
        ends = [new[x >> 1] ^ (x & 1) if x > 1 else 2 * x for x in wanted]
        inverters: dict[int, int] = {}
        for x in ends:
            if x & 1 and x not in inverters:
                inverters[x] = 2 * (first + len(op))
                op.append(INVERT_A[WIRE_A])
                a.append(x >> 1)
                b.append(x >> 1)
        signals = [inverters.get(x, x) >> 1 for x in ends]
        gates = zip(op, a, b, strict=True)
        return Circuit.of_gates(self.n_inputs, gates, signals, input_names, output_names)

    def live(self, outputs: Iterable[Literal]) -> list[bool]:
        """Tell for each signal so far whether one of these outputs needs it; inputs may be."""
        first = FIRST_INPUT + self.n_inputs
        live = [False] * (first + len(self._op))
        for x in outputs:
            live[x >> 1] = True
        for signal in range(len(live) - 1, first - 1, -1):
            if live[signal]:
                live[self._a[signal - first]] = live[self._b[signal - first]] = True
        return live
