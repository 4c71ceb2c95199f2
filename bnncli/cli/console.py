"""Where output goes: data to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bnncli.jsontext import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNBOUNDED = 400
"""Columns of a table that goes into a pipe: nothing is wrapped for whoever reads it."""

NARROW = 70
"""Below this many columns a table leaves out what matters least, so that a row stays one line."""


def stderr() -> Console:
    """Give the console of everything that is not data."""
    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """Give the console of data; in a pipe its lines are as long as they need to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=UNBOUNDED, highlight=False)


def print_error(message: str) -> None:
    """Print one red line."""
    stderr().print(Text(f"error: {message}", style="red"), soft_wrap=True)


def print_note(message: str, console: Console | None = None) -> None:
    """Print a line to stderr as it is, unwrapped: it may hold a path or a command to copy."""
    (console or stderr()).print(Text(message), soft_wrap=True)


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object, with the version of its keys."""
    sys.stdout.write(to_json({"schema": 1, **values}) + "\n")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Table:
    """Lay rows out in columns: the first ``left`` flush left, numbers flush right.

    Long words fold; nothing is ever cut off.
    """
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, title in enumerate(titles):
        grid.add_column(title, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def percent(value: float | None, digits: int = 2) -> str:
    """Write a fraction as a percentage; None as a dash."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def size_change(floats: int, packed: int) -> str:
    """Compare the packed form with float32: smaller, or larger as that of a tiny network is."""
    smaller, larger = f"{floats / packed:.1f}x", f"{packed / floats:.1f}x"
    if smaller == "1.0x" or larger == "1.0x":
        return "as large as float32"
    return f"{smaller} smaller than float32" if packed < floats else f"{larger} larger than float32"


def kib(n_bytes: int) -> str:
    """Write a number of bytes in KiB."""
    return f"{n_bytes / 1024:,.1f} KiB"
