"""The parts of the clean-up one at a time; :func:`bnncli.circuit.rebuild` does them all at once.

Each leaves the gates where they are: a gate that is no longer needed becomes a constant or a wire,
or is read by none, and :func:`remove_dead` takes it away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit import FALSE, TRUE, Circuit
from bnncli.circuit.builder import ALL_TRUE, EQUAL, ZERO_A, ZERO_B
from bnncli.gates import INVERT_A, INVERT_B, NOT_A, NOT_B, SWAP, TRIVIAL, WIRE_A, WIRE_B

if TYPE_CHECKING:
    from collections.abc import Callable

    Gate = tuple[int, int, int]
    Step = Callable[[int, Gate], tuple[Gate, int]]


def _each_gate(circuit: Circuit, step: Step) -> Circuit:
    """Give every gate a new form, in order.

    ``step`` gets a gate's signal and the gate, which reads what its inputs were redirected to; it
    gives the new gate and the signal that its readers and outputs shall take instead.
    """
    instead = list(range(circuit.n_signals))
    gates = []
    old = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for signal, (op, a, b) in enumerate(old, circuit.first_gate):
        gate, instead[signal] = step(signal, (op, instead[a], instead[b]))
        gates.append(gate)
    outputs = [instead[i] for i in circuit.outputs.tolist()]
    names = (circuit.input_names, circuit.output_names)
    return Circuit.of_gates(circuit.n_inputs, gates, outputs, *names)


def fold_constants(circuit: Circuit) -> Circuit:
    """Simplify gates that read a constant, or one signal twice, and pass constants on."""

    def step(signal: int, gate: Gate) -> tuple[Gate, int]:
        op, a, b = gate
        if a == TRUE:
            op, a = INVERT_A[op], FALSE
        if b == TRUE:
            op, b = INVERT_B[op], FALSE
        if a == FALSE:
            op, a = ZERO_A[op], b
        if b == FALSE:
            op, b = ZERO_B[op], a
        if a == b:
            op = EQUAL[op]
        return (op, a, b), {0: FALSE, ALL_TRUE: TRUE}.get(op, signal)

    return _each_gate(circuit, step)


def propagate_copies(circuit: Circuit) -> Circuit:
    """Read what a wire reads instead of the wire."""

    def step(signal: int, gate: Gate) -> tuple[Gate, int]:
        op, a, b = gate
        return gate, a if op == WIRE_A else b if op == WIRE_B else signal

    return _each_gate(circuit, step)


def absorb_inverters(circuit: Circuit) -> Circuit:
    """Read what an inverter reads and invert it in the reader's truth table.

    An inverter at an output stays.
    """
    op, a, b = (array.tolist() for array in (circuit.op, circuit.a, circuit.b))
    first = circuit.first_gate

    def straight(signal: int) -> tuple[int, bool]:
        """Follow one inverter, which reads none: that was followed before."""
        i = signal - first
        if i >= 0 and op[i] in (NOT_A, NOT_B):
            return (a if op[i] == NOT_A else b)[i], True
        return signal, False

    for i in range(circuit.n_gates):
        a[i], inverted = straight(a[i])
        if inverted:
            op[i] = INVERT_A[op[i]]
        b[i], inverted = straight(b[i])
        if inverted:
            op[i] = INVERT_B[op[i]]
    return replace(circuit, op=np.array(op), a=np.array(a), b=np.array(b))


def hash_structure(circuit: Circuit) -> Circuit:
    """Compute gates of the same function of the same signals once.

    The complement of an older gate becomes an inverter.
    """
    known: dict[Gate, int] = {}
    live = circuit.live().tolist()

    def step(signal: int, gate: Gate) -> tuple[Gate, int]:
        op, a, b = gate
        # An inverter of a dead gate would bring it to life.
        if not live[signal - circuit.first_gate]:
            return gate, signal
        if op in (NOT_A, NOT_B):
            op, a, b = (NOT_A, a, a) if op == NOT_A else (NOT_A, b, b)
        if a > b:
            op, a, b = SWAP[op], b, a
        same = known.get((op, a, b))
        opposite = known.get((op ^ ALL_TRUE, a, b))
        if same is None and opposite is not None and op not in TRIVIAL:
            op, a, b = NOT_A, opposite, opposite
            same = known.get((op, a, b))
        if same is not None:
            return (WIRE_A, same, same), same
        known[op, a, b] = signal
        return (op, a, b), signal

    return _each_gate(circuit, step)


def remove_dead(circuit: Circuit) -> Circuit:
    """Drop the gates that no output needs."""
    live = circuit.live()
    number = np.arange(circuit.n_signals, dtype=np.int32)
    number[circuit.first_gate :] = circuit.first_gate + np.cumsum(live, dtype=np.int32) - 1
    return replace(
        circuit,
        op=circuit.op[live],
        a=number[circuit.a[live]],
        b=number[circuit.b[live]],
        outputs=number[circuit.outputs],
    )
