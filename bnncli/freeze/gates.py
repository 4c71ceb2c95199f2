"""The packed form of gate networks: layers are gathered into a netlist, which a sum closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit.ir import FALSE
from bnncli.freeze.lowering import Layout, lower, vector
from bnncli.freeze.netlist import Netlist
from bnncli.gates import OR
from bnncli.layers import (
    BitLogits,
    Features,
    GroupSum,
    LogicConv2d,
    LogicDense,
    OrPool2d,
    Planes,
    Thermometer,
)
from bnncli.packed import elementwise, layers

if TYPE_CHECKING:
    from bnncli.packed import Step


@lower.register(Thermometer)
def _thermometer(module: Thermometer, layout: Layout) -> list[Step]:
    layout.netlist = Netlist.of_inputs(*module.comparisons())
    return []


@lower.register(LogicDense)
def _logic_dense(module: LogicDense, layout: Layout) -> list[Step]:
    a, b = (wire.numpy() for wire in module.wiring.wires())
    layout.gates(module).add(module.tables().numpy(), a, b)
    return []


@lower.register(GroupSum)
def _group_sum(module: GroupSum, layout: Layout) -> list[Step]:
    network = layout.gates(module).network(module.n_classes)
    layout.end_gates(module.n_classes)
    return [
        network,
        elementwise.Affine(gain=vector(module.gain()), offset=np.zeros(1, np.float32)),
    ]


@lower.register(BitLogits)
def _bit_logits(module: BitLogits, layout: Layout) -> list[Step]:
    network = layout.gates(module).network(1)
    layout.end_gates(2)
    signs = np.array([[-1.0], [1.0]], np.float32)
    offset = np.array([0.5, -0.5], np.float32)
    affine = elementwise.Affine(gain=np.ones(1, np.float32), offset=offset)
    return [network, layers.FloatLinear(weight=signs), affine]


@lower.register(Planes)
def _planes(module: Planes, layout: Layout) -> list[Step]:
    netlist = layout.gates(module)
    netlist.signals = netlist.signals.reshape(module.shape)
    return []


@lower.register(Features)
def _features(module: Features, layout: Layout) -> list[Step]:
    netlist = layout.gates(module)
    netlist.signals = netlist.signals.ravel()
    return []


@lower.register(LogicConv2d)
def _logic_conv2d(module: LogicConv2d, layout: Layout) -> list[Step]:
    """Write the trees out, once for each position."""
    netlist = layout.gates(module)
    k, p = module.kernel_size, module.padding
    padded = np.pad(netlist.signals, ((0, 0), (p, p), (p, p)), constant_values=FALSE)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    _, height, width = windows.shape[:3]
    signals = windows.transpose(0, 3, 4, 1, 2).reshape(-1, height * width)
    for level in module.trees():
        a, b = (wire.numpy() for wire in level.wiring.wires())
        op = np.repeat(level.tables().numpy(), height * width)
        driven = netlist.gate(op, signals[a].ravel(), signals[b].ravel())
        signals = driven.reshape(-1, height * width)
    netlist.signals = signals.reshape(-1, height, width)
    _pool(netlist, module.pool)
    return []


@lower.register(OrPool2d)
def _or_pool2d(module: OrPool2d, layout: Layout) -> list[Step]:
    _pool(layout.gates(module), module.size)
    return []


def _pool(netlist: Netlist, s: int) -> None:
    """Replace the signals by the OR of each square of s · s neighbours."""
    channels, height, width = netlist.signals.shape
    windows = netlist.signals.reshape(channels, height // s, s, width // s, s)
    parts = list(windows.transpose(2, 4, 0, 1, 3).reshape(s * s, -1))
    while len(parts) > 1:
        ors = np.full(parts[0].shape, OR, np.uint8)
        parts = [*parts[2:], netlist.gate(ors, parts[0], parts[1])]
    netlist.signals = parts[0].reshape(channels, height // s, width // s)
