"""Rules: which weights move, from their scores. The moves themselves are the store's.

A score m > 0 asks for a lower weight, so the wanted direction is -sign m (0 asks for +1) and
m · w > 0 speaks for flipping a weight of sign w. What other texts call agreement, a = g · s, is
m · w here: a score that is put to ``rest`` · w' at a flip w' = -w is an agreement put to ``rest``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from bnncli.optim.masks import at_least, greater, ones_where
from bnncli.optim.thresholds import Theta, as_theta
from bnncli.quantizers import BinaryGrid

if TYPE_CHECKING:
    from bnncli.optim.scores import Score, State
    from bnncli.quantizers import StoredQuantizer


@dataclass
class Context:
    """What a rule knows of a weight beside its score.

    ``lr`` is the rate now, ``first_lr`` that of the run before its schedule, ``progress`` goes from
    0 to 1 over training.
    """

    store: StoredQuantizer
    state: State
    lr: float
    first_lr: float
    progress: float

    @cached_property
    def signs(self) -> Tensor:
        """Give ±1 for each weight as it stands, maybe the store itself: do not write to it.

        Shape: that of the weight, int8 or float32.
        """
        if isinstance(self.store.grid, BinaryGrid):
            return self.store.stored_codes()  # these are signs
        return self.store.signs()


class Decision(NamedTuple):
    """Who moves: ``chance`` is bool or in [0, 1], for weights (or agents) that oppose ``direction``.

    ``fired`` says whose score settles; None means those that moved. It settles at ``rest`` (None:
    zero). ``direction`` None is -sign m. ``steps`` is how many levels a weight of many levels moves.
    """

    chance: Tensor
    fired: Tensor | None = None
    direction: Tensor | None = None
    steps: Tensor | None = None
    rest: Tensor | None = None


class Rule(Protocol):
    """Turns scores into moves."""

    def start(self, weight: Tensor) -> State:
        """Give the rule's own state before the first step."""

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Say which weights move."""

    def needed(self, progress: float) -> float:
        """Give the |m| below which no weight moves at this point of the run, 0 for any."""


class Stateless:
    """Mix in for rules that keep nothing and move weights of any score."""

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def needed(self, progress: float) -> float:
        """Give 0."""
        return 0.0


def reachable(
    score: Score, rule: Rule, *, lr: float = 1.0, gradient: float = math.inf, progress: float = 0.0
) -> float:
    """Give how many times over the score can reach the rule's threshold: max|m| / θ.

    Below 1 no weight can ever move, by arithmetic, whatever the data; at 1 exactly only a rule
    that asks for m ≥ θ moves any. ``gradient`` is the largest |g| to expect.
    """
    needed, largest = rule.needed(progress), score.largest(lr, gradient)
    return math.inf if needed <= 0 else largest / needed


@dataclass(frozen=True)
class Threshold:
    """Flip where m · w > θ (≥ if ``inclusive``); then m = -refractory · θ · w for the new w.

    A refractory rest makes a weight that flipped slow to flip back.
    """

    theta: float | Theta
    inclusive: bool = False
    refractory: float = 0.0

    def start(self, weight: Tensor) -> State:
        """Give the threshold's state."""
        return as_theta(self.theta).start(weight)

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Compare, then let the threshold adapt."""
        theta = as_theta(self.theta)
        level = theta.value(context.state, context.progress)
        agreement = score * context.signs
        chosen = at_least(agreement, level) if self.inclusive else greater(agreement, level)
        theta.adapt(context.state, chosen)
        rest = context.signs * (self.refractory * level) if self.refractory else None
        return Decision(chosen, rest=rest)

    def needed(self, progress: float) -> float:
        """Give θ."""
        return as_theta(self.theta).lowest(progress)


@dataclass(frozen=True)
class Fire:
    """Set w = -sign m where |m| ≥ θ (> if ``strict``), each with ``chance``; all of these settle.

    A weight that has the wanted sign already also fires: its score begins again.
    """

    theta: float
    chance: float = 1.0
    strict: bool = False

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Compare."""
        size = score.abs()
        fired = greater(size, self.theta) if self.strict else at_least(size, self.theta)
        return Decision(fired if self.chance >= 1 else ones_where(fired) * self.chance, fired)

    def needed(self, progress: float) -> float:
        """Give θ."""
        return self.theta


@dataclass(frozen=True)
class Logarithmic:
    """Move where |m| > start with probability p = base + slope · ln(1 + (|m| - start) / span).

    ``discharge`` then leaves (1 - p) of the score, rounded towards zero.
    """

    start_at: float = 4.0
    base: float = 0.05
    slope: float = 0.05
    span: float = 6.0
    discharge: bool = True

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Compute the probability."""
        size = score.abs()
        fired = greater(size, self.start_at)
        excess = size.float().sub_(self.start_at).clamp_(min=0)
        chance = excess.div_(self.span).log1p_().mul_(self.slope).add_(self.base).clamp_(max=1)
        chance.mul_(ones_where(fired))
        if not self.discharge:
            return Decision(chance, torch.zeros_like(fired))
        return Decision(chance, fired, rest=(score * (1 - chance)).trunc_())

    def needed(self, progress: float) -> float:
        """Give where it starts."""
        return self.start_at


@dataclass(frozen=True)
class Proportional(Stateless):
    """Move with probability clamp(rate · |m|, 0, cap) + noise; a rate of None is the run's.

    ``noise`` moves no weight whose score is zero.
    """

    rate: float | None = None
    cap: float = 0.5
    noise: float = 0.0

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Scale and cap."""
        rate = context.lr if self.rate is None else self.rate
        chance = (score.abs() * rate).clamp_(max=self.cap)
        if self.noise > 0:
            chance.add_(score.sign().abs_(), alpha=self.noise)
        return Decision(chance)


@dataclass(frozen=True)
class Relative(Stateless):
    """Move with probability clamp(rate · |m| / (mean|m| + 1e-8), 0, cap), whatever g's scale."""

    rate: float | None = None
    cap: float = 1.0

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Scale by the mean over the weight's tensor."""
        rate = context.lr if self.rate is None else self.rate
        size = score.abs()
        return Decision(size.mul_(rate / (size.mean() + 1e-8)).clamp_(max=self.cap))


@dataclass(frozen=True)
class Top(Stateless):
    """Flip the ⌊rate · N⌋ weights of a tensor with the largest m · w, even where that is negative.

    A rate of None is the run's; with ``last`` it goes from the run's first rate r0 to that value
    as r0 · (last / r0)^progress instead. ``agreeing`` leaves weights with m · w ≤ 0 alone.
    """

    rate: float | None = None
    last: float | None = None
    agreeing: bool = False

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Rank over the whole tensor."""
        rate = context.lr if self.rate is None else self.rate
        if self.last is not None:
            rate = context.first_lr * (self.last / context.first_lr) ** context.progress
        k = min(int(rate * score.numel()), score.numel())
        chosen = torch.zeros_like(score, dtype=torch.bool)
        agreement = score * context.signs
        if k > 0:
            chosen.view(-1)[agreement.flatten().topk(k, sorted=False).indices] = True
        if self.agreeing:
            chosen.logical_and_(greater(agreement, 0.0))
        return Decision(chosen, direction=context.signs.neg())


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
        size.div_(size.mean() + self.floor).clamp_(max=self.cap)
        steps = size.mul_(context.lr * (context.store.grid.n_levels - 1) / 2)
        steps.add_(torch.rand_like(steps)).floor_()
        return Decision(at_least(steps, 1.0), steps=steps)


@dataclass(frozen=True)
class Stepped(Stateless):
    """Move with probability min(cap, rate · |m|) by clamp(gain · |m|, 1, largest) levels.

    A rate of None is the run's.
    """

    rate: float | None = None
    cap: float = 0.5
    gain: float = 1e6
    largest: float = 512.0

    def decide(self, score: Tensor, context: Context) -> Decision:
        """Scale twice."""
        size = score.abs()
        steps = (size * self.gain).clamp_(1, self.largest).round_()
        rate = context.lr if self.rate is None else self.rate
        return Decision(size.mul_(rate).clamp_(max=self.cap), steps=steps)
