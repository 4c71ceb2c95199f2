"""Step boards by a local rule, whatever computes it: a packed model, a hard or a soft network.

A board is (channels, height, width) of bits as uint8; a local rule takes neighbourhoods as images,
(cells, channels, 3, 3) of bytes 0 and 255, and gives scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Board = NDArray[np.uint8]
    Fires = NDArray[np.bool_]
    LocalRule = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def neighbourhoods_of(board: Board, *, wraps: bool) -> NDArray[np.uint8]:
    """Cut the 3x3 neighbourhood of every cell, in row-major order, as images.

    Beyond an edge lies the opposite one, or nothing (0).
    Shape: (..., channels, h, w) -> (... · h · w, channels, 3, 3), 0 and 255.
    """
    around = [(0, 0)] * (board.ndim - 2) + [(1, 1), (1, 1)]
    padded = np.pad(board, around, mode="wrap") if wraps else np.pad(board, around)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(-2, -1))
    # (..., channels, h, w, 3, 3) -> (..., h, w, channels, 3, 3)
    cells = np.moveaxis(windows, -5, -3)
    return np.multiply(cells, np.uint8(255)).reshape(-1, *cells.shape[-3:])


@dataclass(frozen=True)
class Automaton:
    """A cellular automaton whose local rule is a network.

    ``local`` gives a score for each channel, positive for a next state 1; of a single channel it
    may give the scores of dead and alive instead, as networks of a rule's table do.
    """

    local: LocalRule
    channels: int
    wraps: bool = True

    def step(self, board: Board, fires: Fires | None = None) -> Board:
        """Advance every cell, or those that fire: the others keep their state.

        Shape: board (..., channels, h, w), 0 and 1; fires (..., h, w) -> as board.
        """
        self._check(board, fires)
        scores = self.local(neighbourhoods_of(board, wraps=self.wraps))
        if self.channels == 1 and scores.shape[1] == 2:
            bits = scores[:, 1:] > scores[:, :1]
        elif scores.shape[1] == self.channels:
            bits = scores > 0
        else:
            raise UsageError(
                f"automaton of {self.channels} channels: the local rule gives {scores.shape[1]} "
                f"scores for each cell, expected one for each channel"
            )
        height, width = board.shape[-2:]
        cells = bits.reshape(*board.shape[:-3], height, width, self.channels)
        after = np.ascontiguousarray(np.moveaxis(cells, -1, -3)).astype(np.uint8)
        return after if fires is None else np.where(fires[..., None, :, :], after, board)

    def run(
        self, board: Board, n_steps: int, *, fire_rate: float = 1.0, rng: np.random.Generator
    ) -> Iterator[Board]:
        """Give the boards after 1, 2, … steps; in each, cells fire at random."""
        for _ in range(n_steps):
            board = self.step(board, fire_mask(board, fire_rate, rng))
            yield board

    def _check(self, board: Board, fires: Fires | None) -> None:
        if board.ndim < 3 or board.shape[-3] != self.channels or 0 in board.shape:
            raise UsageError(
                f"board of shape {board.shape}: expected ({self.channels}, height, width), both at "
                f"least 1"
            )
        if board.dtype != np.uint8 or board.max() > 1:
            raise UsageError(
                f"board of {board.dtype} up to {board.max()}: expected uint8, 0 (dead) and 1"
            )
        wanted = board.shape[:-3] + board.shape[-2:]
        if fires is not None and fires.shape != wanted:
            raise UsageError(
                f"fires of shape {fires.shape}: expected {wanted}, a bit for each cell"
            )


def check_fire_rate(rate: float) -> None:
    """Refuse a rate at which nothing happens, and probabilities above 1."""
    if not 0 < rate <= 1:
        raise UsageError(f"fire={rate:g}: expected more than 0 and at most 1, such as 0.6")


def fire_mask(board: Board, rate: float, rng: np.random.Generator) -> Fires | None:
    """Draw the cells that fire, each with probability ``rate``; None where all do.

    Shape: board (..., channels, h, w) -> (..., h, w).
    """
    check_fire_rate(rate)
    if rate == 1:
        return None
    fires: Fires = rng.random(board.shape[:-3] + board.shape[-2:], dtype=np.float32) < rate
    return fires


def damaged(board: Board, size: int) -> Board:
    """Erase a square of ``size`` cells in the middle of a board, in all channels.

    Shape: (..., channels, h, w) -> as board.
    """
    height, width = board.shape[-2:]
    if not 1 <= size <= min(height, width):
        raise UsageError(
            f"damage={size}: expected 1 to {min(height, width)} cells of a {height}x{width} board"
        )
    top, left = (height - size) // 2, (width - size) // 2
    hurt = board.copy()
    hurt[..., top : top + size, left : left + size] = 0
    return hurt
