"""Draw a board as lines of text: two rows of cells in each line of half blocks, so cells are square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.play.game import Game

DEAD, ALIVE, CURSOR_DEAD, CURSOR_ALIVE = 234, 253, 130, 214
"""Colours of the 256: two ends of its greys, and two oranges."""

RESET = "\x1b[0m"
HALVES = " ▄▀█"
SHADES = " ░▒▓█"
HELP = (
    "space run s step r random c clear e edit d damage h soft p next o open +- q quit",
    "EDIT: arrows move  space sets a cell  s step  e done  q quit",
)


def viewport(full: int, room: int, focus: int) -> slice:
    """Choose ``room`` of ``full`` rows or columns, around ``focus`` where not all fit."""
    start = min(max(0, focus - room // 2), max(0, full - room))
    return slice(start, start + min(full, room))


def board_lines(cells: NDArray[Any], cursor: tuple[int, int] | None, *, colour: bool) -> list[str]:
    """Draw cells of 0 to 1, in colours or in characters alone; the cursor's cell is marked.

    Shape: (height, width) -> (height + 1) // 2 lines.
    """
    if cells.shape[0] % 2:
        cells = np.concatenate([cells, np.zeros((1, cells.shape[1]), cells.dtype)])
    if colour:
        return _coloured(cells, cursor)
    lines = []
    for number, (upper, lower) in enumerate(zip(cells[::2], cells[1::2], strict=True)):
        if cells.dtype == np.uint8:
            characters = [HALVES[code] for code in 2 * upper + lower]
        else:
            last = len(SHADES) - 1
            means = np.clip(np.rint((upper + lower) / 2 * last), 0, last).astype(int)
            characters = [SHADES[mean] for mean in means]
        if cursor is not None and cursor[0] // 2 == number:
            characters[cursor[1]] = f"\x1b[7m{characters[cursor[1]]}{RESET}"
        lines.append("".join(characters))
    return lines


def _coloured(cells: NDArray[Any], cursor: tuple[int, int] | None) -> list[str]:
    colours = DEAD + np.rint(np.clip(cells, 0, 1).astype(float) * (ALIVE - DEAD)).astype(int)
    if cursor is not None:
        colours[cursor] = CURSOR_ALIVE if cells[cursor] >= 0.5 else CURSOR_DEAD
    lines = []
    for upper, lower in zip(colours[::2].tolist(), colours[1::2].tolist(), strict=True):
        parts = []
        before = None
        for pair in zip(upper, lower, strict=True):
            if pair != before:
                parts.append("\x1b[38;5;{}m\x1b[48;5;{}m".format(*pair))
                before = pair
            parts.append("▀")
        lines.append("".join(parts) + RESET)
    return lines


def status_lines(game: Game, steps_per_second: float) -> list[str]:
    """Say in three lines where the game is, whether the rule agrees, and which keys there are."""
    state = "running" if game.running else "paused"
    name, _, _ = game.world.name.partition(",")  # a task's options would fill the line
    where = (
        f"{name}  {game.form}  generation {game.generation:,}  "
        f"population {game.population:,}  {steps_per_second:,.0f}/s of {game.speed:,}  {state}"
    )
    agreement = agreement_line(game)
    if game.typed is not None:
        return [where, f"pattern, name or file: {game.typed}_", "enter opens it, escape does not"]
    if game.editing:
        row, column = game.cursor
        where += f"  cursor {row},{column}"
    said = f"{game.message} – {agreement}" if game.message else agreement
    return [where, said, HELP[game.editing]]


def agreement_line(game: Game) -> str:
    """Say how many cells the true rule would have set otherwise, or how near the goal is."""
    if game.table is None:
        goal = game.goal
        if goal is None:
            return "no goal is known for a board of this size"
        right = int(((game.cells >= 0.5) == goal).sum())
        return f"{right:,} of {goal.size:,} cells are as the goal wants them"
    verdict = "agrees with" if game.differed == 0 else "DIFFERS from"
    return f"{verdict} the rule: {game.differed:,} of {game.compared:,} cells differed"


def frame(
    game: Game, columns: int, lines: int, *, steps_per_second: float, colour: bool
) -> list[str]:
    """Draw board and status into so many columns and lines of a terminal."""
    status = [line[:columns] for line in status_lines(game, steps_per_second)]
    # Where there is hardly room, the board comes first and the help goes.
    status = status[: max(1, min(3, lines - 1))]
    room = max(1, lines - len(status))
    height, width = game.size
    top = viewport(height, 2 * room, game.cursor[0] if game.editing else height // 2)
    if game.is_history:
        top = viewport(height, 2 * room, game.row)
    left = viewport(width, columns, game.cursor[1] if game.editing else width // 2)
    cursor = None
    if game.editing:
        cursor = game.cursor[0] - top.start, game.cursor[1] - left.start
    drawn = board_lines(game.cells[top, left], cursor, colour=colour)
    drawn += [""] * (room - len(drawn))
    return drawn + status


def text_rows(cells: NDArray[Any]) -> list[str]:
    """Write cells as text, O for a live one and . for a dead one; soft values round."""
    return ["".join(".O"[int(value >= 0.5)] for value in row) for row in cells]
