"""Classes of signals that no case seen so far tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Classes:
    """Put signals into classes that are equal or complementary in all cases seen so far.

    ``leader[s]`` is the first signal of the class of s, and ``phase[s]`` the value of s in the
    first case, so members of a class are equal where their phases are.
    """

    def __init__(self, n_signals: int) -> None:
        self.leader: NDArray[np.int64] = np.zeros(n_signals, dtype=np.int64)
        self.phase: NDArray[np.bool_] | None = None

    def refine(self, values: NDArray[np.uint64]) -> bool:
        """Split classes by more cases; tell whether there are more classes now.

        Shape: (n_signals, words).
        """
        if self.phase is None:
            self.phase = (values[:, 0] & WORD.type(1)).astype(np.bool_)
        members = np.bincount(self.leader, minlength=len(self.leader))
        shared = np.flatnonzero(members[self.leader] > 1)
        turned = np.where(self.phase[shared, None], ~values[shared], values[shared])
        seen: dict[tuple[int, bytes], int] = {}
        width, data = turned.shape[1] * turned.itemsize, turned.tobytes()
        rows = zip(shared.tolist(), self.leader[shared].tolist(), strict=True)
        self.leader[shared] = [
            seen.setdefault((old, data[i * width : (i + 1) * width]), signal)
            for i, (signal, old) in enumerate(rows)
        ]
        return len(seen) > int(np.count_nonzero(members > 1))

    def isolate(self, signal: int) -> None:
        """Put a signal that leads no other into a class of its own, for good."""
        self.leader[signal] = signal

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
