"""Compute signals once that are equal or complementary for all inputs, or on given ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS
from bnncli.circuit import Builder, input_patterns, rebuild
from bnncli.errors import BnnError
from bnncli.native.circuits import default_circuits
from bnncli.prove.cases import draw, valid_bits
from bnncli.prove.classes import Classes, cases_around
from bnncli.prove.comparison import tries_all
from bnncli.prove.solver import NO_SOLVER, SignalSolver, have

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from bnncli.circuit import Circuit

    Stop = Callable[[], bool]

_BLOCK_WORDS = 2**22  # words of all signals at once: 32 MB
_SAMPLE_WORDS = 32
_CALM_ROUNDS = 4
"""Rounds of samples without a new class before the solver is asked."""

_CONFLICTS = 1000
"""Conflicts after which the solver gives up on a pair of signals."""


def merged(circuit: Circuit, leader: dict[int, tuple[int, bool]]) -> Circuit:
    """Replace signals by earlier ones, complemented or not: {signal: (earlier one, complement)}."""
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


def _all_leaders(circuit: Circuit, classes: Classes) -> dict[int, tuple[int, bool]]:
    leaders = classes.leaders().tolist()
    return {
        s: (leaders[s], classes.complementary(s, leaders[s]))
        for s in range(circuit.first_gate, circuit.n_signals)
        if leaders[s] != s
    }


def _in_blocks(circuit: Circuit, n_words: int) -> Iterator[slice]:
    step = max(1, _BLOCK_WORDS // circuit.n_signals)
    for start in range(0, n_words, step):
        yield slice(start, min(start + step, n_words))


def _merge_exhaustively(circuit: Circuit) -> Circuit:
    classes = Classes(circuit.n_signals)
    for part in _in_blocks(circuit, max(1, 2**circuit.n_inputs // WORD_BITS)):
        patterns = input_patterns(circuit.n_inputs, part.start, part.stop)
        classes.refine(default_circuits().signal_values(circuit, patterns))
    return merged(circuit, _all_leaders(circuit, classes))


def _sample_classes(circuit: Circuit, rng: np.random.Generator) -> Classes:
    classes = Classes(circuit.n_signals)
    calm = 0
    while calm < _CALM_ROUNDS:
        new = classes.refine(
            default_circuits().signal_values(circuit, draw(rng, circuit.n_inputs, _SAMPLE_WORDS))
        )
        calm = 0 if new else calm + 1
    return classes


def _sweep(circuit: Circuit, seed: int, should_stop: Stop | None) -> Circuit:
    """Merge by SAT: classes of samples, proofs in the order of signals, splits by counterexamples."""
    rng = np.random.default_rng(seed)
    classes = _sample_classes(circuit, rng)
    leaders = classes.leaders()
    found: dict[int, tuple[int, bool]] = {}
    with SignalSolver(circuit, _CONFLICTS) as solver:
        for signal in range(circuit.first_gate, circuit.n_signals):
            if should_stop is not None and should_stop():
                break
            while (leader := int(leaders[signal])) != signal:
                complement = classes.complementary(signal, leader)
                answer = solver.equal(leader, signal, complement)
                if answer is True:
                    found[signal] = (leader, complement)
                    break
                if isinstance(answer, tuple):
                    classes.refine(
                        default_circuits().signal_values(circuit, cases_around(answer, rng))
                    )
                else:
                    classes.isolate(signal)
                leaders = classes.leaders()
    return merged(circuit, found)


def merge_needs(circuit: Circuit) -> str:
    """Say what is missing to merge a circuit's signals; empty if nothing is."""
    if tries_all(circuit) or have("pysat"):
        return ""
    return f"{circuit.n_inputs:,} inputs; {NO_SOLVER}"


def merge_functional(
    circuit: Circuit, *, seed: int = 0, should_stop: Stop | None = None
) -> Circuit:
    """Merge all signals that are equal, complementary or constant for all inputs.

    All inputs are tried where that takes seconds. Beyond, signals that agree on samples are
    proved equal by SAT one by one; where the solver gives up, both stay.
    """
    missing = merge_needs(circuit)
    if missing:
        raise BnnError(f"merge_functional: {missing}")
    clean = rebuild(circuit)
    if tries_all(clean):
        return _merge_exhaustively(clean)
    return _sweep(clean, seed, should_stop)


def merge_equal_on(circuit: Circuit, inputs: NDArray[np.uint64], n_cases: int) -> Circuit:
    """Merge all signals that are equal, complementary or constant on some inputs. Inexact.

    The outputs are the same for these inputs; for others they may change.
    Shape: inputs (n_inputs, words), of which n_cases count.
    """
    if inputs.ndim != 2 or inputs.shape[0] != circuit.n_inputs or n_cases < 1:
        raise BnnError(
            f"merge_equal_on: inputs of shape {inputs.shape}, {n_cases} cases; expected "
            f"({circuit.n_inputs}, words) and at least 1 case"
        )
    clean = rebuild(circuit)
    classes = Classes(clean.n_signals)
    valid = valid_bits(inputs.shape[1], n_cases)
    # Cases that do not count repeat the first one.
    first = np.where(inputs[:, :1] & WORD.type(1), ~WORD.type(0), WORD.type(0))
    cases = np.where(valid, inputs & valid | first & ~valid, first)
    for part in _in_blocks(clean, inputs.shape[1]):
        classes.refine(
            default_circuits().signal_values(clean, np.ascontiguousarray(cases[:, part]))
        )
    return merged(clean, _all_leaders(clean, classes))
