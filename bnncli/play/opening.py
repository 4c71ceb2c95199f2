"""From a run or a packed model's file to an automaton: its true rule, and a step for each form.

A step advances a board of (channels, height, width) on a torus; channel 0 is what one sees. Boards
of hard and packed forms hold 0 and 1, those of the soft form numbers in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.data.rules import PREFIX, canonical_rule, neighbourhood_shape, rule_table
from bnncli.errors import BnnError, UsageError, unknown_name
from bnncli.native import default_backend
from bnncli.packed import load_packed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bnncli.packed import PackedModel
    from bnncli.training.runs import Run

Board = Any
"""An array (channels, height, width), uint8 or float32."""

Step = Callable[[Board], Board]


@dataclass(frozen=True)
class Automaton:
    """A learned automaton: where it comes from, what it learned, and how each form steps.

    ``forms`` gives for each form what makes its step: a form that is not asked for is not built.
    """

    source: str
    rule: str
    forms: dict[str, Callable[[], Step]]

    @property
    def neighbourhood(self) -> tuple[int, int]:
        """Give height and width of what a cell sees."""
        return neighbourhood_shape(rule_table(self.rule))

    def step(self, form: str) -> Step:
        """Make the step of a form."""
        if form not in self.forms:
            if form in {"soft", "hard"}:
                raise UsageError(
                    f"form {form}: {self.source} holds the packed form alone; give the run instead"
                )
            raise unknown_name("form", form, self.forms)
        return self.forms[form]()


def windows(cells: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Give what each cell sees, itself in the middle; opposite edges touch.

    Shape: (height, width) -> (height · width, 1, *shape).
    """
    rows, columns = shape
    shifts = [(rows // 2 - i, columns // 2 - j) for i in range(rows) for j in range(columns)]
    seen = np.stack([np.roll(cells, shift, axis=(0, 1)) for shift in shifts], axis=-1)
    return seen.reshape(-1, 1, rows, columns)


def packed_step(packed: PackedModel, shape: tuple[int, int]) -> Step:
    """Step by the packed model: a cell lives on where class 1 has the larger score."""
    plan = packed.plan(default_backend())

    def step(board: Board) -> Board:
        cells = board[0]
        classes = plan.predict(windows(cells, shape) * np.uint8(255))
        return classes.astype(np.uint8).reshape(1, *cells.shape)

    return step


def latent_step(model: Any, shape: tuple[int, int], form: str) -> Step:
    """Step by the latent gates themselves, relaxed (soft) or rounded (hard), on values in [0, 1]."""
    import torch

    from bnncli.layers import BitLogits, Thermometer
    from bnncli.quantizers import soft_form
    from bnncli.training.evaluate import evaluation

    bits, *gates, last = model
    if not (isinstance(bits, Thermometer) and isinstance(last, BitLogits)):
        raise UsageError(
            f"form {form}: the network is not gates between thresholds and one bit, which alone "
            f"can read values between 0 and 1; give --form packed"
        )
    pixel, _ = bits.comparisons()
    circuit = torch.nn.Sequential(*gates)

    def step(board: Board) -> Board:
        cells = board[0].astype(np.float32)
        seen = windows(cells, shape).reshape(cells.size, -1)[:, pixel]
        with evaluation(model), soft_form(model) if form == "soft" else nullcontext():
            values = circuit(torch.from_numpy(np.ascontiguousarray(seen.T)))
        return values.numpy().reshape(1, *cells.shape)

    return step


def _rule_of(data: str | None, source: str) -> str:
    if data is None or not data.startswith(PREFIX):
        trained = "does not say what it was trained on" if data is None else f"learned {data}"
        raise BnnError(
            f"{source}: {trained}, expected a cellular automaton's rule; train one with: "
            f"bnn train gol"
        )
    return canonical_rule(data)


def open_file(path: Path) -> Automaton:
    """Open a packed model's file; needs no torch."""
    packed = load_packed(path)
    rule = _rule_of(packed.metadata.get("data"), str(path))
    shape = neighbourhood_shape(rule_table(rule))
    return Automaton(str(path), rule, {"packed": lambda: packed_step(packed, shape)})


def open_run(run: Run) -> Automaton:
    """Open a finished run, with the forms of its latent network beside the packed one."""
    rule = _rule_of(run.settings().data.name, str(run.path))
    if not run.packed.exists():
        raise BnnError(
            f"{run.path}: holds no packed model; finish it with: bnn train --resume {run.path}"
        )
    shape = neighbourhood_shape(rule_table(rule))

    def latent(form: str) -> Step:
        from bnncli.forms import run_model
        from bnncli.training.experiment import load_run_data

        data = load_run_data(run.settings(), data_dir=None, download=False)
        return latent_step(run_model(run, data), shape, form)

    return Automaton(
        str(run.path),
        rule,
        {
            "packed": lambda: packed_step(load_packed(run.packed), shape),
            "soft": lambda: latent("soft"),
            "hard": lambda: latent("hard"),
        },
    )
