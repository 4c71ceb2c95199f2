"""From settings to a finished run: build, train, resume, load."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bnncli.data.augment import parse_augment
from bnncli.data.boards import canonical_name
from bnncli.errors import BnnError, UsageError, unknown_name
from bnncli.models import find_arch
from bnncli.models.logic import GATES
from bnncli.norms import SHIFTS
from bnncli.optim import EVERYTHING, find_optimizer
from bnncli.options import with_real_numbers
from bnncli.training import images, rollouts, tables  # noqa: F401 (registers the trainers)
from bnncli.training.arithmetic import subnormals_flushed
from bnncli.training.building import build
from bnncli.training.limits import check_ranges
from bnncli.training.memory import keep_freed_memory, reset_peak
from bnncli.training.schedules import SCHEDULES
from bnncli.training.trainers import Training, find_trainer, make_trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from bnncli.data import ImageData
    from bnncli.training.config import Settings
    from bnncli.training.records import EpochRecord, Reporter
    from bnncli.training.runs import Run

PRECISIONS = ("float32", "bfloat16", "auto")
SAVE_EVERY_SECONDS = 5.0


def resolve(settings: Settings) -> Settings:
    """Fill in what architecture and optimizer decide and refuse what cannot be trained."""
    check_ranges(settings)
    train = settings.train
    if train.precision not in PRECISIONS:
        raise unknown_name("precision", train.precision, PRECISIONS)
    if train.schedule not in SCHEDULES:
        raise unknown_name("schedule", train.schedule, SCHEDULES)
    parse_augment(settings.data.augment)
    arch = find_arch(settings.model.arch)
    defaults = {"weights": "float", "activations": "float", **arch.defaults}
    given = {k: v for k, v in dataclasses.asdict(settings.model).items() if v is not None}
    if given.get("weights", defaults["weights"]) != defaults["weights"]:
        # Another quantizer than the architecture's own brings its own scale.
        defaults.pop("scale", None)
    optimizer = find_optimizer(train.optimizer)
    plain = find_optimizer(train.plain_optimizer or optimizer.plain[0])
    for name, made in (("optimizer_options", optimizer), ("plain_options", plain)):
        options = getattr(train, name)
        if options:
            as_read: dict[str, Any] = {name: with_real_numbers(made.make, options)}
            train = dataclasses.replace(train, **as_read)
    if settings.model.arch_options:
        given["arch_options"] = with_real_numbers(arch.layers, settings.model.arch_options)
    if defaults["weights"] == GATES["weights"] and optimizer.trains != EVERYTHING:
        raise UsageError(
            f"optimizer {train.optimizer}: trains {optimizer.trains}, but arch {arch.name} is made "
            f"of gates and has none; give one that trains every parameter, such as adam"
        )
    own = optimizer.weights
    if own is not None and given.get("weights") in {None, "binary"}:
        # An optimizer without latents brings the store that it moves.
        given["weights"] = own
        defaults.pop("scale", None)
    merged: dict[str, Any] = {**defaults, **given}
    if merged.get("norm") in SHIFTS and merged["weights"] != "float":
        # Nothing else would bring a sum of ±1 products back to unit variance.
        merged.setdefault("scale", "fan-in")
    find_trainer(settings)
    model = dataclasses.replace(settings.model, **merged)
    data = dataclasses.replace(settings.data, name=canonical_name(settings.data.name))
    return dataclasses.replace(settings, model=model, data=data, train=train)


@dataclass
class RunLog:
    """Keep a run's files up to date while it trains (a Reporter)."""

    run: Run
    trainer: Training
    best: dict[str, Tensor] = field(default_factory=dict)
    saved_at: float = field(default_factory=time.monotonic)

    def on_step(self, step: int, steps_per_epoch: int, loss: Tensor) -> None:
        """Do nothing: steps are not logged."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Append the record, remember the best weights, save every few seconds."""
        if is_best:
            self.best = {
                k: v.detach().cpu().clone() for k, v in self.trainer.model.state_dict().items()
            }
        with (self.run.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record.to_dict()) + "\n")
        if time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the checkpoint."""
        self.run.save_checkpoint({**self.trainer.checkpoint(), "best": self.best})
        self.saved_at = time.monotonic()

    def restore(self) -> None:
        """Read the checkpoint back and drop metrics of epochs that it has not seen."""
        state = self.run.load_checkpoint()
        self.best = state.pop("best")
        self.trainer.restore(state)
        done = self.trainer.progress.step // self.trainer.steps_per_epoch
        kept = [json.dumps(row) for row in self.run.metrics() if row["epoch"] < done]
        self.run.write_text("metrics.jsonl", "".join(line + "\n" for line in kept))


@dataclass(frozen=True)
class Outcome:
    """How a run ended: finished with its accuracies, or stopped on request."""

    finished: bool
    result: dict[str, Any]


def run_training(
    run: Run,
    data: ImageData,
    *,
    device: torch.device,
    resume: bool = False,
    reporters: Sequence[Reporter] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train the run's settings on data, or go on from its checkpoint.

    The weights of the epoch with the best hard validation accuracy are kept, and the test set is
    read once, with those. Stopped on request, the run is saved and ``finished`` is False.
    """
    settings = run.settings()
    if torch.are_deterministic_algorithms_enabled() != settings.train.deterministic:
        # Setting it costs seconds: torch imports its compiler for that.
        torch.use_deterministic_algorithms(settings.train.deterministic)
    trainer = make_trainer(settings, data, device=device)
    log = RunLog(run, trainer)
    trainer.reporters = [log, *reporters]
    trainer.should_stop = should_stop
    if resume:
        log.restore()
    keep_freed_memory()
    peak_of = "run" if reset_peak() else "process"
    with subnormals_flushed():
        finished = trainer.run()
    log.save()
    return Outcome(finished, _finish(run, log, peak_of) if finished else {})


def _finish(run: Run, log: RunLog, peak_of: str) -> dict[str, Any]:
    model, progress = log.trainer.model, log.trainer.progress
    memory = log.trainer.memory(peak_of=peak_of)
    if not log.best:
        raise BnnError(f"{run.path}: no epoch was finished, so there is no best model to keep")
    model.load_state_dict(log.best)
    # One entry alone: the order of several is not fixed, and equal runs write equal files.
    run.save_weights(log.best, {"run": run.name})
    rows = run.metrics()
    return {
        "best_epoch": progress.best_epoch,
        "validation_hard_accuracy": progress.best_accuracy,
        **log.trainer.test(),
        "memory": memory.to_dict(),
        "train_seconds": sum(row["seconds"] for row in rows),
        "step_seconds": sum(row["step_seconds"] for row in rows),
        "validation_seconds": sum(row["validation_seconds"] for row in rows),
    }


def load_run_data(settings: Settings, *, data_dir: Path | None, download: bool) -> ImageData:
    """Load the data set that settings name, split as they say."""
    from bnncli.data import load_dataset

    return load_dataset(
        settings.data.name,
        data_dir=data_dir,
        validation=settings.data.validation,
        seed=settings.data.split_seed,
        download=download,
    )


def load_run_model(run: Run, data: ImageData) -> nn.Sequential:
    """Build a run's network with its best weights, in evaluation mode."""
    model = build(run.settings(), data)
    try:
        model.load_state_dict(run.load_weights())
    except RuntimeError as error:  # torch's way to say that names or shapes do not match
        raise BnnError(
            f"{run.path}: model.safetensors does not fit config.toml; one of them was changed: "
            f"start the run again with --force"
        ) from error
    return model.eval()
