"""The linear clean-up: build a circuit anew through the builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.circuit.builder import Builder

if TYPE_CHECKING:
    from bnncli.circuit.ir import Circuit


def rebuild(circuit: Circuit) -> Circuit:
    """Fold constants, follow wires, absorb inverters, hash structure and remove dead gates at once.

    Every gate that is left combines two signals, except for inverters at outputs. The function is
    the same, the gates are never more, and rebuilding again changes nothing.
    """
    build = Builder(circuit.n_inputs)
    literals = build.add(circuit, build.inputs())
    outputs = [literals[i] for i in circuit.outputs.tolist()]
    return build.build(outputs, circuit.input_names, circuit.output_names)
