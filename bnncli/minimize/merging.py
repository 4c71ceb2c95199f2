"""Compute signals once that are equal or complementary for all inputs, or on given ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS
from bnncli.circuit import input_patterns, rebuild
from bnncli.errors import BnnError
from bnncli.native.circuits import default_circuits
from bnncli.prove.cases import valid_bits
from bnncli.prove.classes import Classes
from bnncli.prove.comparison import tries_all
from bnncli.prove.solver import NO_SOLVER, have
from bnncli.prove.sweeping import equal_signals, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bnncli.circuit import Circuit
    from bnncli.prove.sweeping import Leaders, Stop

_BLOCK_WORDS = 2**22  # words of all signals at once: 32 MB


def _all_leaders(circuit: Circuit, classes: Classes) -> Leaders:
    leaders = classes.leader.tolist()
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
    return merged(clean, equal_signals(clean, seed=seed, should_stop=should_stop))


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
