"""Fold what a sum can do into the sum: inverters, constants and repeated outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit import FIRST_INPUT, Builder, ClassSums

if TYPE_CHECKING:
    from bnncli.circuit import Design


def fold_sums(design: Design) -> Design:
    """Let the class sums count constants, complements and repeated outputs.

    A class that counts a signal several times weighs it, not s counts as 1 - s, and a constant is
    part of the bias. A signal is an output as it is, unless every class subtracts it. The scores
    are the same for all inputs; a design without sums is given back.
    """
    sums, circuit = design.sums, design.circuit
    if sums is None:
        return design
    build = Builder(circuit.n_inputs)
    literals = build.add(circuit, build.inputs())
    bias = sums.bias.tolist()
    terms: dict[tuple[int, int], int] = {}
    ends = zip(circuit.outputs.tolist(), sums.group.tolist(), sums.weight.tolist(), strict=True)
    for signal, k, weight in ends:
        literal = literals[signal]
        if literal & 1:
            bias[k] += weight
        signed = -weight if literal & 1 else weight
        if literal > 1:
            terms[k, literal >> 1] = terms.get((k, literal >> 1), 0) + signed
    kept = sorted((k, s, weight) for (k, s), weight in terms.items() if weight)
    added = {s for _, s, weight in kept if weight > 0}
    outputs, weights = [], []
    for k, s, weight in kept:
        turn = s >= FIRST_INPUT + circuit.n_inputs and s not in added
        bias[k] += weight if turn else 0
        outputs.append(2 * s + turn)
        weights.append(-weight if turn else weight)
    group = np.array([k for k, _, _ in kept], dtype=np.int32)
    folded = ClassSums(group, np.array(weights, dtype=np.int32), np.array(bias, dtype=np.int32))
    made = build.build(outputs, circuit.input_names)
    return replace(design, circuit=made, sums=folded)
