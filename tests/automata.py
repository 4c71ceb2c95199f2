"""Gate networks that compute a rule of cellular automata by construction, without training."""

from __future__ import annotations

import numpy as np

from bnncli.circuit.ir import FIRST_INPUT
from bnncli.data import rule_table
from bnncli.gates import AND, XOR
from bnncli.packed import PackedModel, elementwise, layers
from bnncli.packed.logic import LogicNetwork

SIGNS = np.array([[-1.0], [1.0]], np.float32)
HALVES = np.array([0.5, -0.5], np.float32)


def network(gates, outputs, n_inputs=2):
    """Make a network of gates (op, a, b) on bright pixels, one group of outputs."""
    op, a, b = zip(*gates, strict=True)
    return LogicNetwork(
        pixel=np.arange(n_inputs, dtype=np.int32),
        threshold=np.full(n_inputs, 127, np.uint8),
        op=np.array(op, np.uint8),
        a=np.array(a, np.int32),
        b=np.array(b, np.int32),
        outputs=np.array(outputs, np.int32),
        n_groups=1,
    )


def rule_network(rule):
    """Expand a rule's table by its highest cell: lo ^ (cell & (lo ^ hi)), equal parts once."""
    table = rule_table(rule)
    n_inputs = len(table).bit_length() - 1
    gates, known = [], {}

    def gate(op, a, b):
        gates.append((op, a, b))
        return FIRST_INPUT + n_inputs + len(gates) - 1

    def signal(part):
        if len(part) == 1:
            return int(part[0])
        key = part.tobytes()
        if key not in known:
            low, high = (signal(half) for half in np.split(part, 2))
            cell = FIRST_INPUT + len(part).bit_length() - 2
            known[key] = (
                low if low == high else gate(XOR, low, gate(AND, cell, gate(XOR, low, high)))
            )
        return known[key]

    output = signal(table)
    return network(gates, [output], n_inputs)


def rule_model(rule, **metadata):
    """Give the packed model of a rule, as a trained network's would be."""
    steps = (
        rule_network(rule),
        layers.FloatLinear(weight=SIGNS),
        elementwise.Affine(gain=np.ones(1, np.float32), offset=HALVES),
    )
    return PackedModel(steps, {"data": f"rule:{rule}", **metadata})
