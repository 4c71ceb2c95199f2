"""Compare circuits case by case: all inputs, or sampled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS, words_for
from bnncli.circuit import input_patterns
from bnncli.native.circuits import default_circuits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bnncli.circuit import Circuit

    Patterns = Iterator[tuple[NDArray[np.uint64], int]]

_BLOCK_WORDS = 2**11
_DRAWN_WORDS = 2**20  # of all inputs at once: 8 MB, some times over while they are drawn
_SHARES = (4, 2, 4, 6, 4, 1, 4, 7)
"""By word, in turn: the eighths of ones among the drawn bits."""


def all_patterns(n_inputs: int) -> Patterns:
    """Give blocks of words of all inputs, and how many cases each holds."""
    n_words = words_for(2**n_inputs)
    for start in range(0, n_words, _BLOCK_WORDS):
        stop = min(start + _BLOCK_WORDS, n_words)
        yield input_patterns(n_inputs, start, stop), min((stop - start) * WORD_BITS, 2**n_inputs)


def draw(rng: np.random.Generator, n_inputs: int, n_words: int) -> NDArray[np.uint64]:
    """Draw inputs; half of the words are uniform, the others have few or many ones.

    Gates far from the inputs are often constant on uniform inputs.
    Shape: -> (n_inputs, n_words).
    """
    x, y, z = rng.integers(0, 2**64, (3, n_inputs, n_words), dtype=WORD)
    eighths = np.resize(np.array(_SHARES), n_words)
    few = np.select([eighths == 1, eighths == 2], [x & y & z, x & y], x)
    drawn: NDArray[np.uint64]
    drawn = np.select([eighths == 6, eighths == 7], [x | y, x | y | z], few).astype(WORD)
    return drawn


def sampled_patterns(n_inputs: int, n_cases: int, seed: int) -> Patterns:
    """Give blocks of words of drawn inputs, and how many cases each holds."""
    rng = np.random.default_rng(seed)
    turns = max(1, _DRAWN_WORDS // max(1, n_inputs) // len(_SHARES))
    block = min(_BLOCK_WORDS, turns * len(_SHARES)) * WORD_BITS
    for start in range(0, n_cases, block):
        count = min(block, n_cases - start)
        yield draw(rng, n_inputs, words_for(count)), count


def case_bits(patterns: NDArray[np.uint64], case: int) -> tuple[int, ...]:
    """Read one case's inputs out of words.

    Shape: (n_inputs, words) -> n_inputs bits.
    """
    word, bit = divmod(case, WORD_BITS)
    return tuple((patterns[:, word] >> WORD.type(bit) & WORD.type(1)).tolist())


def valid_bits(n_words: int, n_cases: int) -> NDArray[np.uint64]:
    """Give words with a bit for every case that counts."""
    words = np.full(n_words, ~WORD.type(0), dtype=WORD)
    if n_cases % WORD_BITS:
        words[-1] = WORD.type((1 << n_cases % WORD_BITS) - 1)
    return words


def outputs_for(circuit: Circuit, bits: tuple[int, ...]) -> list[int]:
    """Compute the outputs for one case, gate by gate.

    Shape: n_inputs bits -> n_outputs bits.
    """
    values = [0, 1, *bits]
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for op, a, b in gates:
        values.append(op >> (values[a] + 2 * values[b]) & 1)
    return [values[i] for i in circuit.outputs.tolist()]


def first_difference(a: Circuit, b: Circuit, bits: tuple[int, ...]) -> int | None:
    """Give the first output in which two circuits differ for one case, None if there is none."""
    pairs = zip(outputs_for(a, bits), outputs_for(b, bits), strict=True)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), None)


def find_difference(
    a: Circuit, b: Circuit, patterns: Patterns
) -> tuple[tuple[int, ...] | None, int]:
    """Find a case in which two circuits differ, and count the cases tried.

    Gives (inputs or None, cases).
    """
    simulate = default_circuits().simulate
    tried = 0
    for words, count in patterns:
        differ = (simulate(a, words) ^ simulate(b, words)) & valid_bits(words.shape[1], count)
        tried += count
        if differ.any():
            output, word = (int(i) for i in np.argwhere(differ)[0])
            low = int(differ[output, word])
            case = word * WORD_BITS + (low & -low).bit_length() - 1
            return case_bits(words, case), tried
    return None, tried
