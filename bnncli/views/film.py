"""Cellular automata as moving pictures: a board's evolution, or what training made of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bnncli.data import load_dataset
from bnncli.data.automaton import Automaton, damaged
from bnncli.data.boards import PatternTask, task_of
from bnncli.data.files import check_output, replacing
from bnncli.errors import BnnError, UsageError
from bnncli.native import default_backend
from bnncli.packed import load_packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image

    from bnncli.data.boards import Task
    from bnncli.data.exams import Logits
    from bnncli.training.runs import Run

    Cells = NDArray[np.uint8]

RULE_STEPS, RULE_SIZE = 60, 48
"""How long and on which board a rule runs, which has no end to reach."""

PALETTE = (
    *(0xF4, 0xF1, 0xEA),  # dead
    *(0x1D, 0x3A, 0x56),  # alive
    *(0xF0, 0xC4, 0xB4),  # dead, but should live
    *(0xC2, 0x4A, 0x2E),  # alive, but should not
    *(0xFF, 0xFF, 0xFF),  # around the board
    *(0x44, 0x44, 0x44),  # caption
)
WRONG, PAPER, INK = 2, 4, 5
MARGIN, CAPTION = 8, 20
MIN_WIDTH = 200
MAX_SIZE, MAX_STEPS = 512, 5000
LAST_MILLISECONDS = 1500


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: channel 0 of a board, and where that is not the goal.

    Shape: cells and wrong (h, w), 0 and 1.
    """

    cells: Cells
    wrong: Cells
    caption: str


@dataclass(frozen=True)
class Shot:
    """What to film; None takes what the task is trained with.

    ``damage`` erases a square of so many cells once the pattern should be there, and runs on for as
    many steps.
    """

    steps: int | None = None
    size: int | None = None
    damage: int | None = None
    seed: int = 0


def film_packed(path: Path, shot: Shot) -> list[Frame]:
    """Film the packed form of an automaton as it runs; needs no torch."""
    packed = load_packed(path)
    name = packed.metadata.get("data")
    if name is None:
        raise UsageError(f"{path}: does not say what it was trained on; freeze its run again")
    logits = packed.plan(default_backend()).logits
    return list(rollout_frames(task_of(name), logits, shot))


def film_run(run: Run, shot: Shot) -> list[Frame]:
    """Film the packed form of a run's automaton."""
    task_of(run.settings().data.name)
    if not run.packed.exists():
        raise BnnError(
            f"{run.path}: holds no packed model; finish it with: bnn train --resume {run.path}"
        )
    return film_packed(run.packed, shot)


def film_training(run: Run, shot: Shot) -> list[Frame]:
    """Film what the hard form makes of one board, epoch after epoch of its training."""
    import torch

    from bnncli.forms import run_model
    from bnncli.training.evaluate import model_logits

    if shot.damage is not None:
        raise UsageError("--damage with --training: a training is filmed without; drop one of them")
    settings = run.settings()
    task = task_of(settings.data.name)
    snapshots = run.load_checkpoint().get("snapshots")
    if not snapshots:
        raise BnnError(
            f"{run.path}: keeps no gates of past epochs, which only the trainer rollouts does; "
            f"train with it, or film without --training"
        )
    model = run_model(run, load_dataset(settings.data.name))
    final = {name: value.clone() for name, value in model.state_dict().items()}

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        given = torch.from_numpy(images)
        values: NDArray[np.float32] = model_logits(model, given, at_once=len(given)).numpy()
        return values

    frames = []
    steps = task.steps if shot.steps is None and shot.size is None else shot.steps
    whole = replace(shot, steps=steps)
    for epoch, gates in [*sorted(snapshots.items()), (None, final)]:
        model.load_state_dict({**final, **gates})
        *_, frame = rollout_frames(task, logits, whole)
        when = "the best epoch" if epoch is None else f"before epoch {epoch + 1}"
        share = 1 - frame.wrong.mean()
        frames.append(Frame(frame.cells, frame.wrong, f"{when}: {100 * share:.0f} % right"))
    return frames


def rollout_frames(task: Task, logits: Logits, shot: Shot) -> Iterator[Frame]:
    """Run an automaton from a board that the seed draws; the first frame is that board."""
    rng = np.random.default_rng(shot.seed)
    patterned = isinstance(task, PatternTask)
    size = (task.size if patterned else RULE_SIZE) if shot.size is None else shot.size
    # A larger board takes as many times longer to cross.
    whole = -(-task.steps * size // task.size) if patterned else RULE_STEPS
    n_steps = whole if shot.steps is None else shot.steps
    _check(size, n_steps)
    automaton = Automaton(logits, task.channels, wraps=task.wraps)
    board = task.starts(1, size, rng)

    def run(board: Cells, says: str) -> list[tuple[Cells, Frame]]:
        boards = [board, *automaton.run(board, n_steps, fire_rate=task.fire, rng=rng)]
        return [
            (after, _frame(after, task.goal(before), says.format(step)))
            for step, (before, after) in enumerate(itertools.pairwise(boards), 1)
        ]

    yield _frame(board, task.goal(board) if patterned else None, f"step 0 of {n_steps}")
    evolution = run(board, f"step {{}} of {n_steps}")
    yield from (frame for _, frame in evolution)
    if shot.damage is not None:
        hurt = damaged(evolution[-1][0], shot.damage)
        goal = task.goal(hurt) if patterned else None
        yield _frame(hurt, goal, f"{shot.damage}x{shot.damage} cells erased")
        yield from (frame for _, frame in run(hurt, "step {} after that"))


def _check(size: int, n_steps: int) -> None:
    if not 3 <= size <= MAX_SIZE:
        raise UsageError(f"--size {size}: expected 3 to {MAX_SIZE} cells")
    if not 1 <= n_steps <= MAX_STEPS:
        raise UsageError(f"--steps {n_steps}: expected 1 to {MAX_STEPS}")


def _frame(boards: Cells, goal: Cells | None, caption: str) -> Frame:
    """Take channel 0 of the one board there is. Shape: (1, channels, h, w), (1, h, w)."""
    cells = boards[0, 0]
    wrong = np.zeros_like(cells) if goal is None else (cells != goal[0]).astype(np.uint8)
    return Frame(cells, wrong, caption)


def write_gif(
    frames: list[Frame], path: Path, *, scale: int, seconds: float, force: bool = False
) -> None:
    """Write frames as an animation that repeats, ``seconds`` each and the last one longer."""
    if path.suffix.lower() != ".gif":
        raise UsageError(
            f"-o {path}: an animation is written as GIF; give a name that ends in .gif"
        )
    check_output(path, force=force)
    pictures = [draw(frame, scale) for frame in frames]
    times = [round(1000 * seconds)] * (len(pictures) - 1) + [LAST_MILLISECONDS]
    with replacing(path) as part:
        pictures[0].save(
            part, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0
        )


def draw(frame: Frame, scale: int) -> Image:
    """Draw a frame with its caption; cells are squares of ``scale`` pixels."""
    from PIL import Image, ImageDraw

    colours = (frame.cells + WRONG * frame.wrong).astype(np.uint8)
    board = np.repeat(np.repeat(colours, scale, axis=0), scale, axis=1)
    height, width = board.shape
    page = np.full((height + 2 * MARGIN + CAPTION, max(width, MIN_WIDTH) + 2 * MARGIN), PAPER)
    left = (page.shape[1] - width) // 2
    page[MARGIN : MARGIN + height, left : left + width] = board
    picture = Image.fromarray(page.astype(np.uint8), "P")
    picture.putpalette(PALETTE)
    pen = ImageDraw.Draw(picture)
    pen.fontmode = "1"  # colours of the palette, none between
    pen.text((MARGIN, height + 2 * MARGIN), frame.caption, fill=INK)
    return picture
