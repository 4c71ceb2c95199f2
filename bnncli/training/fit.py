"""Train in memory, in one call: what ``bnn train`` does, without a run directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bnncli.errors import BnnError
from bnncli.training.arithmetic import subnormals_flushed
from bnncli.training.config import Settings
from bnncli.training.experiment import load_run_data, resolve
from bnncli.training.trainers import make_trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from bnncli.data import ImageData
    from bnncli.training.records import EpochRecord, Reporter
    from bnncli.training.trainers import Training

__all__ = ["Fitted", "fit"]


@dataclass(frozen=True)
class Fitted:
    """A finished training: ``model`` holds the weights of ``best_epoch``, in evaluation mode.

    ``records`` has one entry an epoch; ``trainer`` still knows the optimizer.
    """

    settings: Settings
    data: ImageData
    trainer: Training
    records: tuple[EpochRecord, ...]

    @property
    def model(self) -> nn.Module:
        """Give the trained network."""
        return self.trainer.model

    @property
    def best_epoch(self) -> int:
        """Give the epoch, counted from 0, that is best on the validation split."""
        return self.trainer.progress.best_epoch

    def test(self) -> dict[str, Any]:
        """Read the test set, as ``bnn train`` does once: ``test_hard_accuracy`` and others."""
        return self.trainer.test()


@dataclass
class _Keeper:
    """Remember the records and the weights of the best epoch (a Reporter)."""

    trainer: Training
    records: list[EpochRecord] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def on_step(self, step: int, steps_per_epoch: int, loss: Tensor) -> None:
        """Do nothing."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Keep the record, and a copy of the weights if no epoch was better."""
        self.records.append(record)
        if is_best:
            self.best = {k: v.detach().clone() for k, v in self.trainer.model.state_dict().items()}


def fit(
    settings: Settings | Mapping[str, Mapping[str, Any]],
    *,
    data: ImageData | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    device: torch.device | str = "cpu",
    reporters: Sequence[Reporter] = (),
    on_start: Callable[[Training], None] | None = None,
) -> Fitted:
    """Train settings to the end and give back the network of the best validation epoch.

    ``settings`` are those of a run, or the sections of a recipe as nested values:
    ``fit({"model": {"arch": "mlp", "weights": "binary"}, "train": {"epochs": 5}})``.
    The data set is the one that they name, unless ``data`` is given. ``on_start`` sees the training
    before its first step.

    Raises:
        BnnError: the loss is not finite, or no epoch was finished.
        UsageError: settings that cannot be trained.
    """
    if not isinstance(settings, Settings):
        settings = Settings().updated(settings)
    settings = resolve(settings)
    if data is None:
        data = load_run_data(settings, data_dir=data_dir, download=download)
    trainer = make_trainer(settings, data, device=torch.device(device))
    keeper = _Keeper(trainer)
    trainer.reporters = [keeper, *reporters]
    if on_start is not None:
        on_start(trainer)
    with subnormals_flushed():
        trainer.run()
    if not keeper.best:
        raise BnnError("no epoch was finished, so there is no best model; give train.epochs >= 1")
    trainer.model.load_state_dict(keeper.best)
    trainer.model.eval()
    return Fitted(settings, data, trainer, tuple(keeper.records))
