"""Gate networks in numpy: 64 images a word, one level of gates at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import WORD, WORD_BITS, pack_bits, unpack_bits
from bnncli.circuit.ir import FIRST_INPUT
from bnncli.circuit.levels import GateLevels
from bnncli.packed.backend import check_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

_CHUNK_WORDS = 2**22  # words of all signals at once: 32 MB


class LogicReference:
    """Evaluate a gate network; a call gives the counts.

    Shape: (n, n_pixels) uint8 -> (n, n_groups) int32.
    """

    def __init__(self, network: LogicNetwork) -> None:
        self._network = network
        self._levels = GateLevels(network.first_gate, network.op, network.a, network.b)

    def signals(self, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute all signals from the inputs' words.

        Shape: (n_inputs, words) -> (n_signals, words).
        """
        values = np.empty((self._network.n_signals, inputs.shape[1]), dtype=WORD)
        values[0] = 0
        values[1] = ~WORD.type(0)
        values[FIRST_INPUT : FIRST_INPUT + len(inputs)] = inputs
        self._levels.fill(values)
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
