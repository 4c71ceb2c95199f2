"""Build a circuit anew through the builder: the linear clean-up, and some outputs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit.builder import Builder
from bnncli.circuit.ir import FIRST_INPUT, Circuit
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def rebuild(circuit: Circuit) -> Circuit:
    """Fold constants, follow wires, absorb inverters, hash structure and remove dead gates at once.

    Every gate that is left combines two signals, except for inverters at outputs. The function is
    the same, the gates are never more, and rebuilding again changes nothing.
    """
    build = Builder(circuit.n_inputs)
    literals = build.add(circuit, build.inputs())
    outputs = [literals[i] for i in circuit.outputs.tolist()]
    return build.build(outputs, circuit.input_names, circuit.output_names)


def cone(circuit: Circuit, outputs: Sequence[int]) -> tuple[Circuit, NDArray[np.int32]]:
    """Cut out some outputs: the gates that they need, rebuilt, on the inputs that these read alone.

    Also give which inputs of the circuit they are, in order. Names stay with inputs and outputs.

    Shape: -> (n_inputs of the cone,).
    """
    for j in outputs:
        if not 0 <= j < circuit.n_outputs:
            raise BnnError(f"cone: output {j}, expected 0 to {circuit.n_outputs - 1}")
    part, reached = _wired(circuit, outputs)
    whole = Builder(part.n_inputs)
    literals = whole.add(part, whole.inputs())
    live = whole.live([literals[i] for i in part.outputs.tolist()])
    kept = np.flatnonzero(live[FIRST_INPUT : part.first_gate])
    build = Builder(len(kept))
    given = np.zeros(part.n_inputs, np.int64)  # false stands for what is not read
    given[kept] = build.inputs()
    found = build.add(part, given.tolist())
    read = reached[kept]
    names = [circuit.input_names[i] for i in read] if circuit.input_names else []
    ends = [circuit.output_names[j] for j in outputs] if circuit.output_names else []
    return build.build([found[i] for i in part.outputs.tolist()], names, ends), read


def _wired(circuit: Circuit, outputs: Sequence[int]) -> tuple[Circuit, NDArray[np.int32]]:
    """Give the gates and inputs from which wires lead to some outputs; takes no look at the rest."""
    ends = [int(circuit.outputs[j]) for j in outputs]
    found, todo = {0, 1}, list(ends)
    while todo:
        signal = todo.pop()
        if signal in found:
            continue
        found.add(signal)
        if (i := signal - circuit.first_gate) >= 0:
            todo += [int(circuit.a[i]), int(circuit.b[i])]
    signals = sorted(found)
    number = {signal: new for new, signal in enumerate(signals)}
    inputs = [s - FIRST_INPUT for s in signals if FIRST_INPUT <= s < circuit.first_gate]
    gates = [s - circuit.first_gate for s in signals if s >= circuit.first_gate]
    op, a, b = circuit.op, circuit.a, circuit.b
    rows = [(int(op[i]), number[int(a[i])], number[int(b[i])]) for i in gates]
    part = Circuit.of_gates(len(inputs), rows, [number[s] for s in ends])
    return part, np.array(inputs, np.int32)
