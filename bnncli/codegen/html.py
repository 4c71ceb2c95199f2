"""Live boards: a cellular automaton's circuit as a page that runs it, or as a part of a page.

The board runs the JavaScript of the circuit. Beside it stands what is known of the automaton: its
true rule, stepped by plain counting, or the picture that it should reach.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.codegen.c import head_lines
from bnncli.codegen.emitter import emitter
from bnncli.codegen.javascript import circuit_function
from bnncli.codegen.png import board_png
from bnncli.data.boards import PREFIX as BOARD_PREFIX
from bnncli.data.boards import pattern_task
from bnncli.data.rle import load_pattern, pattern_names
from bnncli.data.rules import PREFIX as RULE_PREFIX
from bnncli.data.rules import canonical_rule, rule_table, step_board
from bnncli.errors import BnnError, UsageError
from bnncli.jsontext import to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.circuit.design import Design
    from bnncli.data.boards import PatternTask

    Board = NDArray[np.uint8]

SIZE = (48, 64)
"""Rows and columns of a board for which no task says a size."""

DENSITY, TASK_DENSITY = 0.3, 0.5
"""Share of live cells on random boards of rules, and of tasks that begin with random states."""

MAX_SIDE = 1024
PICTURE_WIDTH = 480
"""Pixels of the picture that stands for a board where no script runs."""


@emitter("html", ".html", "a page with a live board of an automaton, for a browser")
def emit_html(design: Design) -> str:
    """Write a page of one file that needs no network."""
    title = f"{design.name}: a live board"
    notes = "".join(f"<p>{escape(line)}</p>\n" for line in head_lines(design))
    _, source = circuit_function(design)
    parts = {
        "TITLE": escape(title),
        "FRAGMENT": live_fragment(design),
        "NOTES": notes.rstrip(),
        "SOURCE": escape(source),
    }
    return re.sub("|".join(parts), lambda found: parts[found[0]], _fixed("page.html"))


def live_fragment(
    design: Design,
    *,
    size: tuple[int, int] | None = None,
    board: Board | None = None,
    seed: int = 0,
    density: float | None = None,
    title: str | None = None,
) -> str:
    """Write a live board as a part of a page: a picture, which a script turns into the board.

    It begins with ``board``, else with the task's own start or a random board of which ``density``
    lives, drawn by ``seed``. Edges, firing and what stands beside come from the design's task.
    Shape: size (height, width); board (channels, height, width) or (height, width), 0 and 1.
    """
    if not design.channels:
        raise BnnError(
            f"design {design.name}: expected the rule of a cellular automaton for a live board"
        )
    name = design.task or ""
    task = pattern_task(name) if name.startswith(BOARD_PREFIX) else None
    density = _density(task) if density is None else density
    if not 0 <= density <= 1:
        raise UsageError(f"density={density:g}: expected 0 to 1, the share of live cells")
    if seed < 0:
        raise UsageError(f"seed={seed}: expected at least 0")
    if size is not None:
        _check_size(size)
    start = _start(design, task, size, board, seed, density)
    if _is_on_a_line(design):
        start[:, 1:] = 0
    spec = _spec(design, task, start, title or design.name)
    spec |= {"seed": seed, "density": density}
    name, source = circuit_function(design)
    return _fragment(spec, source, name, board_png(_shown(design, start)))


def _fragment(spec: dict[str, Any], source: str, name: str, picture: bytes) -> str:
    # No text in a script may end it.
    values = to_json(spec, indent=None).replace("<", "\\u003c")
    body = [
        f"const compute = (() => {{\n{source}\nreturn {name};\n}})();",
        f"const spec = {values};",
        _fixed("board.js"),
        _fixed("demo.js"),
    ]
    digest = hashlib.sha256("\n".join(body).encode()).hexdigest()[:12]
    key = f"{name}-{digest}"
    exports = "{ Board, Rule, Random, World, spec, compute }"
    image = base64.b64encode(picture).decode()
    width = PICTURE_WIDTH // spec["width"] * spec["width"] or spec["width"]
    rows = f"{spec['width']} by {spec['height']} cells"
    what = (
        f"the first generations of {rows}"
        if spec.get("history")
        else f"a board of {rows} before its first step"
    )
    alt = f"{spec['title']}: {what}. Where scripts run, it can be stepped and changed."
    height = width * spec["height"] // spec["width"]
    title = escape(spec["title"])
    root = f'class="bnn-live" data-demo="{key}" data-lm-suppress-shortcuts="true"'
    source = f"data:image/png;base64,{image}"
    lines = [
        f'<div {root} role="group" aria-label="{title}">',
        f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">',
        "</div>",
        f"<style>\n{_fixed('demo.css').rstrip()}\n</style>",
        "<script>",
        "(() => {",
        '"use strict";',
        *(part.rstrip() for part in body),
        f'if (typeof document !== "undefined") start("{key}", spec, compute);',
        f'else if (typeof module !== "undefined") module.exports = {exports};',
        "})();",
        "</script>",
    ]
    return "\n".join(lines)


@cache
def _fixed(name: str) -> str:
    """Read what is the same on every page."""
    return resources.files("bnncli.codegen").joinpath("web", name).read_text("utf-8")


def _density(task: PatternTask | None) -> float:
    """Give the share of live cells of random boards; 0, no random boards, for what grows."""
    if task is None:
        return DENSITY
    return 0.0 if task.grows else TASK_DENSITY


def _start(
    design: Design,
    task: PatternTask | None,
    size: tuple[int, int] | None,
    board: Board | None,
    seed: int,
    density: float,
) -> Board:
    """Give the first board. Shape: -> (channels, height, width)."""
    if board is not None:
        return _whole(design, np.asarray(board), size)
    height, width = size or ((task.size, task.size) if task else SIZE)
    if task is not None and task.grows:
        start = np.zeros((design.channels, height, width), np.uint8)
        start[:, height // 2, width // 2] = 1
        return start
    if _is_on_a_line(design):
        start = np.zeros((design.channels, height, width), np.uint8)
        start[0, 0, width // 2] = 1
        return start
    cells = np.random.default_rng(seed).random((design.channels, height, width)) < density
    return cells.astype(np.uint8)


def _check_size(size: tuple[int, int]) -> None:
    if [1 <= side <= MAX_SIDE and side % 1 == 0 for side in size] != [True, True]:
        raise UsageError(f"size={size}: expected two numbers, 1 to {MAX_SIDE} rows and columns")


def _is_on_a_line(design: Design) -> bool:
    """Tell whether a design learned an elementary rule, whose board is its history."""
    name = design.task or ""
    return name.startswith(RULE_PREFIX) and canonical_rule(name).startswith("W")


def _shown(design: Design, start: Board) -> Board:
    """Give what a reader without scripts sees: the first board, or the history from a first row."""
    board: Board = start[0]
    if design.task is None or not _is_on_a_line(design):
        return board
    table, rows = rule_table(design.task), [board[:1]]
    for _ in range(len(board) - 1):
        rows.append(step_board(rows[-1], table))
    return np.concatenate(rows)


def _whole(design: Design, board: Board, size: tuple[int, int] | None) -> Board:
    """Add to a board of one channel the others, which are dead; refuse what is no board."""
    cells = board[None] if board.ndim == 2 else board
    wanted = f"({design.channels}, height, width) or (height, width), 0 and 1"
    if cells.ndim != 3 or len(cells) not in {1, design.channels} or 0 in cells.shape:
        raise UsageError(f"board of shape {board.shape}: expected {wanted}")
    if not np.isin(cells, (0, 1)).all() or max(cells.shape[1:]) > MAX_SIDE:
        raise UsageError(
            f"board of {board.shape} up to {board.max()}: expected {wanted}, at most {MAX_SIDE} a "
            f"side"
        )
    if size is not None and size != cells.shape[1:]:
        raise UsageError(f"size={size} and a board of {cells.shape[1:]}: give one of them")
    start = np.zeros((design.channels, *cells.shape[1:]), np.uint8)
    start[: len(cells)] = cells
    return start


def _spec(design: Design, task: PatternTask | None, start: Board, title: str) -> dict[str, Any]:
    """Say all that the script has to know."""
    _, height, width = start.shape
    rule = canonical_rule(design.task) if design.task and task is None else None
    size = design.circuit.size
    spec: dict[str, Any] = {
        "title": title,
        "caption": f"the circuit, {size:,} live gate{'' if size == 1 else 's'} a cell",
        "height": height,
        "width": width,
        "channels": design.channels,
        "wraps": task is None or task.wraps,
        "fire": 1.0 if task is None else task.fire,
        "start": [_rows(channel) for channel in start],
        "patterns": _patterns(rule, height, width),
    }
    if rule is not None:
        spec["rule"] = _rule(rule)
        how = "from its number" if _is_on_a_line(design) else "by counting"
        spec["beside"] = f"the true rule {rule}, {how}"
        spec["besideLabel"] = f"{title}: the board of the true rule {rule}"
        spec["compared"] = "cells that differ:"
        spec["history"] = _is_on_a_line(design)
    elif task is not None and (goal := _goal(task, start)) is not None:
        spec["goal"] = _rows(goal)
        spec["beside"] = "the picture that is wanted"
        spec["besideLabel"] = f"{title}: the picture that is wanted, a {task.pattern}"
        spec["compared"] = "wrong cells:"
    return spec


def _rows(cells: Board) -> list[str]:
    return ["".join(map(str, row)) for row in cells.tolist()]


def _rule(rule: str) -> dict[str, Any]:
    if rule.startswith("W"):
        return {"number": int(rule[1:])}
    born, survives = ([int(digit) for digit in part[1:]] for part in rule.split("/"))
    return {"born": born, "survives": survives}


def _goal(task: PatternTask, start: Board) -> Board | None:
    """Draw the picture that a task wants; None on a board that it does not fit."""
    _, height, width = start.shape
    if height != width:
        return None
    try:
        goal: Board = task.goal(start[None])[0]
    except UsageError:
        return None
    return goal


def _patterns(rule: str | None, height: int, width: int) -> list[dict[str, Any]]:
    """List the patterns that were made for a rule and have room on the board."""
    found = []
    for pattern in map(load_pattern, pattern_names()):
        tall, wide = pattern.cells.shape
        if pattern.rule == rule and tall <= height and wide <= width:
            found.append({"name": pattern.name, "rows": _rows(pattern.cells)})
    return found
