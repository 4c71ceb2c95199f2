"""The flipping family: weights without a latent, moved by scores and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.optim.flip import Flip
from bnncli.optim.registry import STORED, optimizer
from bnncli.optim.rules import Fire, Proportional, Relative, Rounded, Stepped, Threshold
from bnncli.optim.scores import Average, Counter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer

    from bnncli.quantizers import StoredQuantizer

    Stored = Sequence[tuple[nn.Parameter, StoredQuantizer]]


@optimizer("bop", trains=STORED, weights="bits", lr=1e-3)
def bop(weights: Stored, lr: float, *, threshold: float = 1e-7) -> Optimizer:
    """Bop: flip a weight when the average gradient agrees with it: m · w > τ.

    m ← (1 - γ) m + γ g with γ the rate, which the schedule anneals.
    Source: Helwegen et al. 2019, arXiv:1906.02107 (γ 1e-4, τ 1e-8 on CIFAR-10).
    """
    return Flip(weights, score=Average(None), rule=Threshold(threshold), lr=lr)


@optimizer("integer-voting", trains=STORED, weights="bits", lr=1.0)
def integer_voting(
    weights: Stored, lr: float, *, threshold: int = 10, limit: int = 127
) -> Optimizer:
    """Count the signs of gradients in one byte; at ±θ the weight takes the sign that won.

    c ← c + sign g; where |c| ≥ θ: w = -sign c, c = 0. The rate is not used.
    Source: IntegerVoting of leo-gan/binary-optimizers (int32, θ 10).
    """
    return Flip(weights, score=Counter(limit), rule=Fire(threshold), lr=lr)


@optimizer("swarm", trains=STORED, weights="swarm", lr=10.0)
def swarm(
    weights: Stored,
    lr: float,
    *,
    momentum: float = 0.0,
    cap: float = 0.5,
    relative: bool = False,
    mutation: float = 0.0,
) -> Optimizer:
    """Flip each agent that opposes -sign m with probability clamp(rate · |m|, 0, cap).

    m ← μ m + (1 - μ) g; ``relative`` divides |m| by its mean over the tensor, so that the rate does
    not depend on the gradient's scale. Source: Swarm of leo-gan/binary-optimizers (rate 10, cap .5).
    """
    rule = Relative(cap=cap) if relative else Proportional(cap=cap)
    return Flip(weights, score=Average(1 - momentum), rule=rule, lr=lr, mutation=mutation)


@optimizer("register", trains=STORED, weights="register", lr=1e4)
def register(
    weights: Stored,
    lr: float,
    *,
    momentum: float = 0.9,
    cap: float = 0.5,
    gain: float = 1e6,
    largest: float = 512.0,
) -> Optimizer:
    """Move registers by clamp(gain · |m|, 1, largest) levels with probability min(cap, rate · |m|).

    Source: register weights v0.3 of leo-gan/binary-optimizers (n = 16, μ .9).
    """
    rule = Stepped(lr, cap, gain, largest)
    return Flip(weights, score=Average(1 - momentum), rule=rule, lr=lr)


@optimizer("stochastic-register", trains=STORED, weights="register", lr=0.01)
def stochastic_register(
    weights: Stored, lr: float, *, momentum: float = 0.9, cap: float = 8.0
) -> Optimizer:
    """Move registers by lr · |m| / mean|m|, rounded at random to whole levels.

    m ← μ m + (1 - μ) g. Unbiased rounding keeps small steps: the expected move is that of SGD with
    momentum whose rate follows the gradient's scale (Gupta et al. 2015, arXiv:1502.02551).
    """
    return Flip(weights, score=Average(1 - momentum), rule=Rounded(cap), lr=lr)
