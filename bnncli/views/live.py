"""Live boards in notebooks: a circuit that runs in the page, with a picture where no script runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.codegen.html import live_fragment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnncli.circuit.design import Design


@dataclass(frozen=True)
class LiveBoard:
    """A live board as the last value of a notebook's cell; ``html`` is what the page shows."""

    title: str
    html: str

    def __repr__(self) -> str:
        return f"LiveBoard({self.title!r})"

    def _repr_html_(self) -> str:
        return self.html


def live_board(
    design: Design,
    *,
    size: tuple[int, int] | None = None,
    board: NDArray[np.uint8] | None = None,
    seed: int = 0,
    density: float | None = None,
    title: str | None = None,
) -> LiveBoard:
    """Show an automaton's circuit as a board that runs in the page.

    It can be played, stepped, changed by mouse or keyboard, and hurt. Beside it stands the true
    rule of a ``rule:`` design, stepped by plain counting, or the picture that a ``board:`` design
    should reach; the cells that differ are marked and counted. Edges and the share of cells that
    fire are the task's. Of an elementary rule the generations of a row stand below each other. The
    board begins with ``board``, else with the task's own start or a random
    one of which ``density`` lives, drawn by ``seed``. The HTML is the same each time.

    Shape: size (height, width); board (channels, height, width) or (height, width), 0 and 1.
    """
    html = live_fragment(design, size=size, board=board, seed=seed, density=density, title=title)
    return LiveBoard(title or design.name, html)
