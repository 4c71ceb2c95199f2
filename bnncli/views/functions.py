"""The sixteen functions of two inputs as they are shown: order, families, signs and colours."""

from __future__ import annotations

from dataclasses import dataclass

from bnncli.gates import GATE_NAMES


@dataclass(frozen=True)
class Function:
    """A gate function: its truth table, one character for it, and its colour."""

    table: int
    sign: str
    color: str

    @property
    def name(self) -> str:
        """Give the function as an expression."""
        return GATE_NAMES[self.table]


@dataclass(frozen=True)
class Family:
    """Functions that do much the same; their colours are shades of one."""

    name: str
    functions: tuple[Function, ...]


# Shades of black, grey, blue, orange and green: hues of Okabe & Ito 2008, told apart by readers
# with any colour vision, and light beside dark within a family.
FAMILIES = (
    Family("constant", (Function(0x0, "0", "#1a1a1a"), Function(0xF, "1", "#4d4d4d"))),
    Family("wire", (Function(0xA, "a", "#8c8c8c"), Function(0xC, "b", "#a6a6a6"))),
    Family("inverter", (Function(0x5, "A", "#c2c2c2"), Function(0x3, "B", "#dcdcdc"))),
    Family(
        "one of four is 1",
        (
            Function(0x8, "&", "#00446b"),
            Function(0x2, ">", "#0072b2"),
            Function(0x4, "<", "#4ba3d9"),
            Function(0x1, "↓", "#a6d4f2"),
        ),
    ),
    Family(
        "three of four are 1",
        (
            Function(0xE, "|", "#8a3c00"),
            Function(0xB, "≥", "#d55e00"),
            Function(0xD, "≤", "#f09449"),
            Function(0x7, "↑", "#fbcfa4"),
        ),
    ),
    Family("parity", (Function(0x6, "^", "#006b4e"), Function(0x9, "=", "#5cc2a2"))),
)

FUNCTIONS = tuple(function for family in FAMILIES for function in family.functions)
"""All sixteen, in the order of their families."""
