"""What a budget gives each method on each data set: settings whose epochs or widths fit it."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from bnncli.compare.methods import laid_over
from bnncli.compare.runner import ONE_RUN_A_PROCESS, cell_data, torch_threads
from bnncli.errors import BnnError, UsageError
from bnncli.models import find_arch
from bnncli.training.building import pick_device
from bnncli.training.config import Settings
from bnncli.training.evaluate import accuracy
from bnncli.training.experiment import resolve
from bnncli.training.images import image_training
from bnncli.training.trainers import make_trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bnncli.compare.matrix import Matrix
    from bnncli.compare.methods import NamedMethod
    from bnncli.compare.runner import Conditions
    from bnncli.data import ImageData
    from bnncli.training.loop import Trainer

CPU = torch.device("cpu")
WIDEST = 2**16
FACTOR_STEP = 1 / 512
"""Steps of the width factor: one channel of a layer that has 512 at factor 1."""
LARGEST_FACTOR = 16
WARM_UP_STEPS = 3
TIMED_STEPS = 50
TIMED_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a method gets on a data set: its settings (all but the seed) and what they cost.

    ``parameter_bytes`` counts the storages of parameters and stored weights in training.
    """

    method: str
    settings: Settings
    parameter_bytes: int
    epoch_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values; of the settings, those that a budget may choose."""
        model = self.settings.model
        values = {
            "method": self.method,
            "data": self.settings.data.name,
            "epochs": self.settings.train.epochs,
            "parameter_bytes": self.parameter_bytes,
            "widths": model.widths and list(model.widths),
            "width_factor": model.width_factor,
            "epoch_seconds": self.epoch_seconds,
        }
        return {key: value for key, value in values.items() if value is not None}


@contextmanager
def naming(method: str, data: str) -> Iterator[None]:
    """Put the method and the data set before the message of an error."""
    try:
        yield
    except BnnError as error:
        where = f"method {method!r} on {data}"
        raise BnnError(f"{where}: {error}", exit_code=error.exit_code) from error


def settings_of(matrix: Matrix, method: NamedMethod, data: str) -> Settings:
    """Lay a method over the base, on a data set and with the budget's epochs; check and resolve."""
    partial = laid_over(matrix.base, method.settings)
    partial = laid_over(partial, {"data": {"name": data}, "train": {"seed": matrix.seeds[0]}})
    if matrix.budget.kind == "epochs":
        partial = laid_over(partial, {"train": {"epochs": matrix.budget.amount}})
    return resolve(Settings().updated(partial))


def share_of(matrix: Matrix, method: NamedMethod, data: str, conditions: Conditions) -> Share:
    """Check that a method can be trained on a data set, and fit its widths to a budget of bits.

    Everything a user can get wrong is found here: the data are loaded, model and optimizer built.
    """
    with naming(method.name, data):
        settings = settings_of(matrix, method, data)
        images = cell_data(settings, data_dir=conditions.data_dir, download=conditions.download)
        if len(images.validation) == 0:
            raise UsageError("validation=0: the best epoch is chosen on it; give at least one")
        if matrix.budget.kind == "bits":
            settings = fit_width(settings, images, int(matrix.budget.amount))
        return Share(
            method=method.name,
            settings=settings,
            parameter_bytes=parameter_bytes(settings, images),
        )


def parameter_bytes(settings: Settings, data: ImageData) -> int:
    """Measure the bytes of a method's parameters and stored weights by building it."""
    trainer = make_trainer(settings, data, device=CPU)
    return trainer.memory(peak_of="process").parameter_bytes


def fit_width(settings: Settings, data: ImageData, bits: int) -> Settings:
    """Give the widest network whose weights take at most so many bits while training.

    Hidden widths keep their proportions, or the width factor changes, whichever the architecture
    has; the size grows with either, so the widest is found by bisection.
    """
    make, start, limit = _scaled(settings)

    def fits(size: int) -> bool:
        return 8 * parameter_bytes(make(size), data) <= bits

    if not fits(1):
        least = 8 * parameter_bytes(make(1), data)
        raise UsageError(
            f"budget bits={bits}: the narrowest network of arch {settings.model.arch} takes "
            f"{least} bits of weights in training; give more bits"
        )
    return make(largest(fits, start, limit))


def _scaled(settings: Settings) -> tuple[Callable[[int], Settings], int, int]:
    """Give how to build a width from a number, the number of the settings, and the largest."""
    model = settings.model
    options = find_arch(model.arch).options

    def with_model(**values: Any) -> Settings:
        return resolve(replace(settings, model=replace(model, **values)))

    if "widths" in options:
        widths = tuple(model.widths or options["widths"])
        widest = max(widths)
        return (
            lambda size: with_model(
                widths=tuple(max(1, round(width * size / widest)) for width in widths)
            ),
            widest,
            WIDEST,
        )
    if "width_factor" in options:
        factor = model.width_factor or options["width_factor"]
        return (
            lambda size: with_model(width_factor=size * FACTOR_STEP),
            max(1, round(factor / FACTOR_STEP)),
            round(LARGEST_FACTOR / FACTOR_STEP),
        )
    raise UsageError(
        f"arch {model.arch} has a fixed width, so that a budget of bits cannot be met; "
        f"choose an arch with widths, such as mlp"
    )


def largest(fits: Callable[[int], bool], start: int, limit: int) -> int:
    """Find the largest number up to ``limit`` that fits; 1 does, and a larger never fits better.

    The search doubles from ``start``, so nothing much larger than what fits is ever tried.
    """
    low, high = 1, min(max(start, 2), limit)
    while fits(high):
        low = high
        if high == limit:
            return limit
        high = min(2 * high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def calibrate(settings: Settings, conditions: Conditions) -> float:
    """Measure what an epoch takes where this runs: real steps and one validation.

    The median of up to 50 steps after 3 to warm up, times the steps of an epoch.
    """
    with ONE_RUN_A_PROCESS, torch_threads(conditions.threads):
        data = cell_data(settings, data_dir=conditions.data_dir, download=conditions.download)
        trainer = image_training(settings, data, device=pick_device(conditions.device))
        step = statistics.median(_step_times(trainer))
        began = time.perf_counter()
        for form in ("hard", "soft"):
            accuracy(trainer.model, data.validation, form=form)
        return step * trainer.steps_per_epoch + time.perf_counter() - began


def _step_times(trainer: Trainer) -> list[float]:
    order = trainer.begin_epoch(0, resumed=False)
    times: list[float] = []
    ends = time.perf_counter() + TIMED_SECONDS
    for index in range(min(WARM_UP_STEPS + TIMED_STEPS, trainer.steps_per_epoch)):
        began = time.perf_counter()
        trainer.step(order, index * trainer.settings.batch_size)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        times.append(time.perf_counter() - began)
        if len(times) > WARM_UP_STEPS and time.perf_counter() > ends:
            break
    return times[WARM_UP_STEPS:] or times


def epochs_within(seconds: float, epoch_seconds: float) -> int:
    """Give the whole number of epochs that comes closest to a time, at least one."""
    return max(1, round(seconds / epoch_seconds))


def timed(share: Share, seconds: float, epoch_seconds: float) -> Share:
    """Give a share the epochs that its seconds buy."""
    with naming(share.method, share.settings.data.name):
        train = replace(share.settings.train, epochs=epochs_within(seconds, epoch_seconds))
        settings = resolve(replace(share.settings, train=train))
    return replace(share, settings=settings, epoch_seconds=epoch_seconds)
