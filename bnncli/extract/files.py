"""Designs from files, and files of designs: packed models and netlists in, any format out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bnncli.circuit import Circuit
from bnncli.codegen import find_emitter
from bnncli.codegen.readers import read_design
from bnncli.data.files import replacing
from bnncli.errors import UsageError
from bnncli.extract.model import design_of
from bnncli.packed import load_packed
from bnncli.packed.file import MAGIC

if TYPE_CHECKING:
    from pathlib import Path

    from bnncli.circuit import Design


def is_packed(path: Path) -> bool:
    """Tell whether a file is a packed model, or should be one by its name."""
    if path.suffix == ".bnn":
        return True
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_design(
    path: Path,
    *,
    name: str | None = None,
    pure: bool = False,
    layer: int | None = None,
    neuron: int | None = None,
) -> Design:
    """Read a packed model, or a netlist in a format that can be read, as a design."""
    if is_packed(path):
        packed = load_packed(path)
        return design_of(packed, name=name or path.stem, pure=pure, layer=layer, neuron=neuron)
    for flag, given in (("--pure", pure), ("--layer", layer), ("--neuron", neuron)):
        if given not in {None, False}:
            raise UsageError(f"{flag}: {path} is a netlist; give a run or a packed model instead")
    return read_design(path)


def write(content: bytes, path: Path) -> None:
    """Write a file; it appears whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(content)


def emitted(design: Design, format_name: str) -> bytes:
    """Give a design in a format, as the bytes of its file."""
    content = find_emitter(format_name).emit(design)
    return content if isinstance(content, bytes) else content.encode()


def check_format(design: Design, format_name: str) -> str | bytes:
    """Refuse a format that cannot hold such a design, before the design is made small.

    Give a design with the same ends and no gates in that format.
    """
    circuit = design.circuit
    # What a format can hold depends on the ends and their names alone.
    blank = Circuit.of_gates(
        circuit.n_inputs,
        [],
        [0] * circuit.n_outputs,
        circuit.input_names,
        circuit.output_names,
    )
    return find_emitter(format_name).emit(dataclasses.replace(design, circuit=blank))
