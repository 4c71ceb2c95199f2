"""JSON of a whole design: its circuit, pixels, sums and notes; what ``read_design`` reads back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.codegen.emitter import emitter
from bnncli.jsontext import to_json

if TYPE_CHECKING:
    from bnncli.circuit.design import Design

FORMAT, VERSION = "bnn-design", 1


def design_values(design: Design) -> dict[str, Any]:
    """Give a design as plain values; gates as [truth table, a, b]."""
    circuit = design.circuit
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    values: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "name": design.name,
        "notes": list(design.notes),
        "channels": design.channels,
        "inputs": circuit.n_inputs,
        "input_names": list(circuit.input_names),
        "output_names": list(circuit.output_names),
        "gates": [list(gate) for gate in gates],
        "outputs": circuit.outputs.tolist(),
    }
    if design.task is not None:
        values["task"] = design.task
    if design.pixels:
        pixels = design.pixels
        values["pixels"] = {
            "n_pixels": pixels.n_pixels,
            "pixel": pixels.pixel.tolist(),
            "threshold": pixels.threshold.tolist(),
            "mask": None if pixels.mask is None else pixels.mask.tolist(),
        }
    if design.sums:
        sums = design.sums
        values["sums"] = {
            "group": sums.group.tolist(),
            "weight": sums.weight.tolist(),
            "bias": sums.bias.tolist(),
        }
    return values


@emitter("json", ".json", "the whole design as JSON, with the truth table of each gate")
def emit_json(design: Design) -> str:
    """Write a design as JSON, a key a line and a gate a line."""
    lines = []
    for key, value in design_values(design).items():
        text = to_json(value, indent=None)
        if key == "gates" and value:
            text = (
                "[\n    " + ",\n    ".join(to_json(gate, indent=None) for gate in value) + "\n  ]"
            )
        lines.append(f'  "{key}": {text}')
    return "{\n" + ",\n".join(lines) + "\n}\n"
