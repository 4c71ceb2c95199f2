"""A second start for automata that count their neighbours: adders whose rows neighbours share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit import Builder, truth_tables
from bnncli.circuit.arith import add_columns, full_adder, lookup
from bnncli.circuit.design import NEIGHBOURS

if TYPE_CHECKING:
    from bnncli.circuit import Circuit

CENTRE = 4


def counting_circuit(circuit: Circuit) -> Circuit | None:
    """Build the rule of a neighbourhood from sums of its rows; None where it does not count.

    Each row's sum is needed again by the cells above and below, and so is computed once. The total
    of the nine cells and the cell itself decide. None unless the outputs depend on no more than
    how many neighbours are alive and whether the cell is.
    """
    if circuit.n_inputs != NEIGHBOURS:
        return None
    rows = np.arange(2**NEIGHBOURS)
    centre = rows >> CENTRE & 1
    # total + 16 · centre
    key = np.bitwise_count(rows).astype(np.int64) + (centre << 4)
    tables = []
    for outputs in truth_tables(circuit):
        alive = np.zeros(32, np.int64)
        alive[key] = outputs
        if not np.array_equal(alive[key], outputs):
            return None
        tables.append(alive)
    build = Builder(NEIGHBOURS)
    cells = build.inputs()
    sums = [full_adder(build, *cells[i : i + 3]) for i in (0, 3, 6)]
    total = add_columns(build, [[low for low, _ in sums], [high for _, high in sums]])
    decided = [*total, *([0] * (4 - len(total))), cells[CENTRE]]
    table = [sum(int(t[i]) << k for k, t in enumerate(tables)) for i in range(32)]
    outputs = lookup(build, decided, table)
    outputs += [0] * (circuit.n_outputs - len(outputs))
    return build.build(outputs, circuit.input_names, circuit.output_names)
