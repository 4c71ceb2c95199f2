"""The order of levels: gates that can be computed at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD

if TYPE_CHECKING:
    from numpy.typing import NDArray


def gate_levels(first_gate: int, a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give the level of each gate: 1 + the highest level that it reads, where inputs have level 0.

    Shape: (n_gates,), (n_gates,) -> (n_gates,).
    """
    # One pass over Python lists: linear in the gates whatever the depth.
    level = [0] * first_gate
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        level.append(1 + max(level[x], level[y]))
    return np.array(level[first_gate:], dtype=np.int32)


def _anf_masks(op: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Give each truth table's c in y = c0 ^ c1·a ^ c2·b ^ c3·a·b, as words of equal bits.

    Shape: (n,) -> (4, n, 1).
    """
    f00, f10, f01, f11 = (op >> shift & 1 for shift in range(4))
    c = np.stack([f00, f00 ^ f10, f00 ^ f01, f00 ^ f10 ^ f01 ^ f11])
    return np.where(c, ~WORD.type(0), WORD.type(0))[..., None]


class GateLevels:
    """Evaluate gates in numpy, a level at a time, 64 cases a word.

    Gate i drives signal ``first_gate + i``.
    """

    def __init__(
        self,
        first_gate: int,
        op: NDArray[np.uint8],
        a: NDArray[np.int32],
        b: NDArray[np.int32],
    ) -> None:
        levels = gate_levels(first_gate, a, b)
        order = np.argsort(levels, kind="stable")
        # Where the level changes in sorted order.
        starts = np.flatnonzero(np.diff(levels[order], prepend=-1))
        self._levels = [
            (first_gate + gates, a[gates], b[gates], _anf_masks(op[gates]))
            for gates in np.split(order, starts[1:])
            if len(gates)
        ]

    def fill(self, values: NDArray[np.uint64]) -> None:
        """Compute the gates' signals from those before them, in place.

        Shape: (n_signals, words).
        """
        for gates, a, b, (c0, c1, c2, c3) in self._levels:
            x, y = values[a], values[b]
            values[gates] = c0 ^ c1 & x ^ c2 & y ^ c3 & x & y
