"""Train a network of gates on a whole truth table at once, and again until it has no error.

See ``book/decisions/exact-rules.md``.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bnncli.errors import UsageError
from bnncli.layers import BitLogits, FixedWiring, LogicDense, Thermometer
from bnncli.native.table_trainer import (
    AdamW,
    TableState,
    default_table_trainer,
    table_problem,
)
from bnncli.quantizers import soft_form
from bnncli.training.building import build
from bnncli.training.evaluate import accuracy, evaluation
from bnncli.training.memory import Memory, peak_resident_bytes, storage_bytes
from bnncli.training.records import (
    EpochRecord,
    Progress,
    attempt_epochs,
    check_loss,
    end_epoch,
    never,
)
from bnncli.training.schedules import factors_at
from bnncli.training.seeds import mix
from bnncli.training.trainers import refuse_given, trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from bnncli.data import ImageData
    from bnncli.native.table_trainer import TableProblem
    from bnncli.training.config import Settings
    from bnncli.training.records import Reporter, ShouldStop

STEPS_PER_EPOCH = 25
CLEAN_EPOCHS = 4
"""Epochs in a row without hard error after which training ends."""

DEFAULT_LR = 0.2
UNHEEDED = (
    *("data.augment", "train.batch_size", "train.optimizer", "train.momentum"),
    *("train.plain_optimizer", "train.plain_options", "train.plain_lr"),
    *("train.latent_clip", "train.label_smoothing", "train.precision", "train.rounding"),
)


@trainer("table", "steps on all rows of a truth table, the whole network in one C call")
class TableTraining:
    """Train on every row in each step; an epoch is 25 steps, after which hard errors are counted.

    The loss is the mean of squares, the update AdamW (beta 0.9 and 0.99, gradients clipped at
    100; ``optimizer_options`` may give its ``eps``). Training ends after four epochs in a row
    without hard error. ``epochs`` is the most for all attempts together: with ``restarts`` it is
    split evenly, and each further attempt draws wiring and logits anew from a seed mixed from the
    run's. Computes on the CPU.
    """

    def __init__(self, settings: Settings, data: ImageData, *, device: torch.device) -> None:
        del device
        train = settings.train
        refuse_given(
            settings, UNHEEDED, "trainer table takes whole tables, with an AdamW of its own"
        )
        self.settings, self.data = settings, data
        self.epsilon = epsilon_of(settings)
        # Every attempt has an epoch at least, so few epochs are few attempts.
        self.n_attempts = min((train.restarts or 0) + 1, train.epochs)
        self.progress = Progress()
        self.reporters: list[Reporter] = []
        self.should_stop: ShouldStop = never
        self.steps_per_epoch = STEPS_PER_EPOCH
        self.model: nn.Module = build(settings, data)
        self.backend = default_table_trainer()
        self.attempt = self.clean = 0
        self.begun_at = 0  # epoch in which the attempt began
        self._open()

    def run(self) -> bool:
        """Train to the end, or until ``should_stop``; tell whether the end was reached."""
        while self.clean < CLEAN_EPOCHS and self._epoch < self.settings.train.epochs:
            if self.should_stop():
                return False
            self._train_epoch()
        return True

    @property
    def _epoch(self) -> int:
        return self.progress.step // STEPS_PER_EPOCH

    @property
    def _attempt_epochs(self) -> int:
        return attempt_epochs(self.settings.train.epochs, self.n_attempts, self.attempt)

    def _open(self) -> None:
        """Take problem and state from the model as it is."""
        self.layers, self.problem = table_of(self.model, self.data)
        logits = [layer.gate_logits.detach().numpy() for layer in self.layers]
        self.state = TableState.start(np.concatenate(logits))

    def _restart(self) -> None:
        """Draw wiring and logits anew."""
        self.attempt += 1
        self.clean, self.begun_at = 0, self._epoch
        seed = mix(self.settings.train.seed, "restart", self.attempt)
        train = dataclasses.replace(self.settings.train, seed=seed)
        fresh = build(dataclasses.replace(self.settings, train=train), self.data)
        self.model.load_state_dict(fresh.state_dict())
        self._open()

    def _train_epoch(self) -> None:
        began = time.perf_counter()
        if self._epoch - self.begun_at == self._attempt_epochs:
            self._restart()
        progress, epoch = self.progress, self._epoch
        tables = chosen_tables(self.state.logits)
        how = self._update()
        step_began = time.perf_counter()
        loss, errors = self.backend.train(self.problem, self.state, how, STEPS_PER_EPOCH)
        step_seconds = time.perf_counter() - step_began
        check_loss(loss, epoch, how.lr)
        self._write_logits()
        self.clean = 0 if errors else self.clean + 1
        progress.step += STEPS_PER_EPOCH
        for reporter in self.reporters:
            reporter.on_step(progress.step, STEPS_PER_EPOCH, torch.tensor(loss))
        checked = time.perf_counter()
        hard = 1 - errors / (self.problem.n_rows * self.problem.n_outputs)
        soft = self._soft_accuracy()
        now = time.perf_counter()
        record = EpochRecord(
            epoch=epoch,
            loss=loss,
            train_accuracy=soft,
            hard_accuracy=hard,
            soft_accuracy=soft,
            flip_rate=float((chosen_tables(self.state.logits) != tables).mean()),
            lr=how.lr,
            seconds=now - began,
            step_seconds=step_seconds,
            validation_seconds=now - checked,
        )
        end_epoch(progress, record, self.reporters)

    def _soft_accuracy(self) -> float:
        """Give the share of rows that the relaxed network rounds right; all rows at once."""
        with evaluation(self.model), soft_form(self.model):
            logits = self.model(torch.from_numpy(self.data.train.images))
        right = logits.argmax(dim=1).numpy() == self.data.train.labels
        return float(right.mean())

    def _update(self) -> AdamW:
        """Set the update of the epoch; a schedule runs over each attempt."""
        train = self.settings.train
        step = (self._epoch - self.begun_at) * STEPS_PER_EPOCH
        total = self._attempt_epochs * STEPS_PER_EPOCH
        warmup = round(train.warmup_epochs * STEPS_PER_EPOCH)
        factors = factors_at(train.schedule, step, total, warmup)
        lr = DEFAULT_LR if train.lr is None else train.lr
        decay = train.weight_decay * factors.weight_decay
        return AdamW(lr * factors.lr, epsilon=self.epsilon, decay=decay)

    @torch.no_grad()
    def _write_logits(self) -> None:
        """Give the model the logits of the state."""
        start = 0
        for layer in self.layers:
            end = start + layer.out_features
            layer.gate_logits.copy_(torch.from_numpy(self.state.logits[start:end]))
            start = end

    def checkpoint(self) -> dict[str, Any]:
        """Give all that it takes to go on to the same bits."""
        state = self.state
        moments = {"m": torch.from_numpy(state.m.copy()), "v": torch.from_numpy(state.v.copy())}
        return {
            "model": self.model.state_dict(),
            "optimizer": {**moments, "steps": state.steps},
            "attempt": {"number": self.attempt, "begun_at": self.begun_at, "clean": self.clean},
            "progress": vars(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self._open()
        self.state.m, self.state.v = (state["optimizer"][name].numpy() for name in ("m", "v"))
        self.state.steps = state["optimizer"]["steps"]
        attempt = state["attempt"]
        self.attempt, self.begun_at, self.clean = (
            attempt[name] for name in ("number", "begun_at", "clean")
        )
        vars(self.progress).update(state["progress"])

    def memory(self, *, peak_of: str) -> Memory:
        """Measure what training holds, after its last step."""
        state = self.state
        return Memory(
            parameter_bytes=storage_bytes(self.model.parameters()),
            buffer_bytes=storage_bytes(self.model.buffers()),
            gradient_bytes=state.logits.nbytes,
            optimizer_bytes=state.m.nbytes + state.v.nbytes,
            peak_resident_bytes=peak_resident_bytes(),
            peak_of=peak_of,
        )

    def test(self) -> dict[str, Any]:
        """Count the errors of the weights as they are, and say what it took."""
        hard = accuracy(self.model, self.data.test, form="hard")
        return {
            "test_hard_accuracy": hard,
            "hard_errors": round((1 - hard) * len(self.data.test)),
            "steps": self.progress.step,
            "restarts": self.attempt,
        }


def epsilon_of(settings: Settings) -> float:
    """Give the epsilon of the update: ``eps`` of the optimizer's options, all that they may say."""
    options = dict(settings.train.optimizer_options or {})
    epsilon = float(options.pop("eps", AdamW.epsilon))
    if options:
        raise UsageError(
            f"train.optimizer_options={options}: trainer table has an AdamW of its own, which "
            f"takes eps alone; leave the rest out"
        )
    if not 0 < epsilon < math.inf:
        raise UsageError(f"eps={epsilon}: expected a positive number, such as 1e-8")
    return epsilon


def chosen_tables(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Give the truth table that each gate's logits round to. Shape: (n, 4 or 16) -> (n,)."""
    bits = np.array([1, 2, 4, 8])
    chosen: NDArray[np.int64] = (
        np.dot(logits > 0, bits) if logits.shape[1] == 4 else logits.argmax(axis=1)
    )
    return chosen


def table_of(model: nn.Module, data: ImageData) -> tuple[list[LogicDense], TableProblem]:
    """Number the gates of a network's layers through, and read the rows of its truth table."""
    first, *gates, last = model.children()
    layers = [layer for layer in gates if isinstance(layer, LogicDense)]
    ours = isinstance(last, BitLogits) and len(layers) == len(gates)
    if not isinstance(first, Thermometer) or not ours:
        raise UsageError("trainer table: trains gates on bits with one output; give --arch gol")
    for layer in layers:
        _refuse_layer(layer)
    n_rows, n_bits = len(data.train), int(first.out_features)
    if n_rows != 1 << n_bits:
        raise UsageError(
            f"trainer table: {data.name} has {n_rows} rows of {n_bits} bits, expected each of "
            f"2^{n_bits} once; give data such as rule:B3/S23"
        )
    with torch.inference_mode():
        x = first(torch.from_numpy(data.train.images)).T.numpy() > 0.5
    wires: tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]] = ([], [])
    offset, width = 0, n_bits
    for layer in layers:
        for found, index in zip(wires, layer.wiring.wires(), strict=True):
            found.append(index.numpy() + np.int32(offset))
        offset, width = offset + width, int(layer.out_features)
    a, b = (np.concatenate(found) for found in wires)
    return layers, table_problem(a, b, x, data.train.labels[:, None] == 1)


def _refuse_layer(layer: LogicDense) -> None:
    name = layer.parametrization.name
    if name not in {"iwp", "softmax"}:
        raise UsageError(f"trainer table: parametrization {name} given, expected iwp or softmax")
    plain = layer.sampling == "soft" and layer.first == layer.last == 1 and not layer.bound
    if not plain or not isinstance(layer.wiring, FixedWiring):
        raise UsageError(
            "trainer table: takes relaxed gates as they are, with fixed wires; give sampling=soft, "
            "temperature=1, final_temperature=1, bound=0 and candidates=0"
        )
