"""The game without a terminal: a board, how it advances, and what each key does to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.data.automaton import damaged
from bnncli.data.rle import Pattern, load_pattern, pattern_names
from bnncli.data.rules import rule_table, step_board
from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.play.opening import Automaton, Step, World

SPEEDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Steps a second to choose from with + and -."""

MAX_SIDE = 4096
ONE_CELL = Pattern("one cell", np.ones((1, 1), np.uint8))


def parse_size(text: str) -> tuple[int, int]:
    """Read HxW, rows by columns."""
    height, by, width = text.lower().partition("x")
    if by and height.isdecimal() and width.isdecimal():
        size = int(height), int(width)
        if all(0 < side <= MAX_SIDE for side in size):
            return size
    raise UsageError(
        f"--size {text}: expected HxW, rows by columns of 1 to {MAX_SIDE}, such as 40x80"
    )


@dataclass
class Game:
    """A board that a learned automaton advances, compared with its true rule or goal at every step.

    A rule on 3x3 cells moves the whole board. One on 1x3 cells moves a row: the board is its
    history, the present row at ``row``, older ones above it.
    """

    automaton: Automaton
    size: tuple[int, int]
    form: str = "packed"
    seed: int = 0
    density: float = 0.3
    speed: int = 10
    generation: int = 0
    compared: int = 0
    differed: int = 0
    running: bool = True
    editing: bool = False
    over: bool = False
    typed: str | None = None
    """What was typed of a pattern's name so far; None while no name is asked for."""
    message: str = ""
    row: int = 0
    cursor: tuple[int, int] = (0, 0)
    steps: dict[str, Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = self.automaton.world
        self.table = None if self.world.rule is None else rule_table(self.world.rule)
        self.is_history = self.world.neighbourhood[0] == 1
        self.rng = np.random.default_rng(self.seed)
        self.board: NDArray[Any] = np.zeros((self.world.channels, *self.size), np.uint8)
        self.cursor = (0 if self.is_history else self.size[0] // 2, self.size[1] // 2)
        self.goal = goal_of(self.world, self.size)
        self.shown_pattern = -1
        self.switch(self.form)
        if self.is_history:
            self.show(ONE_CELL)
        else:
            self.randomize()

    @property
    def cells(self) -> NDArray[Any]:
        """Give what one sees. Shape: (height, width)."""
        cells: NDArray[Any] = self.board[0]
        return cells

    @property
    def present(self) -> NDArray[Any]:
        """Give the part of the board that the next step reads. Shape: (channels, rows, width)."""
        return self.board[:, self.row : self.row + 1] if self.is_history else self.board

    @property
    def population(self) -> int:
        """Count the live cells of the present; of soft values those of at least 1/2."""
        return int((self.present[0] >= 0.5).sum())

    def switch(self, form: str) -> None:
        """Go on in another form; a form of bits rounds the values of a soft one."""
        if form not in self.steps:
            self.steps[form] = self.automaton.step(form)
        self.form = form
        self.board = self.board.astype(np.float32) if form == "soft" else rounded(self.board)

    def advance(self) -> None:
        """Take one step; where a rule is known, count the cells that it would set otherwise."""
        before = self.present
        after = self.steps[self.form](before, self.rng)
        if self.table is not None:
            expected = step_board(rounded(before[0]), self.table)
            self.compared += expected.size
            self.differed += int((rounded(after[0]) != expected).sum())
        self.generation += 1
        if not self.is_history:
            self.board = after
            return
        if self.row + 1 == self.size[0]:
            self.board = np.roll(self.board, -1, axis=1)
        else:
            self.row += 1
        self.board[:, self.row] = after[:, 0]

    def place(self, cells: NDArray[np.uint8]) -> None:
        """Begin again with cells in the middle of an empty board.

        Shape: (height, width) for channel 0, or (channels, height, width).
        """
        self.board = np.zeros_like(self.board)
        self.generation = self.row = 0
        if cells.ndim == 3:
            self.board[:, : self.extent[0]] = cells
        else:
            height, width = cells.shape
            top, left = (
                (full - own) // 2 for full, own in zip(self.extent, cells.shape, strict=True)
            )
            self.board[0, top : top + height, left : left + width] = cells

    @property
    def extent(self) -> tuple[int, int]:
        """Give height and width of the room for a pattern."""
        return (1 if self.is_history else self.size[0]), self.size[1]

    def show(self, pattern: Pattern) -> None:
        """Begin again with a pattern."""
        height, width = pattern.cells.shape
        if height > self.extent[0] or width > self.extent[1]:
            room = "x".join(map(str, self.extent))
            raise UsageError(
                f"pattern {pattern.name}: {height}x{width} cells, but there is room for {room}; "
                + (
                    "an elementary rule takes one row"
                    if self.is_history
                    else "give a larger --size"
                )
            )
        self.place(pattern.cells)
        self.message = pattern.name
        if pattern.rule not in {None, self.world.rule}:
            self.message += f", made for {pattern.rule}"

    def randomize(self) -> None:
        """Begin again with every bit 1 by chance; a picture that grows, with its one cell."""
        if self.world.task is not None and self.world.task.grows:
            self.place(np.ones((self.world.channels, *self.extent), np.uint8) * self._middle())
        else:
            shape = (self.world.channels, *self.extent)
            self.place((self.rng.random(shape) < self.density).astype(np.uint8))

    def _middle(self) -> NDArray[np.uint8]:
        """Give a board on which the cell in the middle alone is 1."""
        one = np.zeros(self.extent, np.uint8)
        one[self.extent[0] // 2, self.extent[1] // 2] = 1
        return one

    def press(self, key: str) -> None:
        """Do what a key stands for; a failure becomes the message."""
        self.message = ""
        try:
            if self.typed is not None:
                self._type(key)
            elif self.editing and key in MOVES:
                self._move(*MOVES[key])
            elif self.editing and key == "space":
                row, column = self.cursor
                lives = self.cells[row, column] >= 0.5
                self.board[:, row, column] = 0
                self.board[0, row, column] = not lives
            elif key.lower() in KEYS:
                KEYS[key.lower()](self)
        except (BnnError, OSError) as error:
            self.message = str(error)

    def _type(self, key: str) -> None:
        assert self.typed is not None
        if key == "enter":
            name, self.typed = self.typed, None
            if name:
                self.show(load_pattern(name))
        elif key == "escape":
            self.typed = None
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif key == "space" or len(key) == 1:
            self.typed += " " if key == "space" else key

    def _move(self, down: int, right: int) -> None:
        row, column = self.cursor
        height, width = self.extent
        # Of a history only the present row can be changed.
        self.cursor = (
            self.row if self.is_history else (row + down) % height,
            (column + right) % width,
        )

    def _step(self) -> None:
        self.running = False
        self.advance()

    def _pause(self) -> None:
        self.running = not self.running

    def _clear(self) -> None:
        self.place(np.zeros((1, 1), np.uint8))

    def _damage(self) -> None:
        """Erase a block of half the board's shorter side in the middle."""
        size = max(1, min(self.extent) // 2)
        height = self.extent[0]
        rows = slice(self.row, self.row + height)
        self.board[:, rows] = damaged(self.board[:, rows], size)

    def _edit(self) -> None:
        self.editing = not self.editing
        self.running = self.running and not self.editing
        self._move(0, 0)

    def _toggle_form(self) -> None:
        self.switch("packed" if self.form == "soft" else "soft")

    def _next_pattern(self) -> None:
        known = [ONE_CELL, *map(load_pattern, pattern_names())]
        fitting = [
            pattern
            for pattern in known
            if all(own <= room for own, room in zip(pattern.cells.shape, self.extent, strict=True))
        ]
        # One cell alone dies at once on a plane and tells the most about a rule on a line.
        fitting = fitting[:1] if self.is_history else fitting[1:]
        if not fitting:
            raise UsageError("no pattern fits on this board")
        self.shown_pattern = (self.shown_pattern + 1) % len(fitting)
        self.show(fitting[self.shown_pattern])

    def _ask(self) -> None:
        self.typed = ""

    def _faster(self) -> None:
        self.speed = next((speed for speed in SPEEDS if speed > self.speed), SPEEDS[-1])

    def _slower(self) -> None:
        self.speed = next((speed for speed in SPEEDS[::-1] if speed < self.speed), SPEEDS[0])

    def _quit(self) -> None:
        self.over = True


MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}

KEYS = {
    "space": Game._pause,
    "s": Game._step,
    "right": Game._step,
    "r": Game.randomize,
    "c": Game._clear,
    "d": Game._damage,
    "e": Game._edit,
    "h": Game._toggle_form,
    "p": Game._next_pattern,
    "o": Game._ask,
    "+": Game._faster,
    "=": Game._faster,
    "-": Game._slower,
    "q": Game._quit,
}


def goal_of(world: World, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Give the picture that a task wants on a board, where there is one of that size."""
    height, width = size
    if world.task is None or height != width:
        return None
    try:
        goal = world.task.goal(np.zeros((1, 1, *size), np.uint8))
    except UsageError:  # the board is too small for the picture
        return None
    return np.asarray(goal[0])


def rounded(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Give 1 where a value is at least 1/2."""
    return (values >= 0.5).astype(np.uint8)
