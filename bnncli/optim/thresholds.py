"""Thresholds: how large a score must be, fixed, rising over the run, or steered by what fires."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bnncli.optim.scores import State


class Theta(Protocol):
    """A threshold θ, one for each weight tensor."""

    def start(self, weight: Tensor) -> State:
        """Give the threshold's state before the first step."""

    def value(self, state: State, progress: float) -> float | Tensor:
        """Give θ at this step: a number, or a tensor of shape ()."""

    def adapt(self, state: State, fired: Tensor) -> None:
        """Hear which weights (bool) passed it in this step."""

    def lowest(self, progress: float) -> float:
        """Give the smallest value that θ can have at this point of the run (0 … 1)."""


@dataclass(frozen=True)
class Constant:
    """Keep θ."""

    theta: float

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def value(self, state: State, progress: float) -> float:
        """Give θ."""
        return self.theta

    def adapt(self, state: State, fired: Tensor) -> None:
        """Do nothing."""

    def lowest(self, progress: float) -> float:
        """Give θ."""
        return self.theta


@dataclass(frozen=True)
class Ramp:
    """Go along a line: θ = first + (last - first) · progress."""

    first: float
    last: float

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def value(self, state: State, progress: float) -> float:
        """Interpolate."""
        return self.first + (self.last - self.first) * progress

    def adapt(self, state: State, fired: Tensor) -> None:
        """Do nothing."""

    def lowest(self, progress: float) -> float:
        """Interpolate: the line is what it is."""
        return self.first + (self.last - self.first) * progress


@dataclass(frozen=True)
class Steered:
    """Steer the share of a tensor's weights that fires in a step towards ``target`` T.

    share < low · T: θ falls;   share > high · T: θ rises;   θ stays in [least, most].
    A fall or rise multiplies θ by ``down`` or ``up`` where ``factors``, else adds them.
    """

    first: float
    target: float
    low: float
    high: float
    down: float
    up: float
    least: float
    most: float = math.inf
    factors: bool = True

    def start(self, weight: Tensor) -> State:
        """Give the first θ."""
        return {"theta": torch.full((), self.first, device=weight.device)}

    def value(self, state: State, progress: float) -> Tensor:
        """Give θ."""
        return state["theta"].clone()

    def adapt(self, state: State, fired: Tensor) -> None:
        """Compare the share with its target."""
        share = torch.count_nonzero(fired) / fired.numel()
        falls, rises = share < self.low * self.target, share > self.high * self.target
        theta = state["theta"]
        if self.factors:
            theta.mul_(1 + falls * (self.down - 1) + rises * (self.up - 1))
        else:
            theta.add_(falls * self.down + rises * self.up)
        theta.clamp_(self.least, self.most)

    def lowest(self, progress: float) -> float:
        """Give the bound, which a share of zero reaches."""
        return min(self.first, self.least)


def as_theta(theta: float | Theta) -> Theta:
    """Give a threshold; a number stands for a fixed one."""
    return Constant(float(theta)) if isinstance(theta, int | float) else theta
