"""The packed form of an automaton's cell: perceiving and updating as one network of gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.freeze.lowering import Layout, lower
from bnncli.layers.automaton import CENTRE, WINDOW, Perceive, StateLogits
from bnncli.packed import elementwise

if TYPE_CHECKING:
    from bnncli.packed import Step


@lower.register(Perceive)
def _perceive(module: Perceive, layout: Layout) -> list[Step]:
    """Write the kernels out, once for each channel."""
    netlist = layout.gates(module)
    windows = netlist.signals.reshape(module.channels, WINDOW)
    signals = windows.T
    for kernel in module.kernels():
        a, b = (wire.numpy() for wire in kernel.wiring.wires())
        op = np.repeat(kernel.tables().numpy(), module.channels)
        driven = netlist.gate(op, signals[a].ravel(), signals[b].ravel())
        signals = driven.reshape(-1, module.channels)
    netlist.signals = np.concatenate([signals.T.ravel(), windows[:, CENTRE]])
    return []


@lower.register(StateLogits)
def _state_logits(module: StateLogits, layout: Layout) -> list[Step]:
    netlist = layout.gates(module)
    channels = len(netlist.signals)
    network = netlist.network(channels)
    layout.end_gates(channels)
    half = np.full(1, -0.5, np.float32)
    return [network, elementwise.Affine(gain=np.ones(1, np.float32), offset=half)]
