"""Learning-rate schedules: pure functions of progress."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from bnncli.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer


class Factors(NamedTuple):
    """What multiplies the initial learning rate and the initial weight decay."""

    lr: float
    weight_decay: float = 1.0


def constant(progress: float) -> Factors:
    """Keep the rate."""
    return Factors(1.0)


def cosine(progress: float) -> Factors:
    """Fall from 1 to 0 along (1 + cos(pi t)) / 2 (arXiv:1608.03983)."""
    return Factors((1 + math.cos(math.pi * progress)) / 2)


def linear(progress: float) -> Factors:
    """Fall from 1 to 0 along a straight line."""
    return Factors(1 - progress)


def step(progress: float) -> Factors:
    """Divide the rate by 10 at one half and again at three quarters."""
    return Factors(0.1 ** ((progress >= 0.5) + (progress >= 0.75)))


def two_step(progress: float) -> Factors:
    """Fall from 1 to 2/3 in the first half, then from 2/3 to 0 with weight decay off.

    The schedule of BitNet b1.58's training notes: rate 1.5e-3 to 1e-3, then to 0.
    """
    if progress < 0.5:
        return Factors(1 - 2 / 3 * progress)
    return Factors(4 / 3 * (1 - progress), 0.0)


SCHEDULES: dict[str, Callable[[float], Factors]] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "step": step,
    "two-step": two_step,
}


def factors_at(name: str, step_index: int, total_steps: int, warmup_steps: int) -> Factors:
    """Give the factors for one step; the first ``warmup_steps`` steps rise linearly to 1.

    The schedule proper runs over the steps that remain after the warm-up.
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    if step_index < warmup_steps:
        return Factors((step_index + 1) / (warmup_steps + 1))
    progress = (step_index - warmup_steps) / max(1, total_steps - warmup_steps)
    return SCHEDULES[name](progress)


def set_rates(
    optimizer: Optimizer, name: str, step_index: int, total_steps: int, warmup_steps: int
) -> None:
    """Give each parameter group its rate and weight decay of one step, and how far training is."""
    lr, decay = factors_at(name, step_index, total_steps, warmup_steps)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * lr
        group["weight_decay"] = group["initial_weight_decay"] * decay
        group["progress"] = step_index / total_steps
