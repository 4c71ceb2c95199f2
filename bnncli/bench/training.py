"""Suite ``training``: what binary weights cost a training step, and what an epoch adds to its steps.

The steps are those of :class:`bnncli.training.loop.Trainer` itself on random images that are
already in memory. A step is timed as the trainer times it: rates, forward, loss, backward,
optimizer and clip, without the choice of the batch.
"""

from __future__ import annotations

import math
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bnncli.bench.harness import Case, Contender, Contest, Observation, Work
from bnncli.bench.networks import CIFAR_SHAPE, MNIST_SHAPE, Network, random_data, resolved
from bnncli.errors import BnnError
from bnncli.training.config import ModelSettings, TrainSettings
from bnncli.training.experiment import RunLog
from bnncli.training.images import image_training
from bnncli.training.runs import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnncli.training.loop import Trainer


CPU = torch.device("cpu")
N_BATCHES = 16
MANY_EPOCHS = 10**6
"""Epochs of the schedule, so that its rate stays what it is in the first steps."""

NETWORKS = (
    (Network("mlp-128", MNIST_SHAPE, ModelSettings(arch="mlp", weights="binary")), 64),
    (Network("mlp-large", MNIST_SHAPE, ModelSettings(arch="mlp-large", weights="binary")), 100),
    (Network("bnn-mlp", MNIST_SHAPE, ModelSettings(arch="bnn-mlp")), 100),
    (Network("smallconv", CIFAR_SHAPE, ModelSettings(arch="smallconv", weights="binary")), 128),
    (Network("bitconv", CIFAR_SHAPE, ModelSettings(arch="bitconv")), 128),
)
EPOCHS = 3
EPOCH_IMAGES = 20_000
EPOCH_VALIDATION = 2_000


def stepper(trainer: Trainer) -> Contender:
    """Make the trainer's next step in each call; a call gives its loss."""
    order = trainer.begin_epoch(0, resumed=False)
    steps = trainer.steps_per_epoch

    def run() -> float:
        before = float(trainer.progress.loss_sum)
        trainer.step(order, trainer.progress.step % steps * trainer.settings.batch_size)
        return float(trainer.progress.loss_sum) - before

    return Contender(run, clock=lambda: trainer.progress.step_seconds)


def finite_losses(losses: Mapping[str, NDArray[Any]]) -> None:
    """Refuse to time steps that have left the range of numbers."""
    for name, loss in losses.items():
        if not math.isfinite(loss.item()):
            raise BnnError(f"{name}: the loss is {loss.item()}; not timed, report this as a bug")


def _steps(network: Network, batch: int) -> Contest:
    data = random_data(network.image_shape, n_train=N_BATCHES * batch)
    train = TrainSettings(batch_size=batch, epochs=MANY_EPOCHS)
    contenders = {
        name: stepper(image_training(resolved(model, train), data, device=CPU))
        for name, model in (("float", network.floats), ("binary", network.bits))
    }
    return Contest(contenders, ["float"], finite_losses)


def _epoch_overhead() -> dict[str, float | str]:
    data = random_data(MNIST_SHAPE, n_train=EPOCH_IMAGES, n_validation=EPOCH_VALIDATION)
    settings = resolved(
        ModelSettings(arch="mlp", weights="binary"), TrainSettings(batch_size=64, epochs=EPOCHS)
    )
    trainer = image_training(settings, data, device=CPU)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        trainer.reporters.append(RunLog(run, trainer))
        began = time.perf_counter()
        trainer.run()
        seconds = time.perf_counter() - began
        epochs = run.metrics()
    steps, validation = (
        sum(row[key] for row in epochs) for key in ("step_seconds", "validation_seconds")
    )
    return {
        "seconds an epoch": seconds / EPOCHS,
        "in steps": steps / seconds,
        "in validation": validation / seconds,
        "outside both": 1 - (steps + validation) / seconds,
    }


def cases() -> list[Case | Observation]:
    """List the nets whose steps are compared, and the epoch that is taken apart."""
    return [
        *(
            Case(f"step/{network.name}-b{batch}", Work(steps=1), partial(_steps, network, batch))
            for network, batch in NETWORKS
        ),
        Observation("epoch-overhead/mlp-128-b64", _epoch_overhead),
    ]
