"""Rules of cellular automata with two states, as truth tables over their neighbourhoods.

A neighbourhood index i has cell k alive iff bit k of i, cells in row-major order:

    3x3 (life-like rules)       1x3 (elementary rules)
    0 1 2
    3 4 5   cell 4 is the       0 1 2   cell 1 is the
    6 7 8   centre                      centre

A table gives the centre's next state for each index. A life-like (outer-totalistic) rule Bx/Sy
bears a dead cell with x live neighbours of eight and keeps a live one with y; an elementary rule
has the number of S. Wolfram, *Statistical mechanics of cellular automata*, 1983: bit
4·left + 2·centre + right of the number is the next state.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX = "rule:"
EXAMPLES = ("rule:B3/S23", "rule:W110")
FORMS = (
    "B3/S23 (born and surviving neighbour counts, digits 0 to 8; also b3s23, or 23/3 with the "
    "surviving counts first) or W110 (elementary rule 0 to 255)"
)
_BORN_FIRST = re.compile(r"B([0-8]*)/?S([0-8]*)", re.IGNORECASE)
_SURVIVING_FIRST = re.compile(r"(?:S([0-8]*)/?B([0-8]*)|([0-8]*)/([0-8]*))", re.IGNORECASE)
_ELEMENTARY = re.compile(r"W([0-9]{1,3})", re.IGNORECASE)
_SHAPES = {512: (3, 3), 8: (1, 3)}


def canonical_name(name: str) -> str:
    """Give the one spelling of a data set's name: a rule's; other names have only one."""
    return PREFIX + canonical_rule(name) if name.startswith(PREFIX) else name


def canonical_rule(name: str) -> str:
    """Give the one spelling of a rule: B, ascending digits, /S, ascending digits; or W, number.

    >>> canonical_rule("rule:23/3"), canonical_rule("w007")
    ('B3/S23', 'W7')
    """
    text = name.removeprefix(PREFIX)
    if found := _BORN_FIRST.fullmatch(text):
        return _life_like(*found.groups())
    if found := _SURVIVING_FIRST.fullmatch(text):
        surviving, born = (found[i] if found[i] is not None else found[i + 2] for i in (1, 2))
        return _life_like(born, surviving)
    found = _ELEMENTARY.fullmatch(text)
    if found and int(found[1]) < 256:
        return f"W{int(found[1])}"
    raise UsageError(f"rule {text!r}: expected {FORMS}")


def rule_table(name: str) -> NDArray[np.uint8]:
    """Give the next state of the centre for each neighbourhood, 512 of 3x3 cells or 8 of 1x3.

    Shape: -> (512,) or (8,), uint8 0 dead, 1 alive.
    """
    rule = canonical_rule(name)
    if rule.startswith("W"):
        cells = neighbourhoods(8)
        number = cells @ np.array([4, 2, 1])
        return np.asarray(int(rule[1:]) >> number & 1, dtype=np.uint8)
    born, surviving = ([int(d) for d in part[1:]] for part in rule.split("/"))
    cells = neighbourhoods(512)
    alive = cells[:, 4] == 1
    n_neighbours = cells.sum(axis=1) - cells[:, 4]
    next_state = np.where(alive, np.isin(n_neighbours, surviving), np.isin(n_neighbours, born))
    return next_state.astype(np.uint8)


def neighbourhoods(n_rows: int) -> NDArray[np.int64]:
    """List the cells of neighbourhood 0, 1, …: cell k of row i is bit k of i.

    Shape: -> (n_rows, log2(n_rows)), values 0 and 1; n_rows is a power of two.
    """
    n_cells = n_rows.bit_length() - 1
    return np.arange(n_rows)[:, None] >> np.arange(n_cells) & 1


def neighbourhood_shape(table: NDArray[Any]) -> tuple[int, int]:
    """Give height and width of the neighbourhoods that a table lists."""
    if table.ndim != 1 or len(table) not in _SHAPES:
        raise UsageError(
            f"rule table of shape {table.shape}: expected 512 entries (3x3 cells) or 8 (1x3 cells)"
        )
    return _SHAPES[len(table)]


def step_board(board: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Advance every cell of a board by a rule's table; opposite edges touch.

    next[r, c] = table[Σ_k 2^k · board[r + dr_k, c + dc_k]]. The rows of an elementary rule are
    independent boards.
    Shape: (height, width), 0 and 1 -> (height, width).
    """
    height, width = neighbourhood_shape(table)
    if board.ndim != 2 or board.size == 0:
        raise UsageError(f"board of shape {board.shape}: expected (height, width), both at least 1")
    if board.max() > 1:
        raise UsageError(f"board holds {board.max()}: expected cells 0 (dead) and 1 (alive)")
    index = np.zeros(board.shape, dtype=np.int64)
    for k in range(height * width):
        row, column = divmod(k, width)
        shift = (height // 2 - row, width // 2 - column)
        index += np.roll(board, shift, axis=(0, 1)).astype(np.int64) << k
    stepped: NDArray[np.uint8] = table[index].astype(np.uint8)
    return stepped


def _life_like(born: str, surviving: str) -> str:
    return "B{}/S{}".format(*("".join(sorted(set(digits))) for digits in (born, surviving)))
