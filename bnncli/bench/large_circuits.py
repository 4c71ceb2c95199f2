"""Large redundant circuits: how small and how fast the passes make them, beside abc."""

from __future__ import annotations

import numpy as np

from bnncli.circuit import FIRST_INPUT, Circuit
from bnncli.gates import N_GATES


def layered(n_inputs: int, width: int, n_layers: int, seed: int) -> Circuit:
    """Draw a network as gate networks are before training: layers of any gates, random wires.

    Every signal of a layer is read as often as the others, as far as that goes; the last layer is
    the outputs.
    """
    rng = np.random.default_rng(seed)
    before = np.arange(FIRST_INPUT, FIRST_INPUT + n_inputs, dtype=np.int32)
    a, b = [], []
    for _ in range(n_layers):
        ends = rng.permutation(np.resize(before, 2 * width))
        a.append(ends[:width])
        b.append(ends[width:])
        before = before[-1] + np.arange(1, width + 1, dtype=np.int32)
    op = rng.integers(0, N_GATES, n_layers * width, dtype=np.uint8)
    return Circuit(n_inputs, op, np.concatenate(a), np.concatenate(b), before)
