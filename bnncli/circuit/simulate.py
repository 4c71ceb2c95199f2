"""Evaluate circuits in numpy, 64 cases a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS, unpack_bits, words_for
from bnncli.circuit.ir import FIRST_INPUT, TRUE
from bnncli.circuit.levels import GateLevels
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.circuit.ir import Circuit

MAX_EXHAUSTIVE = 24
"""Inputs whose combinations can all be tried: 2^24 cases are 2 MB a signal."""

_WORD_PATTERNS = np.array(
    [
        *(0xAAAAAAAAAAAAAAAA, 0xCCCCCCCCCCCCCCCC, 0xF0F0F0F0F0F0F0F0),
        *(0xFF00FF00FF00FF00, 0xFFFF0000FFFF0000, 0xFFFFFFFF00000000),
    ],
    dtype=WORD,
)
_BITS_IN_WORD = len(_WORD_PATTERNS)
_CHUNK_WORDS = 2**22  # words of all signals at once: 32 MB


def input_patterns(n_inputs: int, start: int = 0, stop: int | None = None) -> NDArray[np.uint64]:
    """Give the words ``start`` to ``stop`` of all combinations: input i is bit i of the case.

    Below 6 inputs the one word repeats the combinations.
    Shape: -> (n_inputs, stop - start); all words are max(1, 2^n_inputs / 64).
    """
    if not 0 <= n_inputs <= MAX_EXHAUSTIVE:
        raise BnnError(
            f"{n_inputs} inputs: expected at most {MAX_EXHAUSTIVE} to try all combinations; "
            f"sample them, or prove by SAT"
        )
    words = np.arange(start, words_for(2**n_inputs) if stop is None else stop, dtype=WORD)
    patterns = np.empty((n_inputs, len(words)), dtype=WORD)
    for i in range(n_inputs):
        if i < _BITS_IN_WORD:
            patterns[i] = _WORD_PATTERNS[i]
        else:
            patterns[i] = np.where(
                words >> WORD.type(i - _BITS_IN_WORD) & WORD.type(1), ~WORD.type(0), 0
            )
    return patterns


def signal_values(circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Compute all signals from the inputs.

    Shape: (n_inputs, words) -> (n_signals, words).
    """
    if inputs.ndim != 2 or len(inputs) != circuit.n_inputs or inputs.dtype != WORD:
        raise BnnError(
            f"simulate: inputs of {inputs.dtype}, shape {inputs.shape}; expected uint64, "
            f"({circuit.n_inputs}, words)"
        )
    values = np.empty((circuit.n_signals, inputs.shape[1]), dtype=WORD)
    values[0] = 0
    values[TRUE] = ~WORD.type(0)
    values[FIRST_INPUT : circuit.first_gate] = inputs
    GateLevels(circuit.first_gate, circuit.op, circuit.a, circuit.b).fill(values)
    return values


def simulate(circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Compute the outputs from the inputs; bit k of word w is case 64 w + k of each.

    Shape: (n_inputs, words) -> (n_outputs, words).
    """
    n_words = inputs.shape[-1]
    step = max(1, _CHUNK_WORDS // circuit.n_signals)
    out = np.empty((circuit.n_outputs, n_words), dtype=WORD)
    for start in range(0, max(n_words, 1), step):
        part = slice(start, start + step)
        out[:, part] = signal_values(circuit, inputs[:, part])[circuit.outputs]
    return out


def truth_tables(circuit: Circuit) -> NDArray[np.bool_]:
    """Give the outputs for all combinations of the inputs; input i is bit i of the row's number.

    Shape: -> (n_outputs, 2^n_inputs).
    """
    values = simulate(circuit, input_patterns(circuit.n_inputs))
    n_cases = 2**circuit.n_inputs
    return unpack_bits(values, max(n_cases, WORD_BITS))[:, :n_cases]
