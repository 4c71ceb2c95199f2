"""Scores: one number a weight that says how much the loss wants it lowered (raised, if negative).

Every method of the voting and flipping family is a score, a rule that turns scores into moves, and
what happens to the score of a weight that moved. All follow the gradient g = dL/dw; ``lr`` is the
rate that the run's schedule anneals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from bnncli.optim.masks import greater, ones_where

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

    def settle(self, state: State, fired: Tensor, rest: Tensor | None) -> None:
        """Put the scores of weights that fired (bool) to ``rest``; None is zero."""

    def largest(self, lr: float, gradient: float) -> float:
        """Give the bound of |m| while |g| ≤ ``gradient``."""


def zeros(weight: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Give zeros of a weight's shape with storage of their own; a port's layout has none."""
    return torch.zeros(weight.shape, dtype=dtype, device=weight.device)


def put(score: Tensor, fired: Tensor, rest: Tensor | None) -> None:
    """Set scores in place where weights fired.

    Shape: (...), (...) bool, (...) or None.
    """
    ones = ones_where(fired)
    score.mul_(1 - ones)
    if rest is not None:
        score.add_((rest * ones).to(score.dtype))


@dataclass(frozen=True)
class Gradient:
    """Score a weight by the gradient of this step: m = g, or lr · g where ``scaled``. No state."""

    scaled: bool = False

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Give the gradient."""
        return grad * lr if self.scaled else grad

    def settle(self, state: State, fired: Tensor, rest: Tensor | None) -> None:
        """Forget nothing."""

    def largest(self, lr: float, gradient: float) -> float:
        """Give the gradient's own bound."""
        return lr * gradient if self.scaled else gradient


@dataclass(frozen=True)
class Average:
    """Score by the moving average m ← (1 - γ) m + γ g; γ None is the rate.

    ``reset`` puts the score of a weight that fired to rest.
    """

    gamma: float | None = 0.1
    reset: bool = False

    def start(self, weight: Tensor) -> State:
        """Give zeros, float32."""
        return {"average": zeros(weight)}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Average."""
        return state["average"].lerp_(grad, lr if self.gamma is None else self.gamma)

    def settle(self, state: State, fired: Tensor, rest: Tensor | None) -> None:
        """Reset what fired, if so asked."""
        if self.reset:
            put(state["average"], fired, rest)

    def largest(self, lr: float, gradient: float) -> float:
        """Give the gradient's own bound: an average cannot pass it."""
        return gradient


@dataclass(frozen=True)
class Leak:
    """Score by a leaky accumulator m ← clamp(δ m + gain · u, ±bound), u = g, or sign g if ``vote``.

    |m| cannot pass gain · max|u| / (1 - δ): a threshold above that never fires. ``gain`` None is
    the rate. ``friction`` f lets only gradients with |g| > f in, ``density`` d a random share d of
    them. A weight that fired is put to rest.
    """

    decay: float = 0.9
    gain: float | None = 1.0
    vote: bool = False
    friction: float = 0.0
    density: float = 1.0
    bound: float = math.inf
    of: Score = field(default_factory=Gradient)

    def start(self, weight: Tensor) -> State:
        """Give zeros, float32, beside the state of the inner score."""
        return {"leak": zeros(weight), **self.of.start(weight)}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Leak and accumulate."""
        grad = self.of.update(state, grad, lr)
        votes = grad.sign() if self.vote else grad
        if self.friction > 0:
            votes = votes * ones_where(greater(grad.abs(), self.friction))
        if self.density < 1:
            votes = votes * ones_where(greater(self.density - torch.rand_like(votes), 0.0))
        leak = state["leak"]
        if self.decay != 1:
            leak.mul_(self.decay)
        leak.add_(votes, alpha=lr if self.gain is None else self.gain)
        return leak.clamp_(-self.bound, self.bound) if self.bound < math.inf else leak

    def settle(self, state: State, fired: Tensor, rest: Tensor | None) -> None:
        """Put what fired to rest."""
        self.of.settle(state, fired, rest)
        put(state["leak"], fired, rest)

    def largest(self, lr: float, gradient: float) -> float:
        """Sum the geometric series."""
        inner = self.of.largest(lr, gradient)
        if inner <= self.friction:
            return 0.0
        unit = (1.0 if self.vote else inner) * (lr if self.gain is None else self.gain)
        return min(unit / (1 - self.decay) if self.decay < 1 else math.inf, self.bound)


@dataclass(frozen=True)
class ShareLeak:
    """Score by m ← β m + lr · g, with β = 1 - the share of the tensor's weights that just fired.

    Busy tensors forget, quiet ones remember. Source: BOLD, algorithm 8.
    """

    def start(self, weight: Tensor) -> State:
        """Give zeros and β = 1."""
        return {"leak": zeros(weight), "kept": torch.ones((), device=weight.device)}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Leak and accumulate."""
        return state["leak"].mul_(state["kept"]).add_(grad, alpha=lr)

    def settle(self, state: State, fired: Tensor, rest: Tensor | None) -> None:
        """Put what fired to rest and count it."""
        put(state["leak"], fired, rest)
        state["kept"].copy_(1 - torch.count_nonzero(fired) / fired.numel())

    def largest(self, lr: float, gradient: float) -> float:
        """Give infinity: nothing leaks while nothing fires."""
        return math.inf if lr * gradient > 0 else 0.0


@dataclass(frozen=True)
class AdamStep:
    """Score by the step that Adam would take: m = lr · a / (1 - β1^t) / (sqrt(v / (1 - β2^t)) + ε).

    a ← β1 a + (1 - β1) g;   v ← β2 v + (1 - β2) g². Source: Kingma and Ba 2015, arXiv:1412.6980.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def start(self, weight: Tensor) -> State:
        """Give two averages and the number of steps."""
        return {
            "average": zeros(weight),
            "square": zeros(weight),
            "steps": torch.zeros((), dtype=torch.int64, device=weight.device),
        }

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Take Adam's step."""
        steps = state["steps"].add_(1)
        first = state["average"].lerp_(grad, 1 - self.beta1)
        second = state["square"].mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        spread = (second / (1 - self.beta2**steps)).sqrt_().add_(self.eps)
        return (first / spread).mul_(lr / (1 - self.beta1**steps))

    def settle(self, state: State, fired: Tensor, rest: Tensor | None) -> None:
        """Forget nothing."""

    def largest(self, lr: float, gradient: float) -> float:
        """Give the bound of Adam's step: lr · max(1, (1 - β1) / sqrt(1 - β2))."""
        return lr * max(1.0, (1 - self.beta1) / math.sqrt(1 - self.beta2)) if gradient > 0 else 0.0


@dataclass(frozen=True)
class Counter:
    """Score by an integer: c ← clamp(c + sign g, ±limit), in an int8 up to a limit of 127."""

    limit: int = 127

    def start(self, weight: Tensor) -> State:
        """Give zeros."""
        return {"count": zeros(weight, torch.int8 if self.limit <= 127 else torch.int32)}

    def update(self, state: State, grad: Tensor, lr: float) -> Tensor:
        """Count; what stands at the limit stays there."""
        count = state["count"]
        vote = grad.sign().to(count.dtype)
        # A vote beyond the limit is dropped before the sum, so that an int8 cannot wrap around.
        return count.add_(vote.mul_(torch.lt(count * vote, self.limit)))

    def settle(self, state: State, fired: Tensor, rest: Tensor | None) -> None:
        """Discharge."""
        put(state["count"], fired, rest)

    def largest(self, lr: float, gradient: float) -> float:
        """Give the limit."""
        return float(self.limit) if gradient > 0 else 0.0
