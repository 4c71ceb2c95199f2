"""Rules: which weights move, from their scores. The moves themselves are the store's.

A score m > 0 asks for a lower weight, so the wanted direction is -sign m (0 asks for +1) and
m · w > 0 speaks for flipping a weight of sign w.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bnncli.optim.scores import State


class Context(NamedTuple):
    """What a rule knows of a weight beside its score.

    ``signs`` are ±1, ``progress`` goes from 0 to 1 over training, ``n_levels`` is that of the grid.
    """

    signs: Tensor
    state: State
    lr: float
    progress: float
    n_levels: int


class Decision(NamedTuple):
    """Who moves: ``chance`` is bool or in [0, 1], for weights (or agents) that oppose ``direction``.

    ``fired`` says whose score settles; None means those that moved. ``direction`` None is -sign m.
    ``steps`` is how many levels a weight of many levels moves.
    """

    chance: Tensor
    fired: Tensor | None = None
    direction: Tensor | None = None
    steps: Tensor | None = None


class Rule(Protocol):
    """Turns scores into moves."""

    def start(self, weight: Tensor) -> State:
        """Give the rule's own state before the first step."""

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Say which weights move."""


class Stateless:
    """Mix in for rules that keep nothing."""

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}


@dataclass(frozen=True)
class Threshold(Stateless):
    """Flip where m · w > θ."""

    theta: float

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Compare."""
        return Decision(score * context.signs > self.theta)


@dataclass(frozen=True)
class Fire(Stateless):
    """Set w = -sign m where |m| ≥ θ, each with ``chance``; all of these settle, flipped or not."""

    theta: float
    chance: float = 1.0

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Compare."""
        fired = score.abs() >= self.theta
        return Decision(fired if self.chance >= 1 else fired * self.chance, fired)


@dataclass(frozen=True)
class Proportional(Stateless):
    """Move with probability clamp(rate · |m|, 0, cap); a rate of None is the run's."""

    rate: float | None = None
    cap: float = 0.5

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Scale and cap."""
        rate = context.lr if self.rate is None else self.rate
        return Decision((score.abs() * rate).clamp_(max=self.cap))


@dataclass(frozen=True)
class Relative(Stateless):
    """Move with probability clamp(rate · |m| / (mean|m| + 1e-8), 0, cap), whatever g's scale."""

    rate: float | None = None
    cap: float = 1.0

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Scale by the mean over the weight's tensor."""
        rate = context.lr if self.rate is None else self.rate
        size = score.abs()
        return Decision((size * (rate / (size.mean() + 1e-8))).clamp_(max=self.cap))


@dataclass(frozen=True)
class Top(Stateless):
    """Flip the ⌊rate · N⌋ weights with the largest m · w, even where that is negative."""

    rate: float | None = None

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Rank over the whole tensor."""
        rate = context.lr if self.rate is None else self.rate
        k = int(rate * score.numel())
        chosen = torch.zeros_like(score, dtype=torch.bool)
        if k > 0:
            ranked = (score * context.signs).flatten()
            chosen.view(-1)[ranked.topk(k).indices] = True
        return Decision(chosen, direction=-context.signs)


@dataclass(frozen=True)
class Rounded(Stateless):
    """Move a weight of many levels by Δ = lr · m / (mean|m| + ε), rounded at random to whole levels.

    Levels lie 2 / (n - 1) apart. Rounding at random is right on average, so small steps are not
    lost; ``cap`` bounds |m| / mean|m|.
    """

    cap: float = 8.0
    floor: float = 1e-12

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Scale, then round up with the probability of the remainder."""
        size = score.abs()
        size = (size / (size.mean() + self.floor)).clamp_(max=self.cap)
        steps = size.mul_(context.lr * (context.n_levels - 1) / 2)
        steps = torch.floor(steps + torch.rand_like(steps))
        return Decision(steps >= 1, steps=steps)


@dataclass(frozen=True)
class Stepped(Stateless):
    """Move with probability min(cap, rate · |m|) by clamp(gain · |m|, 1, largest) levels."""

    rate: float = 1e4
    cap: float = 0.5
    gain: float = 1e6
    largest: float = 512.0

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Scale twice."""
        size = score.abs()
        steps = (size * self.gain).clamp_(1, self.largest).round_()
        return Decision((size * self.rate).clamp_(max=self.cap), steps=steps)
