"""Suite ``gol``: the Game of Life as usual C, as a network in torch, and as what bnn compiles.

A network is trained and frozen; its circuit, with constants and copies folded, has about as many
gates as were published for such networks, and is the rule of the usual C. What bnn compiles is the
smallest circuit of the rule that is known here, stored beside this file. Times are processor time:
on a busy machine a short sample is seldom interrupted and a long one always, so that wall time
would favour the fast. See ``book/decisions/steppers.md``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bnncli.bench.harness import Case, Contender, Contest, Work, equal_to
from bnncli.bench.usual_steps import OPTIONS, EmittedProgram, UsualSteps
from bnncli.circuit import FIRST_INPUT, Circuit, Design, from_text, rebuild, truth_tables
from bnncli.circuit.translation import shared_operations
from bnncli.codegen.stepper import WIDTHS, BoardStepper
from bnncli.data.rules import rule_table, step_board
from bnncli.errors import BnnError, UsageError
from bnncli.native import CBackend, compiled, default_backend
from bnncli.native.compile import need_compiler
from bnncli.packed.logic import LogicNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from bnncli.bench.harness import Clock
    from bnncli.codegen.stepper import Torus
    from bnncli.packed import PackedModel

RULE = "B3/S23"
SEED = 1
WIDTHS_OF_LAYERS = [64] * 6
"""A small network of the recipe ``gol``: 173 live gates; public ones have 170 to 180."""

SIZES = {512: 2000, 4096: 100}
"""Cells a side of the boards, and the steps of a call."""

HEADLINE_SIDE, HEADLINE_STEPS = 512, 50
TORCH_CELLS = 512
"""Cells that the training framework evaluates at once: as many as its table has rows."""

USUAL = "usual C, uint64"
SOFT = "torch soft net, float32"
LIMITS = ("registers only", "copy of the board")


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network in the forms that the suite times."""

    model: nn.Sequential
    packed: PackedModel
    circuit: Circuit
    usual: Circuit
    small: Design

    def facts(self) -> dict[str, float | str]:
        """Count gates."""
        compiler = need_compiler("bench gol")
        return {
            "live gates, learned": self.circuit.size,
            f"live gates, {USUAL}": self.usual.size,
            "live gates, smallest": self.small.circuit.size,
            "operations a word, smallest": shared_operations(self.small.circuit),
            "compiler": f"{compiler.name} {' '.join(OPTIONS)}: {compiler.version.splitlines()[0]}",
        }


@cache
def learned() -> Learned:
    """Train, freeze and extract, once a process."""
    from bnncli.bench.rules import rule_data
    from bnncli.freeze import freeze
    from bnncli.recipes import find_recipe
    from bnncli.training.experiment import resolve
    from bnncli.training.trainers import make_trainer

    chosen: dict[str, dict[str, Any]] = {
        "model": {"widths": WIDTHS_OF_LAYERS},
        "data": {"name": f"rule:{RULE}"},
        "train": {"seed": SEED},
    }
    settings = resolve(find_recipe("gol").settings.updated(chosen))
    import torch

    training = make_trainer(settings, rule_data(RULE), device=torch.device("cpu"))
    training.run()
    model = cast("nn.Sequential", training.model)
    packed = freeze(model)
    circuit = circuit_of(gates_of(packed))
    if not np.array_equal(truth_tables(circuit)[0], rule_table(RULE)):
        raise BnnError(f"bench gol: the network of seed {SEED} did not learn {RULE}")
    small = Design("Game of Life", smallest(), channels=1)
    return Learned(model, packed, circuit, rebuild(circuit), small)


def gates_of(packed: PackedModel) -> LogicNetwork:
    """Give the one gate network of a packed model."""
    return next(step for step in packed.steps if isinstance(step, LogicNetwork))


def circuit_of(network: LogicNetwork) -> Circuit:
    """Give the gates of a packed network as the rule of a cell."""
    cells = FIRST_INPUT + network.pixel.astype(np.int64)
    gates = np.arange(network.n_gates) + FIRST_INPUT + 9
    signal = np.concatenate([[0, 1], cells, gates])
    return Circuit(9, network.op, signal[network.a], signal[network.b], signal[network.outputs])


def smallest() -> Circuit:
    """Read the stored circuit of the Game of Life: 16 operations a word, 28 gates a cell."""
    text = resources.files("bnncli.bench").joinpath("life.txt").read_text("utf-8")
    return from_text(text, "life.txt")


def random_board(side: int) -> NDArray[np.uint8]:
    """Draw a square board, half of it alive."""
    return np.random.default_rng(SEED).integers(0, 2, (side, side), dtype=np.uint8)


def _widths(design: Design) -> dict[int, BoardStepper]:
    """Make steppers for the widths that this processor has."""
    steppers = {}
    for width in WIDTHS:
        try:
            steppers[width] = BoardStepper(design, width=width)
        except UsageError:
            continue
    return steppers


def _timed(
    run: Callable[[], None], cells: Callable[[], NDArray[Any]], clock: Clock = time.thread_time
) -> Contender:
    return Contender(run, lambda _: cells(), clock=clock)


def _only_channel(torus: Torus) -> NDArray[np.uint8]:
    cells: NDArray[np.uint8] = torus.cells()[0]
    return cells


def _steps(side: int) -> Contest:
    forms, board, n_steps = learned(), random_board(side), SIZES[side]
    contenders: dict[str, Contender] = {}
    for circuit in (forms.usual, forms.small.circuit):
        usual = UsualSteps(circuit, board, n_steps)
        contenders[f"{USUAL}, {circuit.size} gates"] = _timed(usual, usual.cells)
    baseline = next(iter(contenders))
    steppers = _widths(forms.small)
    for width in (min(steppers), max(steppers)):
        emitted = EmittedProgram(forms.small, width, board, n_steps)
        contenders[f"emitted C, {width} bits"] = _timed(emitted, emitted.cells, emitted.clock)
    for _, stepper in sorted(steppers.items()):
        torus = stepper.torus(board[None])
        step = partial(torus.step, n_steps)
        contenders[f"bnn {stepper.name}"] = _timed(step, partial(_only_channel, torus))
    contenders.update(_limits(forms, side, n_steps))

    def check(outputs: Mapping[str, NDArray[Any]]) -> None:
        computed = {name: cells for name, cells in outputs.items() if name not in LIMITS}
        equal_to(baseline)(computed)

    return Contest(contenders, [baseline], check, forms.facts())


def _limits(forms: Learned, side: int, n_steps: int) -> dict[str, Contender]:
    """Do as many two-input operations on 512 bits in registers, and copy the board as often."""
    source, target = (np.zeros(side * side // 64, np.uint64) for _ in range(2))

    def copy() -> None:
        for _ in range(n_steps):
            np.copyto(target, source)

    limits = {LIMITS[1]: Contender(copy, np.asarray, clock=time.thread_time)}
    if compiled():
        vectors = side * side // 512
        operations = shared_operations(forms.small.circuit) * vectors * n_steps
        spin = CBackend().prepare_logic(gates_of(forms.packed)).spin
        run = partial(spin, operations)
        limits = {LIMITS[0]: Contender(run, np.asarray, clock=time.thread_time), **limits}
    return limits


def _headline() -> Contest:
    from bnncli.data.automaton import Automaton
    from bnncli.training.evaluate import model_logits

    forms, board = learned(), random_board(HEADLINE_SIDE)[None]

    def torch_form(form: str) -> Automaton:
        import torch

        def local(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            given = torch.from_numpy(images)
            scores = model_logits(forms.model, given, form=form, at_once=TORCH_CELLS)
            return np.asarray(scores.numpy(), np.float32)

        return Automaton(local, channels=1)

    plan = forms.packed.plan(default_backend())
    automata = {
        SOFT: torch_form("soft"),
        "torch hard net, float32": torch_form("hard"),
        f"packed net, {plan.backend_name}": Automaton(plan.logits, channels=1),
    }
    expected = step_board(board[0], rule_table(RULE))
    contenders = {
        name: Contender(
            partial(automaton.step, board), lambda cells: cells[0], clock=time.thread_time
        )
        for name, automaton in automata.items()
    }
    stepper = BoardStepper(forms.small)
    torus = stepper.torus(board)
    # One step takes a few microseconds, as does calling it; so a call makes many, and the clock
    # is divided by their number.
    n_steps = HEADLINE_STEPS
    first = stepper.run(board)[0]
    contenders[f"compiled circuit, {stepper.name}"] = Contender(
        partial(torus.step, n_steps), lambda _: first, clock=lambda: time.thread_time() / n_steps
    )

    def check(outputs: Mapping[str, NDArray[Any]]) -> None:
        # The soft form is what training sees; its scores need not be right everywhere.
        exact = {name: cells for name, cells in outputs.items() if name != SOFT}
        equal_to("table")({**exact, "table": expected})

    facts = {
        "work": f"one step of {HEADLINE_SIDE}x{HEADLINE_SIDE} cells, one thread each",
        "torch": f"float32, a number a cell, {TORCH_CELLS} neighbourhoods a batch, cut and packed "
        f"by numpy within the time",
        "compiled": "a bit a cell; the board stays packed between steps",
    }
    return Contest(contenders, [SOFT], check, {**facts, **forms.facts()})


def cases() -> list[Case]:
    """List steps of two boards, and the headline."""
    steps = [
        Case(
            f"step/{side}x{side}",
            Work(steps=n_steps, cells=n_steps * side * side),
            partial(_steps, side),
            learned,
        )
        for side, n_steps in SIZES.items()
    ]
    cells = HEADLINE_SIDE * HEADLINE_SIDE
    return [*steps, Case("headline/512x512", Work(steps=1, cells=cells), _headline, learned)]
