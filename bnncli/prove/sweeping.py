"""SAT sweeping: find the signals of a circuit that are equal or complementary for all inputs.

Samples put signals into classes; in order, a solver is asked whether a signal equals the first of
its class. What is proved helps with what comes after; a counterexample splits classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit import Builder
from bnncli.native.circuits import default_circuits
from bnncli.prove.cases import draw
from bnncli.prove.classes import Classes, cases_around
from bnncli.prove.solver import SignalSolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnncli.circuit import Circuit

    Stop = Callable[[], bool]
    Leaders = dict[int, tuple[int, bool]]
    """For a signal the earlier one that it is always equal (or, if true, complementary) to."""

_SAMPLE_WORDS = 32
_CALM_ROUNDS = 4
"""Rounds of samples without a new class before the solver is asked."""

CONFLICTS = 1000
"""Conflicts after which the solver gives up on a pair of signals."""


def merged(circuit: Circuit, leader: Leaders) -> Circuit:
    """Replace signals by earlier ones, complemented or not, and clean up."""
    build = Builder(circuit.n_inputs)
    literals = [0, 1, *build.inputs()]
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for signal, (op, a, b) in enumerate(gates, circuit.first_gate):
        if signal in leader:
            other, complement = leader[signal]
            literals.append(literals[other] ^ complement)
        else:
            literals.append(build.gate(op, literals[a], literals[b]))
    outputs = [literals[i] for i in circuit.outputs.tolist()]
    return build.build(outputs, circuit.input_names, circuit.output_names)


def _sample_classes(
    circuit: Circuit, rng: np.random.Generator, should_stop: Stop | None
) -> Classes:
    classes = Classes(circuit.n_signals)
    calm = 0
    while calm < _CALM_ROUNDS and not (should_stop is not None and should_stop()):
        cases = draw(rng, circuit.n_inputs, _SAMPLE_WORDS)
        new = classes.refine(default_circuits().signal_values(circuit, cases))
        calm = 0 if new else calm + 1
    return classes


def equal_signals(
    circuit: Circuit,
    *,
    seed: int = 0,
    conflicts: int = CONFLICTS,
    should_stop: Stop | None = None,
) -> Leaders:
    """Find the gates that always equal, or complement, an earlier signal, as far as proved."""
    rng = np.random.default_rng(seed)
    classes = _sample_classes(circuit, rng, should_stop)
    found: Leaders = {}
    with SignalSolver(circuit, conflicts) as solver:
        for signal in range(circuit.first_gate, circuit.n_signals):
            if should_stop is not None and should_stop():
                break
            while (leader := int(classes.leader[signal])) != signal:
                complement = classes.complementary(signal, leader)
                answer = solver.equal(leader, signal, complement)
                if answer is True:
                    found[signal] = (leader, complement)
                    break
                if isinstance(answer, tuple):
                    cases = cases_around(answer, rng)
                    classes.refine(default_circuits().signal_values(circuit, cases))
                else:
                    classes.isolate(signal)
    return found
