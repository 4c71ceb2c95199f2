"""Classes of signals that no case seen so far tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Classes:
    """Put signals into classes that are equal or complementary in all cases seen so far.

    ``label[s]`` is the class of signal s and ``phase[s]`` its value in the first case, so members
    of a class are equal where their phases are.
    """

    def __init__(self, n_signals: int) -> None:
        self.label: NDArray[np.int64] = np.zeros(n_signals, dtype=np.int64)
        self.phase: NDArray[np.bool_] | None = None

    def refine(self, values: NDArray[np.uint64]) -> bool:
        """Split classes by more cases; tell whether there are more classes now.

        Shape: (n_signals, words).
        """
        if self.phase is None:
            self.phase = (values[:, 0] & WORD.type(1)).astype(np.bool_)
        rows = np.where(self.phase[:, None], ~values, values)
        before = len(np.unique(self.label))
        seen: dict[tuple[int, bytes], int] = {}
        width = rows.shape[1] * rows.itemsize
        data = rows.tobytes()
        labels = [
            seen.setdefault((old, data[i * width : (i + 1) * width]), i)
            for i, old in enumerate(self.label.tolist())
        ]
        self.label = np.array(labels)
        return len(seen) > before

    def leaders(self) -> NDArray[np.int64]:
        """Give for each signal the first signal of its class.

        Shape: -> (n_signals,).
        """
        _, first, inverse = np.unique(self.label, return_index=True, return_inverse=True)
        return first[inverse]

    def isolate(self, signal: int) -> None:
        """Put a signal into a class of its own, for good."""
        self.label[signal] = len(self.label) + signal

    def complementary(self, x: int, y: int) -> bool:
        """Tell whether two signals of a class are complementary, not equal."""
        assert self.phase is not None
        return bool(self.phase[x] != self.phase[y])


def cases_around(inputs: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint64]:
    """Give a word of cases: some inputs first, then the same with one bit or a few flipped.

    Shape: n_inputs bits -> (n_inputs, 1).
    """
    n = len(inputs)
    bits = np.repeat(np.array(inputs, dtype=np.bool_)[:, None], WORD_BITS, axis=1)
    flips = rng.random((n, WORD_BITS)) < 1 / n
    flips[:, 0] = False
    packed = np.packbits(bits ^ flips, axis=1, bitorder="little")
    return packed.view(WORD)
