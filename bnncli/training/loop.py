"""The training loop: one for every method, because methods are quantizers and optimizers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnncli.layers import set_progress
from bnncli.training.batches import Batches
from bnncli.training.evaluate import accuracy
from bnncli.training.flips import flip_rate, weight_codes
from bnncli.training.records import EpochRecord, Progress, ShouldStop, check_loss, end_epoch, never
from bnncli.training.schedules import set_rates
from bnncli.training.seeds import generator, mix, seed_default

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from bnncli.data import ImageData
    from bnncli.data.augment import Augment
    from bnncli.training.config import TrainSettings
    from bnncli.training.records import Reporter


@dataclass
class Trainer:
    """Everything that one run needs while it trains."""

    model: nn.Module
    optimizer: Optimizer
    data: ImageData
    augment: Augment
    settings: TrainSettings
    progress: Progress = field(default_factory=Progress)
    reporters: list[Reporter] = field(default_factory=list)
    should_stop: ShouldStop = never
    bfloat16: bool = False

    def __post_init__(self) -> None:
        self.device = next(self.model.parameters()).device
        self.batches = Batches(torch.from_numpy(self.data.train.images), self.settings.batch_size)
        self.labels = torch.from_numpy(self.data.train.labels)
        self.steps_per_epoch = len(self.labels) // self.settings.batch_size
        self.total_steps = self.steps_per_epoch * self.settings.epochs
        self.warmup_steps = round(self.settings.warmup_epochs * self.steps_per_epoch)

    def run(self) -> bool:
        """Train to the end, or until ``should_stop``; tell whether the end was reached."""
        progress = self.progress
        while progress.step < self.total_steps:
            epoch, first = divmod(progress.step, self.steps_per_epoch)
            began = time.perf_counter() - progress.seconds
            order = self.begin_epoch(epoch, resumed=first > 0)
            for index in range(first, self.steps_per_epoch):
                if self.should_stop():
                    progress.seconds = time.perf_counter() - began
                    return False
                self.step(order, index * self.settings.batch_size)
            self._finish_epoch(epoch, began)
        return True

    def begin_epoch(self, epoch: int, *, resumed: bool) -> Tensor:
        """Draw the epoch's order and start its tallies, or take them up again."""
        progress = self.progress
        steps, seed = self.steps_per_epoch, self.settings.seed
        self.step_seeds = [mix(seed, "step", epoch * steps + index) for index in range(steps)]
        order = torch.randperm(len(self.labels), generator=generator(seed, "order", epoch))
        order = order[: steps * self.settings.batch_size]
        self.epoch_labels = self.labels[order].to(self.device)
        if resumed:
            progress.predicted = progress.predicted.to(self.device)
            progress.loss_sum = progress.loss_sum.to(self.device)
        else:
            progress.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
            progress.codes = weight_codes(self.model)
            progress.predicted = torch.empty_like(self.epoch_labels)
        return order

    def step(self, order: Tensor, start: int) -> None:
        """Take one optimizer step on the images order[start : start + batch_size]."""
        progress, settings = self.progress, self.settings
        chosen = slice(start, start + settings.batch_size)
        seed_default(self.step_seeds[progress.step % self.steps_per_epoch], self.device)
        images = self.augment(self.batches.take(order, start), torch.default_generator)
        began = time.perf_counter()
        when = progress.step, self.total_steps, self.warmup_steps
        set_rates(self.optimizer, settings.schedule, *when)
        set_progress(self.model, progress.step / self.total_steps)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.model(images.to(self.device)).float()
        loss = F.cross_entropy(
            logits, self.epoch_labels[chosen], label_smoothing=settings.label_smoothing
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        progress.loss_sum += loss.detach()
        progress.step_seconds += time.perf_counter() - began
        torch.argmax(logits.detach(), dim=1, out=progress.predicted[chosen])
        progress.step += 1
        for reporter in self.reporters:
            reporter.on_step(progress.step, self.steps_per_epoch, loss.detach())

    def _finish_epoch(self, epoch: int, began: float) -> None:
        progress = self.progress
        loss = float(progress.loss_sum) / self.steps_per_epoch
        check_loss(loss, epoch, self.optimizer.param_groups[0]["lr"])
        validation_began = time.perf_counter()
        hard = accuracy(self.model, self.data.validation, form="hard")
        soft = accuracy(self.model, self.data.validation, form="soft")
        now = time.perf_counter()
        correct = progress.predicted == self.epoch_labels
        record = EpochRecord(
            epoch=epoch,
            loss=loss,
            train_accuracy=float(correct.float().mean()),
            hard_accuracy=hard,
            soft_accuracy=soft,
            flip_rate=flip_rate(progress.codes, weight_codes(self.model)),
            lr=self.optimizer.param_groups[0]["lr"],
            seconds=now - began,
            step_seconds=progress.step_seconds,
            validation_seconds=now - validation_began,
        )
        end_epoch(progress, record, self.reporters)
