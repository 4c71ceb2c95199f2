"""Tasks on boards: what an automaton starts from, how it runs, and what it has to reach.

A data set ``board:PATTERN,option=value,…`` asks for a pattern on channel 0 of a board after some
steps; a data set ``rule:B3/S23`` asks an automaton of one channel for the rule's own next board.
Source of the checkerboard: arXiv:2506.04912.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bnncli.data import rules
from bnncli.data.automaton import Automaton, check_fire_rate, damaged
from bnncli.data.exams import Answers
from bnncli.data.rules import PREFIX as RULE_PREFIX
from bnncli.data.rules import canonical_rule, neighbourhood_shape, rule_table, step_board
from bnncli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bnncli.data.dataset import ImageSplit
    from bnncli.data.exams import Logits

    Board = NDArray[np.uint8]

PREFIX = "board:"
EXAMPLES = ("board:checkerboard", "board:checkerboard,fire=0.6,size=14,steps=50", "board:heart")
SQUARE = 2
"""Side of a square of the checkerboard, in cells."""

HEART = """
..........
.##....##.
####..####
##########
##########
.########.
..######..
...####...
....##....
..........
"""
N_NEIGHBOURHOODS = 4096
N_TEST_BOARDS = 4
LARGER = 4
"""How many times longer the sides of the larger board are, and the rollout on it."""


class Task(Protocol):
    """What a rollout starts from, how it runs and what it should reach."""

    @property
    def channels(self) -> int:
        """Count the bits of a cell."""
        ...

    @property
    def size(self) -> int:
        """Give the side of a board in training."""
        ...

    @property
    def steps(self) -> int:
        """Count the steps after which the goal should be there."""
        ...

    @property
    def fire(self) -> float:
        """Give the probability with which a cell takes part in a step."""
        ...

    @property
    def wraps(self) -> bool:
        """Tell whether opposite edges touch."""
        ...

    @property
    def varies(self) -> bool:
        """Tell whether two boards may run differently."""
        ...

    def starts(self, n: int, size: int, rng: np.random.Generator) -> Board:
        """Draw boards to start from. Shape: -> (n, channels, size, size)."""
        ...

    def goal(self, boards: Board) -> Board:
        """Give what channel 0 has to be at the end. Shape: (n, channels, h, w) -> (n, h, w)."""
        ...


def checkerboard(size: int) -> Board:
    """Draw squares of two by two cells, the first one dead."""
    square = np.arange(size) // SQUARE
    board: Board = ((square[:, None] + square) % 2).astype(np.uint8)
    return board


def heart(size: int) -> Board:
    """Draw a heart in the middle."""
    rows = HEART.split()
    icon = np.array([[cell == "#" for cell in row] for row in rows], np.uint8)
    spare = size - len(rows)
    if spare < 0:
        raise UsageError(f"size={size}: the heart needs a board of at least {len(rows)} cells")
    before = spare // 2
    return np.pad(icon, (before, spare - before))


@dataclass(frozen=True)
class Pattern:
    """A picture of any size, and how the task for it is by default."""

    draw: Callable[[int], Board]
    summary: str
    grows: bool
    defaults: dict[str, Any]


PATTERNS = {
    "checkerboard": Pattern(
        checkerboard,
        "squares of 2x2 cells, from random states on a board whose edges are dead",
        grows=False,
        defaults={"channels": 8, "size": 16, "steps": 20, "fire": 1.0, "edge": "dead"},
    ),
    "heart": Pattern(
        heart,
        "a heart that grows from one cell on a torus",
        grows=True,
        defaults={"channels": 16, "size": 12, "steps": 12, "fire": 1.0, "edge": "wrap"},
    ),
}
LIMITS = {"channels": (1, 512), "size": (4, 256), "steps": (1, 1000)}
EDGES = ("dead", "wrap")


@dataclass(frozen=True)
class PatternTask:
    """Reach a pattern on channel 0, from random states or, where it grows, from one live cell."""

    pattern: str
    channels: int
    size: int
    steps: int
    fire: float
    edge: str

    @property
    def name(self) -> str:
        """Give the data set's one spelling: options that differ from the defaults, in order."""
        defaults = PATTERNS[self.pattern].defaults
        options = [
            f",{key}={getattr(self, key):{'g' if key == 'fire' else ''}}"
            for key in sorted(defaults)
            if getattr(self, key) != defaults[key]
        ]
        return PREFIX + self.pattern + "".join(options)

    @property
    def wraps(self) -> bool:
        """Tell whether opposite edges touch."""
        return self.edge == "wrap"

    @property
    def grows(self) -> bool:
        """Tell whether the pattern grows from one cell."""
        return PATTERNS[self.pattern].grows

    @property
    def varies(self) -> bool:
        """Tell whether two boards may run differently: by their start or by the cells that fire."""
        return not self.grows or self.fire < 1

    def starts(self, n: int, size: int, rng: np.random.Generator) -> Board:
        """Draw boards to start from. Shape: -> (n, channels, size, size)."""
        shape = (n, self.channels, size, size)
        if not self.grows:
            return rng.integers(0, 2, shape, dtype=np.uint8)
        boards = np.zeros(shape, np.uint8)
        boards[..., size // 2, size // 2] = 1
        return boards

    def goal(self, boards: Board) -> Board:
        """Give what channel 0 has to be at the end. Shape: (n, channels, h, w) -> (n, h, w)."""
        picture = PATTERNS[self.pattern].draw(boards.shape[-1])
        return np.broadcast_to(picture, (len(boards), *picture.shape))


@dataclass(frozen=True)
class RuleTask:
    """Reach the next board of a rule over 3x3 cells, from random boards on a torus."""

    rule: str
    channels: int = 1
    size: int = 16
    steps: int = 1
    fire: float = 1.0
    wraps: bool = True
    varies: bool = True

    def starts(self, n: int, size: int, rng: np.random.Generator) -> Board:
        """Draw boards of which every second cell lives. Shape: -> (n, 1, size, size)."""
        return rng.integers(0, 2, (n, 1, size, size), dtype=np.uint8)

    def goal(self, boards: Board) -> Board:
        """Give the rule's next boards. Shape: (n, 1, h, w) -> (n, h, w)."""
        table = rule_table(self.rule)
        return np.stack([step_board(board, table) for board in boards[:, 0]])


def canonical_name(name: str) -> str:
    """Give the one spelling of a data set's name: a board's or a rule's; others have only one."""
    return pattern_task(name).name if name.startswith(PREFIX) else rules.canonical_name(name)


def pattern_task(name: str) -> PatternTask:
    """Read ``board:PATTERN,option=value,…``."""
    pattern, *pairs = name.removeprefix(PREFIX).split(",")
    if pattern not in PATTERNS:
        raise unknown_name("board pattern", pattern, PATTERNS)
    values = dict(PATTERNS[pattern].defaults)
    for pair in pairs:
        key, _, text = pair.partition("=")
        if key not in values:
            raise unknown_name(f"option of {PREFIX}{pattern}", key, values)
        values[key] = _value(name, key, text, type(values[key]))
    task = PatternTask(pattern, **values)
    for key, (low, high) in LIMITS.items():
        if not low <= values[key] <= high:
            raise UsageError(f"{name}: {key}={values[key]}, expected {low} to {high}")
    check_fire_rate(task.fire)
    if task.edge not in EDGES:
        raise unknown_name("edge", task.edge, EDGES)
    PATTERNS[pattern].draw(task.size)
    return task


def _value(name: str, key: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"{name}: {key}={text!r}, expected {wanted}") from error


def task_of(data_name: str) -> Task:
    """Give the task on boards that a data set stands for."""
    if data_name.startswith(PREFIX):
        return pattern_task(data_name)
    if not data_name.startswith(RULE_PREFIX):
        raise UsageError(
            f"data set {data_name}: it has no boards to roll out; give --data {EXAMPLES[0]} or a "
            f"rule such as rule:B3/S23"
        )
    rule = canonical_rule(data_name)
    if neighbourhood_shape(rule_table(rule)) != (3, 3):
        raise UsageError(f"data set {data_name}: boards are stepped by rules over 3x3 cells")
    return RuleTask(rule)


def random_neighbourhoods(channels: int) -> NDArray[np.uint8]:
    """Draw states of neighbourhoods, always the same ones. Shape: -> (n, channels, 3, 3)."""
    rng = np.random.default_rng(0)
    shape = (N_NEIGHBOURHOODS, channels, 3, 3)
    return rng.integers(0, 2, shape, dtype=np.uint8) * np.uint8(255)


def larger_size(size: int) -> int:
    """Give a side of four times as many cells, or a few more.

    It is longer by whole periods of the checkerboard: then each corner looks as it did, whichever
    of them an automaton counts from.
    """
    period = 2 * SQUARE
    return size + -(-(LARGER - 1) * size // period) * period


@dataclass(frozen=True)
class RolloutExam:
    """Let an automaton run and compare channel 0 with the goal, cell by cell.

    ``reached`` after the task's steps. A pattern that grows from one cell is asked for no more: what
    it becomes afterwards no training has told it. Others also have to be ``healed`` after as many
    more steps, a block of half the board's side erased between, and reached on a ``larger`` board of
    four times the side in four times the steps. Of a soft form states are rounded after each step.
    """

    task: Task
    n_boards: int = N_TEST_BOARDS
    seed: int = 0
    larger: bool = True

    items = "cells"
    at_once = 4096  # a step's overhead is the same for many cells

    def __call__(self, logits: Logits, split: ImageSplit) -> Answers:
        """Run all parts; the split's images are not needed."""
        task = self.task
        rng = np.random.default_rng([self.seed, N_TEST_BOARDS])
        automaton = Automaton(logits, task.channels, wraps=task.wraps)
        starts = task.starts(self.n_boards if task.varies else 1, task.size, rng)
        reached = self._run(automaton, starts, task.steps, rng)
        parts = {"reached": (reached, task.goal(starts))}
        if isinstance(task, PatternTask) and not task.grows:
            hurt = damaged(reached, task.size // 2)
            healed = self._run(automaton, hurt, task.steps, rng)
            parts["healed"] = (healed, task.goal(starts))
            if self.larger:
                starts = task.starts(1, larger_size(task.size), rng)
                grown = self._run(automaton, starts, LARGER * task.steps, rng)
                parts["larger"] = (grown, task.goal(starts))
        return _answers(parts)

    def drawn(self, seed: int, *, short: bool) -> RolloutExam:
        """Give the test on other boards; a short one takes fewer, and none larger."""
        return (
            dataclasses.replace(self, seed=seed, larger=False, n_boards=2)
            if short
            else dataclasses.replace(self, seed=seed)
        )

    def _run(
        self, automaton: Automaton, boards: Board, n_steps: int, rng: np.random.Generator
    ) -> Board:
        *_, last = automaton.run(boards, n_steps, fire_rate=self.task.fire, rng=rng)
        return last


def _answers(parts: dict[str, tuple[Board, Board]]) -> Answers:
    ranges: dict[str, slice] = {}
    states, goals, start = [], [], 0
    for name, (boards, goal) in parts.items():
        states.append(np.moveaxis(boards, 1, -1).reshape(-1, boards.shape[1]))
        goals.append(goal.ravel())
        ranges[name] = slice(start, start + goal.size)
        start += goal.size
    values = np.concatenate(states).astype(np.float32)
    expected = np.concatenate(goals).astype(np.int64)
    return Answers(values, values[:, 0].astype(np.int64), expected, ranges)


def board_tasks() -> list[tuple[str, str]]:
    """List the patterns with a line about each."""
    return [(f"{PREFIX}{name}", pattern.summary) for name, pattern in PATTERNS.items()]
