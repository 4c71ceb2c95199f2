"""How training looks while it runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bnncli.cli.console import NARROW, percent, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from rich.console import Console, RenderableType
    from rich.status import Status
    from torch import Tensor

    from bnncli.circuit import Design
    from bnncli.extract.work import Wish
    from bnncli.minimize.search import Progress
    from bnncli.training.records import EpochRecord, Reporter

SHOWN_EPOCHS = 12
MERGES, SEARCHES = 2, 3  # the levels of optimization that take time
SECONDS_BETWEEN_FRAMES = 0.1
SECONDS_BETWEEN_LINES = 1.0
DRAWING_SHARE = 0.02
"""Frames are drawn by the training thread: at most this share of its time goes into them."""

TITLES = ("epoch", "loss", "train", "val hard", "val soft", "flips", "lr", "seconds", "")


LESS_NEEDED = frozenset({"val soft", "flips", "lr"})
"""Columns that a narrow terminal has no room for."""


def fitting(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    """Give the cells of a row that fit into so many columns of a terminal."""
    if width >= NARROW:
        return cells
    pairs = zip(TITLES, cells, strict=True)
    return tuple(cell for title, cell in pairs if title not in LESS_NEEDED)


def epoch_cells(record: EpochRecord, is_best: bool) -> tuple[str, ...]:
    """Write a record as the cells of a row under TITLES; epochs count from 1."""
    return (
        str(record.epoch + 1),
        f"{record.loss:.4f}",
        percent(record.train_accuracy),
        percent(record.hard_accuracy),
        percent(record.soft_accuracy),
        percent(record.flip_rate),
        f"{record.lr:.1e}",
        f"{record.seconds:.1f}",
        "best" if is_best else "",
    )


class PlainView:
    """Print one line per epoch, of many short ones about one a second (a Reporter)."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.console = console
        self.epochs = epochs
        self.next_line_at = 0.0

    def on_step(self, step: int, steps_per_epoch: int, loss: Tensor) -> None:
        """Say nothing."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Print the epoch, unless the line before is too young."""
        now = time.monotonic()
        last = record.epoch + 1 == self.epochs
        if record.epoch >= SHOWN_EPOCHS and now < self.next_line_at and not last:
            return
        self.next_line_at = now + SECONDS_BETWEEN_LINES
        epoch, *values, seconds, best = epoch_cells(record, is_best)
        words = [f"epoch {epoch}/{self.epochs}"]
        words += [f"{title} {value}" for title, value in zip(TITLES[1:7], values, strict=True)]
        words += [f"{seconds} s", best]
        self.console.print(Text("  ".join(words).rstrip()), soft_wrap=True)


class LiveView:
    """Keep a table of the last epochs and a bar on the screen (a Reporter).

    Frames are drawn by the training thread itself and never read the loss.
    """

    def __init__(self, live: Live, epochs: int) -> None:
        self.live = live
        self.epochs = epochs
        self.rows: list[tuple[EpochRecord, bool]] = []
        self.first_step: int | None = None
        self.began = time.monotonic()
        self.next_frame_at = 0.0

    def on_step(self, step: int, steps_per_epoch: int, loss: Tensor) -> None:
        """Move the bar, if the last frame is old enough."""
        if self.first_step is None:
            self.first_step = step - 1
        now = time.monotonic()
        if now >= self.next_frame_at:
            self.live.update(Group(self.table(), self.bar(step, steps_per_epoch)), refresh=True)
            cost = time.monotonic() - now
            self.next_frame_at = now + max(SECONDS_BETWEEN_FRAMES, cost / DRAWING_SHARE)

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Add a row; a new best takes the mark from the one before."""
        if is_best:
            self.rows = [(row, False) for row, _ in self.rows]
        self.rows.append((record, is_best))
        if record.epoch + 1 == self.epochs:
            self.live.update(self.table(), refresh=True)

    def table(self) -> RenderableType:
        """Draw the last epochs, and the best one where it is older."""
        width, height = self.live.console.size
        # Titles, an older best epoch, the bar and the cursor's line take four lines.
        n_shown = max(1, min(SHOWN_EPOCHS, height - 4))
        older = [row for row in self.rows[:-n_shown] if row[1]]
        grid = table(fitting(TITLES, width), [], left=0)
        for record, is_best in older + self.rows[-n_shown:]:
            cells = fitting(epoch_cells(record, is_best), width)
            grid.add_row(*cells, style="bold green" if is_best else "")
        return grid

    def bar(self, step: int, steps_per_epoch: int) -> RenderableType:
        """Draw where the epoch and the run are, and how long the rest will take."""
        total = steps_per_epoch * self.epochs
        done = step - (self.first_step or 0)
        rest = (time.monotonic() - self.began) / done * (total - step)
        epoch, in_epoch = divmod(step - 1, steps_per_epoch)
        width = 30 if self.live.console.width >= NARROW else 10
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(f"epoch {epoch + 1}/{self.epochs}"),
            ProgressBar(total=total, completed=step, width=width),
            Text(f"step {in_epoch + 1}/{steps_per_epoch}"),
            Text(f"{minutes(rest)} left"),
        )
        return line


class QuietView:
    """Show nothing (a Reporter)."""

    def on_step(self, step: int, steps_per_epoch: int, loss: Tensor) -> None:
        """Say nothing."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Say nothing."""


def minutes(seconds: float) -> str:
    """Write a time as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextmanager
def _live_view(console: Console, epochs: int) -> Iterator[Reporter]:
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        yield LiveView(live, epochs)


def training_view(
    console: Console, epochs: int, *, quiet: bool
) -> AbstractContextManager[Reporter]:
    """Choose the view that suits where stderr goes."""
    if quiet:
        return nullcontext(QuietView())
    if console.is_terminal:
        return _live_view(console, epochs)
    return nullcontext(PlainView(console, epochs))


class SearchView:
    """Say what is minimized, and in a terminal how far the search is."""

    def __init__(self, console: Console, wish: Wish, status: Status | None) -> None:
        self.console = console
        self.wish = wish
        self.status = status
        self.unit = "gates"

    def begin(self, design: Design) -> None:
        """Hear of the design before it is optimized."""
        from bnncli.extract.work import SEARCH_SECONDS
        from bnncli.gates import declared_gates

        if self.wish.on(design).shared:
            self.unit = "operations"
        begun = declared_gates(design.circuit.n_gates)
        line = f"minimizing {design.name}: {begun}, -O{self.wish.level}"
        limit = self.wish.budget
        if self.wish.level == SEARCHES and limit is None:
            line += f", up to {SEARCH_SECONDS:g} s of search"
        elif self.wish.level >= MERGES and limit is not None:
            line += f", up to {limit:g} s"
        if self.wish.level >= MERGES:
            line += "; Ctrl-C takes the best so far"
        self.console.print(Text(line), soft_wrap=True)

    def update(self, progress: Progress) -> None:
        """Hear of the search while it runs."""
        if self.status is not None:
            self.status.update(f"{progress.cost:,} {self.unit} after {progress.seconds:.0f} s")


class QuietSearch(SearchView):
    """Show nothing."""

    def begin(self, design: Design) -> None:
        """Say nothing."""


@contextmanager
def search_view(console: Console, wish: Wish, *, quiet: bool) -> Iterator[SearchView]:
    """Choose the view of a search that suits where stderr goes."""
    if quiet:
        yield QuietSearch(console, wish, None)
    elif console.is_terminal:
        with console.status("") as status:
            yield SearchView(console, wish, status)
    else:
        yield SearchView(console, wish, None)
