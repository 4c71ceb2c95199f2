"""Populations and registers: weights of many stored bits, moved by scores and rules.

All agents of a weight share its gradient; P in the sources is their mean of it, m here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.errors import unknown_name
from bnncli.optim.flip import Flip
from bnncli.optim.registry import STORED, optimizer
from bnncli.optim.rules import Fire, Logarithmic, Proportional, Relative, Rounded, Stepped
from bnncli.optim.scores import AdamStep, Average, Counter, Gradient

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from bnncli.optim.flipping import Stored
    from bnncli.optim.scores import Score


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
    score = Average(1 - momentum) if momentum > 0 else Gradient()
    return Flip(weights, score=score, rule=rule, lr=lr, mutation=mutation)


@optimizer("bit-logic", trains=STORED, weights="swarm", lr=50.0)
def bit_logic(
    weights: Stored, lr: float, *, cap: float = 1.0, mutation: float = 0.005
) -> Optimizer:
    """Flip opposing agents with probability clamp(rate · |g|, 0, cap), and any with the mutation's.

    An agent that both draws name flips twice, so stays. The schedule lowers the rate but not the
    mutation, which in the end undoes what was learned; ``mutation=0`` keeps it.
    Source: BitLogic of leo-gan/binary-optimizers (sensitivity 50 or 500, mutation .005; cap .2 later).
    """
    return Flip(weights, score=Gradient(), rule=Proportional(cap=cap), lr=lr, mutation=mutation)


@optimizer("adaptive-bit", trains=STORED, weights="swarm", lr=0.02)
def adaptive_bit(weights: Stored, lr: float) -> Optimizer:
    """Flip opposing agents with probability clamp(lr · |g| / (mean|g| + 1e-8), 0, 1).

    Source: AdaptiveBit of leo-gan/binary-optimizers (base .02 or .05, ``--schedule constant``).
    """
    return Flip(weights, score=Gradient(), rule=Relative(), lr=lr)


@optimizer("swarm-log", trains=STORED, weights="swarm", lr=1.0)
def swarm_log(weights: Stored, lr: float, *, threshold: int = 10, chance: float = 0.1) -> Optimizer:
    """Count the signs of gradients; at ±θ opposing agents flip with a fixed chance, and c = 0.

    c ← c + sign g, one byte a weight up to a threshold of 127. The rate is not used.
    Source: SwarmLog (static) of leo-gan/binary-optimizers (int32, θ 10, chance .1).
    """
    rule = Fire(threshold, chance)
    return Flip(weights, score=Counter(max(127, threshold)), rule=rule, lr=lr)


@optimizer("swarm-log-dynamic", trains=STORED, weights="swarm", lr=1.0)
def swarm_log_dynamic(
    weights: Stored,
    lr: float,
    *,
    threshold: float = 4.0,
    chance: float = 0.05,
    slope: float = 0.05,
    span: float = 6.0,
    discharge: bool = True,
) -> Optimizer:
    """Count the signs of gradients; beyond ±4 opposing agents flip with a chance that grows by ln c.

    c ← c + sign g; where |c| > 4: chance p = .05 + .05 ln(1 + (|c| - 4) / 6), then c ← trunc((1 - p) c).
    The rate is not used. Source: SwarmLog (dynamic) of leo-gan/binary-optimizers, which computes this
    discharge and discards it: its counters (int32) only ever sum the signs, as here with
    ``discharge`` false. With it, a constant sign holds |c| between 4 and 5.
    """
    rule = Logarithmic(threshold, chance, slope, span, discharge)
    score = Counter(127 if discharge else 2**31 - 1)
    return Flip(weights, score=score, rule=rule, lr=lr)


@optimizer("unary", trains=STORED, weights="swarm", lr=1e4)
def unary(weights: Stored, lr: float, *, momentum: float = 0.9, cap: float = 0.15) -> Optimizer:
    """Flip opposing agents with probability min(cap, rate · |m|), m the average gradient.

    Source: unary weights v0.1 of leo-gan/binary-optimizers (32 agents, rate 1e4, cap .15, μ .9).
    """
    rule = Proportional(cap=cap)
    return Flip(weights, score=Average(1 - momentum), rule=rule, lr=lr)


@optimizer("unary-link", trains=STORED, weights="swarm", lr=1e-3)
def unary_link(
    weights: Stored,
    lr: float,
    *,
    step: str = "adam",
    gain: float = 10.0,
    cap: float = 0.25,
    noise: float = 0.001,
) -> Optimizer:
    """Flip opposing agents with probability clamp(gain · |Δ|, 0, cap) + noise, Δ Adam's or SGD's step.

    A zero step flips nothing. The source reads weights as means of votes
    (``--weight-option readout=analog``) or by majority.
    Source: unary link v0.8 of leo-gan/binary-optimizers (gain 10, cap .25, noise .001; SGD lr .1).
    """
    steps: dict[str, Score] = {"adam": AdamStep(), "sgd": Gradient(scaled=True)}
    if step not in steps:
        raise unknown_name("step of unary-link", step, steps)
    rule = Proportional(gain, cap, noise)
    return Flip(weights, score=steps[step], rule=rule, lr=lr)


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

    m ← μ m + (1 - μ) g. The rate is constant in the source (``--schedule constant``).
    Source: register weights v0.3 of leo-gan/binary-optimizers (n = 16, μ .9).
    """
    rule = Stepped(None, cap, gain, largest)
    return Flip(weights, score=Average(1 - momentum), rule=rule, lr=lr)


@optimizer("ternary-register", trains=STORED, weights="ternary-register", lr=1e4)
def ternary_register(
    weights: Stored,
    lr: float,
    *,
    momentum: float = 0.9,
    cap: float = 0.5,
    gain: float = 1e6,
    largest: float = 64.0,
) -> Optimizer:
    """Move registers of trits by clamp(gain · |m|, 1, 64) levels with probability min(cap, rate · |m|).

    The same as ``register`` with a smaller largest step.
    Source: register weights v0.4 of leo-gan/binary-optimizers (n = 10).
    """
    return register(weights, lr, momentum=momentum, cap=cap, gain=gain, largest=largest)


@optimizer("stochastic-register", trains=STORED, weights="register", lr=0.01)
def stochastic_register(
    weights: Stored, lr: float, *, momentum: float = 0.9, cap: float = 8.0
) -> Optimizer:
    """Move registers by lr · |m| / mean|m|, rounded at random to whole levels.

    m ← μ m + (1 - μ) g. Unbiased rounding keeps small steps: the expected move is that of SGD with
    momentum whose rate follows the gradient's scale (Gupta et al. 2015, arXiv:1502.02551).
    """
    return Flip(weights, score=Average(1 - momentum), rule=Rounded(cap), lr=lr)
