"""Scores: one number a weight that says how much the loss wants it lowered (raised, if negative).

Every method of the voting and flipping family is a score, a rule that turns scores into moves, and
what happens to the score of a weight that moved. All follow the gradient g = dL/dw; ``lr`` is the
rate that the run's schedule anneals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

State = dict[str, Tensor]
"""The tensors that a method keeps for a weight; saved with the run and counted as its memory."""


class Score(Protocol):
    """A running opinion of the gradient about each weight."""

    def start(self, weight: Tensor) -> State:
        """Give the state before the first step, for a weight of this shape."""

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Take a gradient in; give the score, which may be a tensor of the state itself.

        Shape: that of the weight.
        """

    def settle(self, state: State, fired: Tensor, signs: Tensor) -> None:
        """Hear which weights fired (bool), and the signs (±1) that weights have now."""


@dataclass(frozen=True)
class Gradient:
    """Score a weight by the gradient of this step: m = g. No state."""

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Give the gradient."""
        return grad

    def settle(self, state: State, fired: Tensor, signs: Tensor) -> None:
        """Forget nothing."""


@dataclass(frozen=True)
class Average:
    """Score by the moving average m ← (1 - γ) m + γ g; γ None is the rate.

    ``reset`` puts the score of a weight that fired back to zero.
    """

    gamma: float | None = 0.1
    reset: bool = False

    def start(self, weight: Tensor) -> State:
        """Give zeros, float32."""
        return {"average": torch.zeros(weight.shape, device=weight.device)}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Average."""
        return state["average"].lerp_(grad, lr if self.gamma is None else self.gamma)

    def settle(self, state: State, fired: Tensor, signs: Tensor) -> None:
        """Reset what fired, if so asked."""
        if self.reset:
            state["average"].masked_fill_(fired, 0.0)


@dataclass(frozen=True)
class Leak:
    """Score by a leaky accumulator m ← δ m + gain · u, with u = g, or sign g where ``vote``.

    |m| cannot pass gain · max|u| / (1 - δ): a threshold above that never fires. ``gain`` None is
    the rate. ``friction`` f lets only gradients with |g| > f in. After firing m = rest · w, so a
    negative rest makes a weight slow to flip back.
    """

    decay: float = 0.9
    gain: float | None = 1.0
    vote: bool = False
    friction: float = 0.0
    rest: float = 0.0
    of: Score = field(default_factory=Gradient)

    def start(self, weight: Tensor) -> State:
        """Give zeros, float32, beside the state of the inner score."""
        return {"leak": torch.zeros(weight.shape, device=weight.device), **self.of.start(weight)}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Leak and accumulate."""
        grad = self.of.update(state, grad, lr)
        votes = grad.sign() if self.vote else grad
        if self.friction > 0:
            votes = votes * (grad.abs() > self.friction)
        gain = lr if self.gain is None else self.gain
        return state["leak"].mul_(self.decay).add_(votes, alpha=gain)

    def settle(self, state: State, fired: Tensor, signs: Tensor) -> None:
        """Put what fired to rest."""
        self.of.settle(state, fired, signs)
        rest = signs * self.rest if self.rest else torch.zeros_like(signs)
        state["leak"].copy_(torch.where(fired, rest, state["leak"]))


@dataclass(frozen=True)
class Counter:
    """Score by an integer: c ← clamp(c + sign g, ±limit), in an int8 up to a limit of 127.

    A weight that fired begins again at zero.
    """

    limit: int = 127

    def start(self, weight: Tensor) -> State:
        """Give zeros."""
        dtype = torch.int8 if self.limit <= 127 else torch.int32
        return {"count": torch.zeros(weight.shape, dtype=dtype, device=weight.device)}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Count; what stands at the limit stays there."""
        count = state["count"]
        # Clamped first, so that an int8 cannot wrap around.
        vote = grad.sign().to(count.dtype)
        count.clamp_(1 - self.limit, self.limit - 1).add_(vote)
        return count

    def settle(self, state: State, fired: Tensor, signs: Tensor) -> None:
        """Discharge."""
        state["count"].masked_fill_(fired, 0)
