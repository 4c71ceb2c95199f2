"""Circuits of two-input gates: the representation, its text, simulation and rebuilding."""

from bnncli.circuit.builder import Builder
from bnncli.circuit.design import Design, PixelInputs
from bnncli.circuit.ir import FALSE, FIRST_INPUT, TRUE, Circuit
from bnncli.circuit.rebuild import cone, rebuild
from bnncli.circuit.simulate import input_patterns, signal_values, simulate, truth_tables
from bnncli.circuit.sums import ClassSums
from bnncli.circuit.text import from_text, to_text

__all__ = [
    "FALSE",
    "FIRST_INPUT",
    "TRUE",
    "Builder",
    "Circuit",
    "ClassSums",
    "Design",
    "PixelInputs",
    "cone",
    "from_text",
    "input_patterns",
    "rebuild",
    "signal_values",
    "simulate",
    "to_text",
    "truth_tables",
]
