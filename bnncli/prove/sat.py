"""Prove two circuits equal by SAT: aigverse decides; python-sat merges and gives counterexamples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.circuit import Builder
from bnncli.gates import NOT_A, NOT_B, WIRE_A, WIRE_B, XOR
from bnncli.prove.solver import SignalSolver, prover_name
from bnncli.prove.sweeping import equal_signals, merged

if TYPE_CHECKING:
    from bnncli.circuit import Circuit


_FEW_CONFLICTS = 1000


def to_aig(circuit: Circuit) -> Any:
    """Convert a circuit to an and-inverter graph of aigverse.

    It knows nothing of our :class:`Builder`, so its proofs do not rest on what they examine.
    """
    from aigverse.networks import Aig

    aig = Aig()
    signals = [aig.get_constant(False), aig.get_constant(True)]
    signals += [aig.create_pi() for _ in range(circuit.n_inputs)]
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for op, a, b in gates:
        x, y = signals[a], signals[b]
        # An odd table has a 1 for (0, 0).
        table = op ^ 0xF if op & 1 else op
        if table == XOR:
            out = aig.create_xor(x, y)
        elif table in (WIRE_A, WIRE_B):
            out = x if table == WIRE_A else y
        elif table == 0:
            out = signals[0]
        elif table.bit_count() == 1:
            row = table.bit_length() - 1
            out = aig.create_and(x ^ (not row & 1), y ^ (not row & 2))
        else:
            out = ~aig.create_and(~x, ~y)
        signals.append(~out if op & 1 else out)
    for i in circuit.outputs.tolist():
        aig.create_po(signals[i])
    return aig


assert (NOT_A ^ 0xF, NOT_B ^ 0xF) == (WIRE_A, WIRE_B)


def _ask(a: Circuit, b: Circuit, conflicts: int) -> bool | None:
    from aigverse.algorithms import equivalence_checking

    answer: bool | None = equivalence_checking(
        to_aig(a), to_aig(b), conflict_limit=conflicts, functional_reduction=False
    )
    return answer


def side_by_side(a: Circuit, b: Circuit) -> Circuit:
    """Build one circuit with the outputs of both."""
    build = Builder(a.n_inputs)
    ends = []
    for circuit in (a, b):
        literals = build.add(circuit, build.inputs())
        ends += [literals[i] for i in circuit.outputs.tolist()]
    return build.build(ends)


def decide(a: Circuit, b: Circuit, conflicts: int, seed: int = 0) -> tuple[bool | None, str]:
    """Tell whether two circuits are equal, and who says so; None after too many ``conflicts``.

    aigverse is asked about the outputs. If a few conflicts do not decide, signals inside that are
    equal in both are proved so one by one and merged, and aigverse is asked about what is left.
    """
    prover = prover_name("aigverse")
    answer = _ask(a, b, min(conflicts, _FEW_CONFLICTS))
    if answer is not None or conflicts <= _FEW_CONFLICTS:
        return answer, prover
    both = side_by_side(a, b)
    both = merged(both, equal_signals(both, seed=seed))
    x, y = (replace(both, outputs=part) for part in np.split(both.outputs, 2))
    provers = f"{prover_name('python-sat')} by sweeping"
    if np.array_equal(x.outputs, y.outputs):
        return True, provers
    return _ask(x, y, conflicts), f"{provers}, {prover}"


def miter(a: Circuit, b: Circuit) -> Circuit:
    """Build the circuit whose one output tells whether two circuits differ."""
    build = Builder(a.n_inputs)
    inputs = build.inputs()
    left, right = build.add(a, inputs), build.add(b, inputs)
    pairs = zip(a.outputs.tolist(), b.outputs.tolist(), strict=True)
    differ = [build.xor(left[x], right[y]) for x, y in pairs]
    while len(differ) > 1:
        differ = [build.or_(differ[i], differ[i + 1]) for i in range(0, len(differ) - 1, 2)] + (
            differ[-1:] if len(differ) % 2 else []
        )
    return build.build(differ)


def counterexample(a: Circuit, b: Circuit) -> tuple[int, ...] | None:
    """Find inputs for which two circuits differ; None if there are none."""
    joint = miter(a, b)
    with SignalSolver(joint) as solver:
        answer = solver.equal(int(joint.outputs[0]), 0)
    return answer if isinstance(answer, tuple) else None


def same_structure(a: Circuit, b: Circuit) -> bool:
    """Tell whether hashing both circuits' gates into one builder gives the same outputs.

    They are equal if it does; it may miss that they are.
    """
    build = Builder(a.n_inputs)
    inputs = build.inputs()
    left, right = build.add(a, inputs), build.add(b, inputs)
    pairs = zip(a.outputs.tolist(), b.outputs.tolist(), strict=True)
    return all(left[x] == right[y] for x, y in pairs)
