"""Train a cellular automaton through its own steps: roll boards out, compare, go back through time.

See ``book/decisions/automata.md``.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from bnncli.data.automaton import fire_mask
from bnncli.data.boards import task_of
from bnncli.errors import UsageError
from bnncli.layers import LogicDense, set_progress
from bnncli.layers.automaton import advance, rule_of
from bnncli.training.building import build, build_optimizer
from bnncli.training.evaluate import examine
from bnncli.training.flips import flip_rate, weight_codes
from bnncli.training.memory import Memory, measure_memory
from bnncli.training.records import (
    EpochRecord,
    Progress,
    attempt_epochs,
    check_loss,
    end_epoch,
    never,
)
from bnncli.training.schedules import set_rates
from bnncli.training.seeds import mix, seed_default
from bnncli.training.trainers import refuse_given, trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from bnncli.data import ImageData
    from bnncli.data.exams import Answers
    from bnncli.training.config import Settings
    from bnncli.training.records import Reporter, ShouldStop

STEPS_PER_EPOCH = 25
SOLVED_EPOCHS = 3
"""Epochs in a row without hard error after which training ends."""

CLIP = 100.0
UNKNOWING = 0.25
"""Mean square of the error of an answer that is 1/2 everywhere."""

MEMORY = 0.9
"""How much of the level of the loss is kept in a step."""

UNHEEDED = ("data.augment", "train.label_smoothing", "train.precision")
SNAPSHOTS = 12
"""How many epochs the film of a training shows."""

TEST_SEED = 0


@trainer("rollouts", "steps of a cellular automaton on boards, compared with their goal at the end")
class RolloutTraining:
    """Minimise sum (channel 0 after n steps - goal)² over a batch of boards (arXiv:2506.04912).

    States and gates are relaxed in training, and gradients, clipped at 100, go back through all
    steps. As the loss falls, more and more of the new states are rounded, straight-through: each
    with probability ``rounding`` · (1 - level / level of an answer 1/2), so that nothing is left to
    states between 0 and 1, which the hard form does not have.

    An epoch is 25 updates; then hard and soft forms run on boards of their own, states rounded
    after each step. Training ends after three epochs in a row without a wrong cell (fewer if the
    attempt ends with them), if the larger board has none either. ``epochs`` is the most for all
    attempts together: with ``restarts`` it is split evenly, and each further attempt draws wiring
    and gates anew from a seed mixed from the run's.
    """

    def __init__(self, settings: Settings, data: ImageData, *, device: torch.device) -> None:
        train = settings.train
        refuse_given(settings, UNHEEDED, "trainer rollouts makes its boards and its loss itself")
        self.settings, self.data, self.device = settings, data, device
        self.task = task_of(data.name)
        # Every attempt has an epoch at least, so few epochs are few attempts.
        self.n_attempts = min((train.restarts or 0) + 1, train.epochs)
        self.attempt = self.solved = 0
        self.begun_at = 0  # epoch in which the attempt began
        self.level = UNKNOWING
        model = build(settings, data).to(device)
        cell = getattr(model, "cell", None)
        if not isinstance(cell, nn.Module):
            raise UsageError(
                f"trainer rollouts: arch {settings.model.arch} has no cell to step a board with; "
                f"give --arch dlca"
            )
        self.model: nn.Module = model
        self.cell = cell
        self.optimizer = build_optimizer(model, train)
        self.progress = Progress()
        self.reporters: list[Reporter] = []
        self.should_stop: ShouldStop = never
        self.steps_per_epoch = STEPS_PER_EPOCH
        self.total_steps = STEPS_PER_EPOCH * train.epochs
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self._film_epochs = snapshot_epochs(train.epochs)

    @property
    def _attempt_epochs(self) -> int:
        return attempt_epochs(self.settings.train.epochs, self.n_attempts, self.attempt)

    def run(self) -> bool:
        """Train to the end, or until ``should_stop``; tell whether the end was reached."""
        progress = self.progress
        while self.solved < SOLVED_EPOCHS and progress.step < self.total_steps:
            epoch, first = divmod(progress.step, STEPS_PER_EPOCH)
            began = time.perf_counter() - progress.seconds
            if first == 0:
                if epoch - self.begun_at == self._attempt_epochs:
                    self._restart(epoch)
                progress.loss_sum = torch.zeros((), dtype=torch.float64)
                progress.codes = weight_codes(self.model)
                if epoch in self._film_epochs:
                    self.snapshots[epoch] = self._state()
            for _ in range(first, STEPS_PER_EPOCH):
                if self.should_stop():
                    progress.seconds = time.perf_counter() - began
                    return False
                self.step()
            self._finish_epoch(epoch, began)
        return True

    def _restart(self, epoch: int) -> None:
        """Draw wiring and gates anew."""
        self.attempt += 1
        self.begun_at, self.solved, self.level = epoch, 0, UNKNOWING
        seed = mix(self.settings.train.seed, "restart", self.attempt)
        train = dataclasses.replace(self.settings.train, seed=seed)
        fresh = build(dataclasses.replace(self.settings, train=train), self.data)
        self.model.load_state_dict(fresh.state_dict())
        self.optimizer = build_optimizer(self.model, train)

    def step(self) -> None:
        """Take one optimizer step on a batch of fresh boards."""
        progress, train = self.progress, self.settings.train
        began = time.perf_counter()
        seed = mix(train.seed, "rollout", progress.step)
        seed_default(seed, self.device)
        self._set_rates()
        loss = self.loss(np.random.default_rng(seed))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_value_(self.model.parameters(), CLIP)
        self.optimizer.step()
        progress.loss_sum += loss.detach().cpu()
        if train.rounding:
            mean_square = float(loss.detach()) / self.task.size**2
            self.level = MEMORY * self.level + (1 - MEMORY) * mean_square
        progress.step_seconds += time.perf_counter() - began
        progress.step += 1
        for reporter in self.reporters:
            reporter.on_step(progress.step, STEPS_PER_EPOCH, loss.detach())

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Roll a batch of boards out and give the sum of squares, per board."""
        task, train = self.task, self.settings.train
        # Boards that cannot differ have one gradient: one of them is enough.
        n_boards = train.batch_size if task.varies or train.rounding else 1
        starts = task.starts(n_boards, task.size, rng)
        goal = self._tensor(task.goal(starts)).float()
        states = self._tensor(starts).float()
        rule = rule_of(self.cell)
        rounding = self.rounding
        for _ in range(task.steps):
            fires = self._cells(fire_mask(starts, task.fire, rng))
            rounds = self._cells(fire_mask(starts, rounding, rng)) if rounding else None
            states = advance(rule, states, wraps=task.wraps, fires=fires, rounds=rounds)
        return (states[:, 0] - goal).square().sum() / len(starts)

    @property
    def rounding(self) -> float:
        """Give the probability with which a new state is rounded in the next step."""
        return self.settings.train.rounding * max(0.0, 1 - self.level / UNKNOWING)

    def _cells(self, chosen: NDArray[np.bool_] | None) -> Tensor | None:
        """Give a choice of cells, the same for all channels. Shape: (n, h, w) -> (n, 1, h, w)."""
        return None if chosen is None else self._tensor(chosen).unsqueeze(1)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.tensor(values, device=self.device)

    def _set_rates(self) -> None:
        train = self.settings.train
        step = self.progress.step - STEPS_PER_EPOCH * self.begun_at
        total = STEPS_PER_EPOCH * self._attempt_epochs
        warmup = round(train.warmup_epochs * STEPS_PER_EPOCH)
        set_rates(self.optimizer, train.schedule, step, total, warmup)
        set_progress(self.model, step / total)

    def _finish_epoch(self, epoch: int, began: float) -> None:
        progress = self.progress
        loss = float(progress.loss_sum) / STEPS_PER_EPOCH
        check_loss(loss, epoch, self.optimizer.param_groups[0]["lr"])
        validation_began = time.perf_counter()
        seed = mix(self.settings.train.seed, "validation")
        hard, soft = (
            float(self._examine(form, seed=seed, short=True).right.mean())
            for form in ("hard", "soft")
        )
        now = time.perf_counter()
        record = EpochRecord(
            epoch=epoch,
            loss=loss,
            train_accuracy=1 - loss / self.task.size**2,
            hard_accuracy=hard,
            soft_accuracy=soft,
            flip_rate=flip_rate(progress.codes, weight_codes(self.model)),
            lr=self.optimizer.param_groups[0]["lr"],
            seconds=now - began,
            step_seconds=progress.step_seconds,
            validation_seconds=now - validation_began,
        )
        self.solved = self.solved + 1 if hard == 1 else 0
        is_last = epoch + 1 - self.begun_at == self._attempt_epochs
        if self.solved >= SOLVED_EPOCHS or (self.solved and is_last):
            whole = self._examine("hard", seed=seed, short=False)
            self.solved = SOLVED_EPOCHS if whole.right.all() else 0
        end_epoch(progress, record, self.reporters)

    def _examine(self, form: str, *, seed: int, short: bool) -> Answers:
        exam = self.data.exam.drawn(seed, short=short)
        return examine(self.model, exam, self.data.validation, form=form)

    def _state(self) -> dict[str, Tensor]:
        """Copy gates and wiring as they are."""
        return {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}

    def checkpoint(self) -> dict[str, Any]:
        """Give all that it takes to go on to the same bits, and what a film of it shows."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
            "attempt": {"number": self.attempt, "begun_at": self.begun_at},
            "solved": self.solved,
            "level": self.level,
            "snapshots": self.snapshots,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        vars(self.progress).update(state["progress"])
        self.attempt, self.begun_at = state["attempt"]["number"], state["attempt"]["begun_at"]
        self.solved, self.level = state["solved"], state["level"]
        self.snapshots = state["snapshots"]

    def memory(self, *, peak_of: str) -> Memory:
        """Measure what training holds, after its last step."""
        return measure_memory(self.model, self.optimizer, peak_of=peak_of)

    def test(self) -> dict[str, Any]:
        """Run on boards of the data set's own; entries of ``result.json``."""
        answers = examine(self.model, self.data.exam, self.data.test, form="hard")
        right = answers.right
        parts = {f"test_hard_{name}": float(right[r].mean()) for name, r in answers.parts.items()}
        return {
            "test_hard_accuracy": float(right.mean()),
            **parts,
            "wrong_cells": int((~right).sum()),
            "attempts": self.attempt + 1,
            "declared_gates": sum(
                len(module.gate_logits)
                for module in self.model.modules()
                if isinstance(module, LogicDense)
            ),
        }


def snapshot_epochs(epochs: int) -> set[int]:
    """Choose the epochs whose gates are kept for a film: dense at first, where most changes."""
    spaced = np.geomspace(1, max(epochs, 2), SNAPSHOTS) - 1
    return {int(epoch) for epoch in spaced}
