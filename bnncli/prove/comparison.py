"""Compare two circuits by the strongest method that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.circuit.simulate import MAX_EXHAUSTIVE
from bnncli.errors import BnnError, unknown_name
from bnncli.prove.cases import all_patterns, find_difference, first_difference, sampled_patterns
from bnncli.prove.sat import counterexample, decide, same_structure
from bnncli.prove.solver import NO_SOLVER, have, prover_name, require_solvers
from bnncli.prove.verdict import Verdict

if TYPE_CHECKING:
    from bnncli.circuit import Circuit

METHODS = {
    "auto": "the first of the others that fits",
    "exhaustive": f"try all inputs, at most {MAX_EXHAUSTIVE}",
    "sat": "prove by SAT (needs the verify extra)",
    "sampled": "try drawn inputs; no proof",
}
"""Ways to compare circuits, by name."""

SAMPLES = 1_000_000
CONFLICTS = 100_000
"""Conflicts after which the solver gives up on a pair of circuits."""

_EASY_INPUTS = 20
_EASY_WORK = 2**31
"""Cases times gates that take a few seconds."""

FIRST_LOOK = 2**12
"""Sampled cases before any other method but the exhaustive: they find most differences."""


def check_ends(**ends: tuple[int, int]) -> None:
    """Refuse two things with other numbers of inputs, outputs or classes."""
    for kind, (x, y) in ends.items():
        if x != y:
            raise BnnError(f"compare: {x:,} {kind} against {y:,}; expected the same number")


def _differ(a: Circuit, b: Circuit, inputs: tuple[int, ...], **known: Any) -> Verdict:
    """Make the verdict of a counterexample, which is tried once more, gate by gate."""
    output = first_difference(a, b, inputs)
    if output is None:
        raise BnnError(
            "compare: a counterexample does not tell the circuits apart; please report this"
        )
    names = a.output_names or b.output_names
    name = names[output] if names else ""
    return Verdict(equal=False, counterexample=inputs, output=output, output_name=name, **known)


def _exhaustive(a: Circuit, b: Circuit) -> Verdict:
    if a.n_inputs > MAX_EXHAUSTIVE:
        raise BnnError(
            f"compare: {a.n_inputs:,} inputs, expected at most {MAX_EXHAUSTIVE} to try all; "
            f"compare by sat or sampled"
        )
    inputs, cases = find_difference(a, b, all_patterns(a.n_inputs))
    if inputs is not None:
        return _differ(a, b, inputs, kind="exhaustive", cases=cases)
    return Verdict(equal=True, kind="exhaustive", cases=cases)


def _sampled(a: Circuit, b: Circuit, samples: int, seed: int) -> Verdict:
    inputs, cases = find_difference(a, b, sampled_patterns(a.n_inputs, samples, seed))
    if inputs is not None:
        return _differ(a, b, inputs, kind="sampled", cases=cases, seed=seed)
    return Verdict(equal=True, kind="sampled", cases=cases, seed=seed)


def _sat(a: Circuit, b: Circuit, first: Verdict, conflicts: int) -> Verdict:
    """Ask the solver about two circuits that a first look did not tell apart."""
    equal, prover = decide(a, b, conflicts, first.seed or 0)
    looked = {"kind": "sat", "cases": first.cases, "seed": first.seed, "prover": prover}
    if equal is False:
        inputs = counterexample(a, b)
        if inputs is None:
            raise BnnError(
                f"compare: {prover} and {prover_name('python-sat')} disagree; please report this"
            )
        return _differ(a, b, inputs, **looked)
    return Verdict(equal=equal, **looked)  # type: ignore[arg-type]


def tries_all(circuit: Circuit, n_gates: int = 0) -> bool:
    """Tell whether all inputs of a circuit are tried, where nobody asks for another method.

    That is so for few inputs, if it takes seconds or no solver is installed. ``n_gates`` are
    those of a second circuit.
    """
    if circuit.n_inputs > _EASY_INPUTS:
        return False
    easy = (circuit.n_gates + n_gates) << circuit.n_inputs <= _EASY_WORK
    return easy or not have_solvers()


def have_solvers() -> bool:
    """Tell whether circuits can be proved equal by SAT here."""
    return have("aigverse") and have("pysat")


def compare(
    a: Circuit,
    b: Circuit,
    *,
    method: str = "auto",
    seed: int = 0,
    samples: int = SAMPLES,
    conflicts: int = CONFLICTS,
) -> Verdict:
    """Tell whether two circuits have the same outputs for all inputs.

    ``auto`` tries all inputs where that is a matter of seconds; beyond, it looks at sampled inputs
    and the structure, and asks a SAT solver where one is installed. Without one it tries all
    inputs if it can, and else samples, which is no proof.
    """
    if method not in METHODS:
        raise unknown_name("method of comparison", method, METHODS)
    if samples < 1:
        raise BnnError(f"compare: samples={samples}, expected at least 1")
    check_ends(inputs=(a.n_inputs, b.n_inputs), outputs=(a.n_outputs, b.n_outputs))
    if method == "sat":
        require_solvers()
    if method == "sampled":
        return _sampled(a, b, samples, seed)
    if method == "exhaustive" or (method == "auto" and tries_all(a, b.n_gates)):
        return _exhaustive(a, b)
    first = _sampled(a, b, FIRST_LOOK, seed)
    if first.equal is False:
        return first
    if method == "auto" and same_structure(a, b):
        return Verdict(equal=True, kind="structural", cases=first.cases, seed=seed)
    if method == "sat" or have_solvers():
        return _sat(a, b, first, conflicts)
    found = _sampled(a, b, samples, seed)
    if found.equal is False:
        return found
    return Verdict(equal=True, kind="sampled", cases=found.cases, seed=seed, hint=NO_SOLVER)
