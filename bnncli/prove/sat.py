"""Prove two circuits equal by SAT: aigverse decides, python-sat gives the counterexample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.circuit import Builder
from bnncli.gates import NOT_A, NOT_B, WIRE_A, WIRE_B, XOR
from bnncli.prove.solver import SignalSolver

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


def decide(a: Circuit, b: Circuit, conflicts: int) -> bool | None:
    """Tell whether two circuits are equal; None where the solver gave up after ``conflicts``.

    Circuits that a few conflicts do not decide are asked about once more after merging equal
    signals of both, which costs seconds where nothing is equal.
    """
    from aigverse.algorithms import equivalence_checking

    x, y = to_aig(a), to_aig(b)
    answer: bool | None = equivalence_checking(
        x, y, conflict_limit=min(conflicts, _FEW_CONFLICTS), functional_reduction=False
    )
    if answer is None and conflicts > _FEW_CONFLICTS:
        answer = equivalence_checking(x, y, conflict_limit=conflicts)
    return answer


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
