"""The circuit's own text form as a format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.circuit.text import to_text
from bnncli.codegen.c import head_lines
from bnncli.codegen.emitter import emitter, refuse_sums

if TYPE_CHECKING:
    from bnncli.circuit.design import Design


@emitter("text", ".txt", "the circuit's own text form, a gate a line")
def emit_text(design: Design) -> str:
    """Write a circuit as text; what its ends mean stands in comments."""
    refuse_sums(design, "text")
    head = "".join(f"# {line}".rstrip() + "\n" for line in head_lines(design))
    return head + to_text(design.circuit)
