"""From a run or a packed model's file to an automaton: what it learned, and a step for each form.

A step advances a board of (channels, height, width); channel 0 is what one sees. Boards of hard and
packed forms hold 0 and 1, those of the soft form numbers in [0, 1].
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.data import boards
from bnncli.data.automaton import fire_mask
from bnncli.data.rules import PREFIX, canonical_rule, neighbourhood_shape, rule_table
from bnncli.errors import BnnError, UsageError, unknown_name
from bnncli.native import default_backend
from bnncli.packed import load_packed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bnncli.data.boards import PatternTask
    from bnncli.packed import PackedModel
    from bnncli.training.runs import Run

Board = Any
"""An array (channels, height, width), uint8 or float32."""

Step = Callable[[Board, np.random.Generator], Board]
"""Advance a board; the generator says which cells fire, where not all do."""


@dataclass(frozen=True)
class World:
    """What an automaton learned: a rule, whose table is known, or a task of reaching a picture."""

    rule: str | None
    task: PatternTask | None = None

    @classmethod
    def of(cls, data: str | None, source: str) -> World:
        """Read the name of a data set; refuse one that has nothing to do with automata."""
        if data is not None and data.startswith(boards.PREFIX):
            return cls(None, boards.pattern_task(data))
        if data is not None and data.startswith(PREFIX):
            return cls(canonical_rule(data))
        trained = "does not say what it was trained on" if data is None else f"learned {data}"
        raise BnnError(
            f"{source}: {trained}, expected a cellular automaton; train one with: bnn train gol"
        )

    @property
    def name(self) -> str:
        """Name the rule or the task."""
        return self.rule or ("" if self.task is None else self.task.name)

    @property
    def channels(self) -> int:
        """Count the bits of a cell."""
        return 1 if self.task is None else self.task.channels

    @property
    def neighbourhood(self) -> tuple[int, int]:
        """Give height and width of what a cell sees."""
        return (3, 3) if self.rule is None else neighbourhood_shape(rule_table(self.rule))

    def windows(self, board: Board) -> Board:
        """Give what each cell sees, itself in the middle.

        Beyond an edge lies the opposite one, or for a task that says so nothing (0).
        Shape: (channels, height, width) -> (height · width, channels, *neighbourhood).
        """
        shape = self.neighbourhood
        around = [(0, 0), *((side // 2, side // 2) for side in shape)]
        wraps = self.task is None or self.task.wraps
        padded = np.pad(board, around, mode="wrap") if wraps else np.pad(board, around)
        seen = np.lib.stride_tricks.sliding_window_view(padded, shape, axis=(1, 2))
        return np.moveaxis(seen, 0, 2).reshape(-1, len(board), *shape)

    def fired(self, before: Board, after: Board, rng: np.random.Generator) -> Board:
        """Let only the cells that fire change."""
        fires = None if self.task is None else fire_mask(before, self.task.fire, rng)
        return after if fires is None else np.where(fires, after, before)


@dataclass(frozen=True)
class Automaton:
    """A learned automaton: where it comes from, what it learned, and how each form steps.

    ``forms`` gives for each form what makes its step: a form that is not asked for is not built.
    """

    source: str
    world: World
    forms: dict[str, Callable[[], Step]]

    def step(self, form: str) -> Step:
        """Make the step of a form."""
        if form not in self.forms:
            if form in {"soft", "hard"}:
                raise UsageError(
                    f"form {form}: {self.source} holds the packed form alone; give the run instead"
                )
            raise unknown_name("form", form, self.forms)
        return self.forms[form]()


def packed_step(packed: PackedModel, world: World) -> Step:
    """Step by the packed model: a bit is 1 where its score, or class 1's, is the larger one."""
    plan = packed.plan(default_backend())

    def step(board: Board, rng: np.random.Generator) -> Board:
        scores = plan.logits(world.windows(board) * np.uint8(255))
        if world.channels == 1 and scores.shape[1] == 2:
            bits = scores[:, 1:] > scores[:, :1]
        else:
            bits = scores > 0
        after = bits.T.reshape(board.shape).astype(np.uint8)
        return world.fired(board, after, rng)

    return step


def latent_step(model: Any, world: World, form: str) -> Step:
    """Step by the latent gates themselves, relaxed (soft) or rounded (hard), on values in [0, 1]."""
    import torch

    from bnncli.layers import BitLogits, Thermometer
    from bnncli.layers.automaton import StateLogits
    from bnncli.quantizers import soft_form
    from bnncli.training.evaluate import evaluation

    bits, *gates, last = model
    if not (isinstance(bits, Thermometer) and isinstance(last, BitLogits | StateLogits)):
        raise UsageError(
            f"form {form}: the network is not gates between thresholds and bits, which alone can "
            f"read values between 0 and 1; give --form packed"
        )
    pixel, _ = bits.comparisons()
    circuit = torch.nn.Sequential(*gates)

    def step(board: Board, rng: np.random.Generator) -> Board:
        seen = world.windows(board.astype(np.float32))
        features = np.ascontiguousarray(seen.reshape(len(seen), -1)[:, pixel].T)
        with evaluation(model), soft_form(model) if form == "soft" else nullcontext():
            values: NDArray[np.float32] = circuit(torch.from_numpy(features)).numpy()
        after = values.reshape(board.shape)
        return world.fired(board, after.astype(board.dtype), rng)

    return step


def open_file(path: Path) -> Automaton:
    """Open a packed model's file; needs no torch."""
    packed = load_packed(path)
    world = World.of(packed.metadata.get("data"), str(path))
    return Automaton(str(path), world, {"packed": lambda: packed_step(packed, world)})


def open_run(run: Run) -> Automaton:
    """Open a finished run, with the forms of its latent network beside the packed one."""
    world = World.of(run.settings().data.name, str(run.path))
    if not run.packed.exists():
        raise BnnError(
            f"{run.path}: holds no packed model; finish it with: "
            f"bnn train --resume {shlex.quote(str(run.path))}"
        )

    def latent(form: str) -> Step:
        from bnncli.forms import run_model
        from bnncli.training.experiment import load_run_data

        data = load_run_data(run.settings(), data_dir=None, download=False)
        return latent_step(run_model(run, data), world, form)

    return Automaton(
        str(run.path),
        world,
        {
            "packed": lambda: packed_step(load_packed(run.packed), world),
            "soft": lambda: latent("soft"),
            "hard": lambda: latent("hard"),
        },
    )
