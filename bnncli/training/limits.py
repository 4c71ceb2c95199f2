"""The range of every number that a user may set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from bnncli.errors import UsageError

if TYPE_CHECKING:
    from bnncli.training.config import Settings


class Range(NamedTuple):
    """The smallest and largest value; ``open_low`` excludes the smallest itself."""

    low: float
    high: float
    open_low: bool = False

    def holds(self, value: float) -> bool:
        """Tell whether a value lies inside; NaN never does."""
        above = value > self.low if self.open_low else value >= self.low
        return above and value <= self.high

    def __str__(self) -> str:
        """Say it as a reader would."""
        start = f"more than {self.low:g}" if self.open_low else f"at least {self.low:g}"
        return f"{start} and at most {self.high:g}" if math.isfinite(self.high) else start


RANGES: dict[str, Range] = {
    "model.widths": Range(1, 2**16),
    "model.width_factor": Range(0, 16, open_low=True),
    "model.dropout": Range(0, 0.99),
    "data.validation": Range(1, 2**31),
    "data.split_seed": Range(0, 2**63 - 1),
    "train.epochs": Range(1, 10**6),
    "train.restarts": Range(0, 1000),
    "train.rounding": Range(0, 1),
    "train.batch_size": Range(2, 2**20),  # batch statistics of one image do not exist
    "train.lr": Range(0, 1e6, open_low=True),
    "train.plain_lr": Range(0, 1e6, open_low=True),
    "train.momentum": Range(0, 0.9999),
    "train.weight_decay": Range(0, 100),
    "train.latent_clip": Range(0, 1e6),
    "train.label_smoothing": Range(0, 0.99),
    "train.seed": Range(0, 2**63 - 1),
}


def check_ranges(settings: Settings) -> None:
    """Refuse a number outside its range, before anything is read or written."""
    for name, limits in RANGES.items():
        section, key = name.split(".")
        given = getattr(getattr(settings, section), key)
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and not limits.holds(value):
                raise UsageError(f"{name}={value}: expected {limits}")
    train = settings.train
    if not 0 <= train.warmup_epochs < train.epochs:
        raise UsageError(
            f"train.warmup_epochs={train.warmup_epochs:g}: expected at least 0 and fewer than the "
            f"{train.epochs} epochs"
        )
