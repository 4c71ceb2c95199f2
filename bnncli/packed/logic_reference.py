"""Gate networks in numpy: 64 images a word, one level of gates at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS, pack_bits, unpack_bits
from bnncli.packed.backend import check_array
from bnncli.packed.logic import FIRST_INPUT, LogicNetwork, gate_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK_WORDS = 2**22  # words of all signals at once: 32 MB


def _anf_masks(op: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Give each truth table's c in y = c0 ^ c1·a ^ c2·b ^ c3·a·b, as words of equal bits.

    Shape: (n,) -> (4, n, 1).
    """
    f00, f10, f01, f11 = (op >> shift & 1 for shift in range(4))
    c = np.stack([f00, f00 ^ f10, f00 ^ f01, f00 ^ f10 ^ f01 ^ f11])
    return np.where(c, ~WORD.type(0), WORD.type(0))[..., None]


class LogicReference:
    """Evaluate a gate network; a call gives the counts.

    Shape: (n, n_pixels) uint8 -> (n, n_groups) int32.
    """

    def __init__(self, network: LogicNetwork) -> None:
        self._network = network
        levels = gate_levels(FIRST_INPUT + network.n_inputs, network.a, network.b)
        order = np.argsort(levels, kind="stable")
        # Where the level changes in sorted order.
        starts = np.flatnonzero(np.diff(levels[order], prepend=-1))
        self._levels = [
            (FIRST_INPUT + network.n_inputs + gates, network.a[gates], network.b[gates], masks)
            for gates in np.split(order, starts[1:])
            for masks in (_anf_masks(network.op[gates]),)
        ]

    def signals(self, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute all signals from the inputs' words.

        Shape: (n_inputs, words) -> (n_signals, words).
        """
        values = np.empty((self._network.n_signals, inputs.shape[1]), dtype=WORD)
        values[0] = 0
        values[1] = ~WORD.type(0)
        values[FIRST_INPUT : FIRST_INPUT + len(inputs)] = inputs
        for gates, a, b, (c0, c1, c2, c3) in self._levels:
            x, y = values[a], values[b]
            values[gates] = c0 ^ c1 & x ^ c2 & y ^ c3 & x & y
        return values

    def _counts(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        network = self._network
        inputs = pack_bits(images.T[network.pixel] > network.threshold[:, None])
        outputs = unpack_bits(self.signals(inputs)[network.outputs], len(images))
        by_group = outputs.reshape(network.n_groups, network.group_size, len(images))
        counts: NDArray[np.int32] = by_group.sum(axis=1, dtype=np.int32).T
        return counts

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Count the true outputs of each group."""
        check_array("logic network: images", images, np.uint8, (None, None))
        out = np.empty((len(images), self._network.n_groups), dtype=np.int32)
        step = WORD_BITS * max(1, _CHUNK_WORDS // self._network.n_signals)
        for start in range(0, len(images), step):
            out[start : start + step] = self._counts(images[start : start + step])
        return out
