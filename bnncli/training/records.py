"""What a run says of itself: epoch records, progress, and whoever listens."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def _zero() -> Tensor:
    import torch

    return torch.zeros((), dtype=torch.float64)


def _nothing() -> Tensor:
    import torch

    return torch.empty(0)


@dataclass(frozen=True)
class EpochRecord:
    """One line of ``metrics.jsonl``; accuracies are of the validation split."""

    epoch: int
    loss: float
    train_accuracy: float
    hard_accuracy: float
    soft_accuracy: float
    flip_rate: float
    lr: float
    seconds: float
    step_seconds: float
    validation_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Give the record as plain values."""
        return asdict(self)


@dataclass
class Progress:
    """How far a run is; saved with it. Sums are over the steps of the unfinished epoch."""

    step: int = 0
    # Added up on the device: reading a loss would wait for it in every step.
    loss_sum: Tensor = field(default_factory=_zero)
    seconds: float = 0.0
    step_seconds: float = 0.0
    best_accuracy: float = -1.0
    best_epoch: int = -1
    codes: dict[str, Tensor] = field(default_factory=dict)  # of the weights as the epoch began
    predicted: Tensor = field(default_factory=_nothing)  # classes, in epoch order


def attempt_epochs(epochs: int, n_attempts: int, attempt: int) -> int:
    """Count the epochs of an attempt: equally many for all, the last takes the rest."""
    each = epochs // n_attempts
    return epochs - each * attempt if attempt + 1 == n_attempts else each


def check_loss(loss: float, epoch: int, lr: float) -> None:
    """Refuse a mean loss of an epoch that is not a number."""
    if not math.isfinite(loss):
        raise BnnError(
            f"the loss is {loss} in epoch {epoch + 1}: training diverged; lower --lr "
            f"({lr:g} at the end of that epoch)"
        )


class Reporter(Protocol):
    """Whoever wants to see a run pass: the log file, the terminal, TensorBoard."""

    def on_step(self, step: int, steps_per_epoch: int, loss: Tensor) -> None:
        """Hear of one finished step; reading ``loss`` waits for the device."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Hear of one finished epoch."""


def end_epoch(progress: Progress, record: EpochRecord, reporters: Iterable[Reporter]) -> None:
    """Note the best epoch so far, of equals the one trained longer, and let reporters hear."""
    is_best = record.hard_accuracy >= progress.best_accuracy
    if is_best:
        progress.best_accuracy, progress.best_epoch = record.hard_accuracy, record.epoch
    progress.seconds = progress.step_seconds = 0.0
    for reporter in reporters:
        reporter.on_epoch(record, is_best)


class ShouldStop(Protocol):
    """Ask whether to stop before the next step."""

    def __call__(self) -> bool:
        """Tell."""
        ...


def never() -> bool:
    """Do not stop."""
    return False
