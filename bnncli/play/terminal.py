"""The game in a terminal: raw keys in, frames out, and everything as it was afterwards."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from bnncli.errors import BnnError
from bnncli.play.keys import key_names
from bnncli.play.screen import frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.play.game import Game

FRAME_SECONDS = 1 / 30
IDLE_SECONDS = 0.25
"""The terminal's size is looked at this often even when nothing happens."""

ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"


class Pace:
    """How many steps are owed at a speed, and how many were taken in the last second.

    Times are seconds of one clock. What could not be done within a quarter of a second is forgotten.
    """

    def __init__(self, now: float) -> None:
        self.paid = now
        self.taken: deque[float] = deque()

    def owed(self, now: float, speed: int) -> int:
        """Count the steps that are due."""
        self.paid = max(self.paid, now - max(0.25, 1 / speed))
        return int((now - self.paid) * speed + 1e-9)

    def wait(self, now: float, speed: int) -> float:
        """Give the seconds until the next step is due."""
        return max(0.0, self.paid + 1 / speed - now)

    def step(self, now: float, speed: int) -> None:
        """Note a step."""
        self.paid += 1 / speed
        self.taken.append(now)

    def rest(self, now: float) -> None:
        """Owe nothing: the game is paused."""
        self.paid = now

    def rate(self, now: float) -> float:
        """Count the steps of the last second."""
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        return float(len(self.taken))


@contextmanager
def raw_terminal(descriptor: int, out: TextIO) -> Iterator[None]:
    """Take the terminal over: keys without enter, another screen, no cursor; and give it back.

    Ctrl-C stays a KeyboardInterrupt and SIGTERM becomes one, so that both leave through here.
    """
    try:
        import termios
        import tty
    except ImportError as error:  # Windows
        raise BnnError("play: no POSIX terminal here; give --steps N to print boards") from error
    before = termios.tcgetattr(descriptor)
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tty.setcbreak(descriptor)
        changed = termios.tcgetattr(descriptor)
        # A stopped job would leave its screen behind: no key stops this one.
        changed[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(descriptor, termios.TCSANOW, changed)
        out.write(ENTER)
        out.flush()
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        signal.signal(signal.SIGTERM, handler)
        out.write(LEAVE)
        out.flush()


def has_colours() -> bool:
    """Tell whether the terminal is said to know 256 colours, and the user wants any."""
    if os.environ.get("NO_COLOR"):
        return False
    term = os.environ.get("TERM", "")
    return "256color" in term or bool(os.environ.get("COLORTERM"))


def board_size(out: TextIO) -> tuple[int, int]:
    """Give the board that fills the terminal, above three lines of status."""
    columns, lines = os.get_terminal_size(out.fileno())
    return max(2, 2 * (lines - 3)), max(2, columns)


def _take_steps(game: Game, pace: Pace) -> None:
    """Take the steps that are owed, for no longer than a frame."""
    began = time.monotonic()
    if not game.running:
        pace.rest(began)
        return
    for _ in range(pace.owed(began, game.speed)):
        game.advance()
        now = time.monotonic()
        pace.step(now, game.speed)
        if now - began > FRAME_SECONDS:
            break


def play(game: Game) -> None:
    """Run the game on this process's terminal until it is over."""
    descriptor, out = sys.stdin.fileno(), sys.stdout
    try:
        "▀▄█░▒▓".encode(out.encoding)
    except UnicodeEncodeError as error:
        raise BnnError(
            f"play: the terminal's encoding {out.encoding} has no block characters; use UTF-8, "
            f"or give --steps N to print boards"
        ) from error
    with raw_terminal(descriptor, out):
        screen, pace = _Screen(out, colour=has_colours()), Pace(time.monotonic())
        while not game.over:
            _take_steps(game, pace)
            now = time.monotonic()
            screen.show(game, pace.rate(now))
            wait = max(FRAME_SECONDS, pace.wait(now, game.speed)) if game.running else IDLE_SECONDS
            if not select.select([descriptor], [], [], min(IDLE_SECONDS, wait))[0]:
                continue
            sent = os.read(descriptor, 1024)
            if not sent:  # the terminal is gone
                return
            for key in key_names(sent):
                game.press(key)


class _Screen:
    """What the terminal shows; only lines that changed are written."""

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self.out, self.colour = out, colour
        self.size = os.terminal_size((0, 0))
        self.shown: list[str] = []

    def show(self, game: Game, steps_per_second: float) -> None:
        """Draw a frame for the size that the terminal has now."""
        size = os.get_terminal_size(self.out.fileno())
        if size != self.size:
            self.size, self.shown = size, []
            self.out.write("\x1b[0m\x1b[2J")
        lines = frame(
            game,
            max(1, size.columns),
            max(1, size.lines),
            steps_per_second=steps_per_second,
            colour=self.colour,
        )
        # Erase first: behind a full line the cursor still stands on its last character.
        changed = [
            f"\x1b[{number};1H\x1b[K{line}"
            for number, line in enumerate(lines, 1)
            if number > len(self.shown) or self.shown[number - 1] != line
        ]
        self.out.write("".join(changed))
        self.out.flush()
        self.shown = lines
