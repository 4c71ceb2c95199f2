"""Write designs as C, Verilog and other formats."""

from __future__ import annotations

from bnncli.codegen import (
    aiger,
    blif,
    c,
    dot,
    html,
    javascript,
    jsonform,
    lut3,
    python,
    svg,
    textform,
    verilog,
    wasm,
)
from bnncli.codegen.emitter import EMITTERS, Emitter, find_emitter

__all__ = [
    "EMITTERS",
    "Emitter",
    "aiger",
    "blif",
    "c",
    "dot",
    "find_emitter",
    "html",
    "javascript",
    "jsonform",
    "lut3",
    "python",
    "svg",
    "textform",
    "verilog",
    "wasm",
]
