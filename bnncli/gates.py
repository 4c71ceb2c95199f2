"""Two-input gates by truth table: names, coefficients, difflogic's numbering.

A gate's truth table is a number of four bits; bit ``a + 2b`` is its output for the inputs a, b.
So AND = 0x8, OR = 0xE, XOR = 0x6, the wire a = 0xA and the wire b = 0xC.
Every gate is bilinear in its inputs, for bits and for numbers in [0, 1] alike:

    y = c0 + c1·a + c2·b + c3·a·b

    c0 = f00, c1 = f10 - f00, c2 = f01 - f00, c3 = f11 - f10 - f01 + f00

where f_ab is the output for a, b.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_GATES = 16
"""How many two-input gates there are."""

AND, OR, XOR, WIRE_A, WIRE_B, NOT_A, NOT_B = 0x8, 0xE, 0x6, 0xA, 0xC, 0x5, 0x3
"""A gate by its truth table."""

GATE_NAMES = (
    *("0", "~(a|b)", "a&~b", "~b", "~a&b", "~a", "a^b", "~(a&b)"),
    *("a&b", "~(a^b)", "a", "a|~b", "b", "~a|b", "a|b", "1"),
)
"""Each gate as an expression, by truth table."""

TRIVIAL = frozenset({0x0, 0x3, 0x5, 0xA, 0xC, 0xF})
"""Constants, wires and inverters: gates that do not combine two inputs."""

ENTRY_TO_COEFFICIENT = np.array(
    [[1, 0, 0, 0], [-1, 1, 0, 0], [-1, 0, 1, 0], [1, -1, -1, 1]], dtype=np.float32
)
"""Coefficients (c0, c1, c2, c3) = this matrix times the entries (f00, f10, f01, f11)."""


def table_entries(tables: NDArray[Any]) -> NDArray[np.float32]:
    """Give the outputs (f00, f10, f01, f11) of each truth table.

    Shape: (...) -> (..., 4).
    """
    shifts = np.arange(4, dtype=np.uint8)
    return (tables.astype(np.uint8)[..., None] >> shifts & 1).astype(np.float32)


def table_coefficients(tables: NDArray[Any]) -> NDArray[np.float32]:
    """Give the coefficients (c0, c1, c2, c3) of each truth table.

    Shape: (...) -> (..., 4).
    """
    return table_entries(tables) @ ENTRY_TO_COEFFICIENT.T


def difflogic_table(gate_id: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert difflogic's gate numbers, f00·8 + f01·4 + f10·2 + f11, to truth tables.

    The conversion reverses the four bits and swaps the inputs; it is its own inverse.
    """
    ids = gate_id.astype(np.uint8)
    f00, f01, f10, f11 = (ids >> shift & 1 for shift in (3, 2, 1, 0))
    return (f00 | f10 << 1 | f01 << 2 | f11 << 3).astype(np.uint8)


def swap_inputs(tables: NDArray[Any]) -> NDArray[np.uint8]:
    """Give the truth tables of the same gates with their inputs exchanged."""
    given = tables.astype(np.uint8)
    swapped = given & 0b1001 | (given & 0b0010) << 1 | (given & 0b0100) >> 1
    return swapped.astype(np.uint8)


def declared_gates(number: int) -> str:
    """Say how many gates a network declares: ``1 declared gate``, ``1,151 declared gates``."""
    return f"{number:,} declared gate{'s' * (number != 1)}"


INVERT_A = [(t & 0b0101) << 1 | (t & 0b1010) >> 1 for t in range(N_GATES)]
INVERT_B = [(t & 0b0011) << 2 | (t & 0b1100) >> 2 for t in range(N_GATES)]
SWAP = [t & 0b1001 | (t & 0b0010) << 1 | (t & 0b0100) >> 1 for t in range(N_GATES)]
"""By truth table: that of the same gate with an input complemented, or its inputs exchanged."""
