"""Circuits for tests: drawn by Hypothesis, or by a generator for larger ones."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from bnncli.circuit import FIRST_INPUT, Circuit


def random_circuit(
    n_inputs: int, n_gates: int, n_outputs: int, seed: int, *, reach: int | None = None
) -> Circuit:
    """Draw a circuit; with ``reach`` a gate reads at most so far back."""
    rng = np.random.default_rng(seed)
    limits = np.arange(FIRST_INPUT + n_inputs, FIRST_INPUT + n_inputs + n_gates)
    lowest = np.zeros_like(limits) if reach is None else np.maximum(limits - reach, 0)
    a, b = rng.integers(lowest, limits, (2, n_gates))
    op = rng.integers(0, 16, n_gates)
    outputs = rng.integers(0, FIRST_INPUT + n_inputs + n_gates, n_outputs)
    return Circuit(n_inputs, op, a, b, outputs)


@st.composite
def circuits(
    draw: st.DrawFn, *, max_inputs: int = 7, max_gates: int = 30, max_outputs: int = 4
) -> Circuit:
    """Draw any circuit: constants, wires, dead gates and repeated outputs included."""
    n_inputs = draw(st.integers(0, max_inputs))
    gates = []
    for i in range(draw(st.integers(0, max_gates))):
        before = st.integers(0, FIRST_INPUT + n_inputs + i - 1)
        gates.append((draw(st.integers(0, 15)), draw(before), draw(before)))
    ends = st.integers(0, FIRST_INPUT + n_inputs + len(gates) - 1)
    outputs = draw(st.lists(ends, min_size=1, max_size=max_outputs))
    return Circuit.of_gates(n_inputs, gates, outputs)


def brute_force(circuit: Circuit) -> np.ndarray:
    """Give the outputs for all combinations, a case and a gate at a time."""
    out = np.zeros((circuit.n_outputs, 2**circuit.n_inputs), np.bool_)
    for case in range(2**circuit.n_inputs):
        values = [0, 1, *(case >> i & 1 for i in range(circuit.n_inputs))]
        for op, a, b in zip(circuit.op, circuit.a, circuit.b, strict=True):
            values.append(int(op) >> (values[a] + 2 * values[b]) & 1)
        out[:, case] = [values[i] for i in circuit.outputs]
    return out


FULL_ADDER = Circuit.of_gates(
    3,
    [(0x6, 2, 3), (0x6, 5, 4), (0x8, 2, 3), (0x8, 5, 4), (0xE, 7, 8)],
    [6, 9],
    ("a", "b", "carry"),
    ("sum", "next"),
)
