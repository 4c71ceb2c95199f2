"""The flipping family: weights of one stored bit each, moved by scores and rules.

Sources that keep 32 agents a weight give each its own accumulator; here a weight is one bit, which
is such a population of one. Those sources train norms by SGD at 0.01 with gradients clamped to ±1;
here the plain optimizer does (Adam at 1e-3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.optim.flip import Flip
from bnncli.optim.registry import STORED, optimizer
from bnncli.optim.rules import Fire, Threshold, Top
from bnncli.optim.scores import Average, Counter, Gradient, Leak, ShareLeak
from bnncli.optim.thresholds import Ramp, Steered

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


@optimizer("bold", trains=STORED, weights="bits", lr=150.0)
def bold(weights: Stored, lr: float) -> Optimizer:
    """BOLD: flip where m · w ≥ 1; m ← β m + lr · g forgets by the share of weights that flip.

    m = 0 at a flip; β = 1 - the share of the tensor's weights that flipped in the step before.
    Source: BOLD, Nguyen et al. 2024, arXiv:2405.16339, algorithm 8 (rate 150 without BatchNorm, 12
    with it, for images larger than the ones here).
    """
    return Flip(weights, score=ShareLeak(), rule=Threshold(1.0, inclusive=True), lr=lr)


@optimizer("integer-voting", trains=STORED, weights="bits", lr=1.0)
def integer_voting(
    weights: Stored, lr: float, *, threshold: int = 10, limit: int = 127
) -> Optimizer:
    """Count the signs of gradients in one byte; at ±θ the weight takes the sign that won.

    c ← c + sign g; where |c| ≥ θ: w = -sign c, c = 0. The rate is not used.
    Source: IntegerVoting of leo-gan/binary-optimizers (int32, θ 10).
    """
    return Flip(weights, score=Counter(limit), rule=Fire(threshold), lr=lr)


@optimizer("threshold-if", trains=STORED, weights="bits", lr=1.0)
def threshold_if(
    weights: Stored, lr: float, *, threshold: float = 0.02, decay: float = 0.99
) -> Optimizer:
    """Accumulate a ← δ a - lr · g; where |a| > θ the weight takes the sign of a, and a = 0.

    With |g| ≤ G nothing passes θ ≥ lr · G / (1 - δ): at the source's rate of 0.1 few weights fire.
    Source: ThresholdIF of leo-gan/binary-optimizers (lr .1; θ .1, δ .9 or θ .02, δ .99).
    """
    rule = Fire(threshold, strict=True)
    return Flip(weights, score=Leak(decay, None), rule=rule, lr=lr)


@optimizer("integrate-fire", trains=STORED, weights="bits", lr=1000.0)
def integrate_fire(
    weights: Stored, lr: float, *, threshold: float = 10.0, decay: float = 0.9
) -> Optimizer:
    """Accumulate agreement a ← δ a + lr · g · w; flip where a > θ, and a = 0.

    The rate is the source's gain, constant there (``--schedule constant``) and 100: with |g| ≤ G
    nothing passes θ ≥ lr · G / (1 - δ), so that few weights fire.
    Source: IntegrateFire of leo-gan/binary-optimizers (θ 10 or 5, δ .9).
    """
    return Flip(weights, score=Leak(decay, None), rule=Threshold(threshold), lr=lr)


@optimizer("adaptive-if", trains=STORED, weights="bits", lr=1000.0)
def adaptive_if(
    weights: Stored,
    lr: float,
    *,
    threshold: float = 1.0,
    target: float = 0.005,
    decay: float = 0.9,
) -> Optimizer:
    """Integrate and fire with a threshold for each tensor that steers the share of flips.

    a ← δ a + lr · g · w; flip where a > θ, and a = 0. θ × 0.95 (at least 1e-3) where less than half
    of ``target`` flips in a step, × 1.05 where more than twice. The rate is the source's gain of
    1000, constant there (``--schedule constant``). Source: AdaptiveIF of leo-gan/binary-optimizers
    (θ 1, T .005 or θ 10, T .001), which steers one θ for all tensors.
    """
    theta = Steered(threshold, target, low=0.5, high=2.0, down=0.95, up=1.05, least=1e-3)
    return Flip(weights, score=Leak(decay, None), rule=Threshold(theta), lr=lr)


@optimizer("bounded-vote", trains=STORED, weights="bits", lr=1.0)
def bounded_vote(
    weights: Stored, lr: float, *, threshold: float = 8.0, decay: float = 0.95
) -> Optimizer:
    """Accumulate votes a ← δ a + lr · sign g · w; flip where a > θ, then rest at a = -θ/2.

    Votes bound |a| by lr / (1 - δ), 20 with these defaults; the rate is 1 throughout in the source
    (``--schedule constant``). Source: BoundedVote of leo-gan/binary-optimizers (θ 5 or 8, δ .95).
    """
    rule = Threshold(threshold, refractory=0.5)
    return Flip(weights, score=Leak(decay, None, vote=True), rule=rule, lr=lr)


@optimizer("lif", trains=STORED, weights="bits", lr=1.0)
def lif(weights: Stored, lr: float, *, threshold: float = 6.0, decay: float = 0.9) -> Optimizer:
    """Leaky integrate and fire: bounded votes with a shorter memory and a lower threshold.

    a ← δ a + lr · sign g · w; flip where a > θ, then a = -θ/2. |a| ≤ lr / (1 - δ) = 10; the rate is
    1 throughout in the source (``--schedule constant``).
    Source: BioLogic LIF of leo-gan/binary-optimizers (θ 6, δ .9).
    """
    return bounded_vote(weights, lr, threshold=threshold, decay=decay)


@optimizer("friction-vote", trains=STORED, weights="bits", lr=1.0)
def friction_vote(
    weights: Stored,
    lr: float,
    *,
    threshold: float = 8.0,
    last_threshold: float = 20.0,
    friction: float = 1e-4,
    decay: float = 0.9,
) -> Optimizer:
    """Bounded votes of gradients with |g| > f alone, against a threshold that rises over the run.

    a ← δ a + lr · sign g · w where |g| > f; flip where a > θ, then a = -θ/2; θ goes from 8 to 20
    along a line. |a| ≤ lr / (1 - δ) = 10, so after a sixth of the run nothing can flip any more.
    Source: FrictionVote of leo-gan/binary-optimizers (f 1e-4, δ .9), rate 1 throughout.
    """
    score = Leak(decay, None, vote=True, friction=friction)
    rule = Threshold(Ramp(threshold, last_threshold), refractory=0.5)
    return Flip(weights, score=score, rule=rule, lr=lr)


@optimizer("adaptive-vote", trains=STORED, weights="bits", lr=1.0)
def adaptive_vote(
    weights: Stored,
    lr: float,
    *,
    threshold: float = 5.0,
    target: float = 1e-4,
    decay: float = 0.5,
    least: float = 2.0,
) -> Optimizer:
    """Votes against a threshold for each tensor that adds and subtracts to steer the share of flips.

    a ← δ a + lr · sign g · w; flip where a > θ, and a = 0. θ + 0.5 where more than twice ``target``
    flips in a step, - 0.1 where less than a fifth, in [least, 50]. |a| ≤ lr / (1 - δ) = 2 = least:
    with these defaults nothing ever flips. Source: AdaptiveVote of leo-gan/binary-optimizers
    (θ 5, T 1e-4, δ .5), which steers one θ for all tensors; rate 1 throughout.
    """
    theta = Steered(
        *(threshold, target),
        low=0.2,
        high=2.0,
        down=-0.1,
        up=0.5,
        least=least,
        most=50.0,
        factors=False,
    )
    return Flip(weights, score=Leak(decay, None, vote=True), rule=Threshold(theta), lr=lr)


@optimizer("rank", trains=STORED, weights="bits", lr=0.01)
def rank(weights: Stored, lr: float, *, agreeing: bool = False) -> Optimizer:
    """Flip the share lr of each tensor's weights with the largest g · w.

    The source flips k = ⌊lr · N⌋ weights whatever the signs; ``agreeing`` spares those with
    g · w ≤ 0. The rate is constant in the source (``--schedule constant``).
    Source: RankBased of leo-gan/binary-optimizers (rate .01 or .02).
    """
    return Flip(weights, score=Gradient(), rule=Top(agreeing=agreeing), lr=lr)


@optimizer("momentum-rank", trains=STORED, weights="bits", lr=0.05)
def momentum_rank(
    weights: Stored,
    lr: float,
    *,
    momentum: float = 0.9,
    last: float = 0.001,
    agreeing: bool = False,
) -> Optimizer:
    """Flip the share r of each tensor's weights with the largest m · w, and set their m to 0.

    m ← μ m + (1 - μ) g; r = lr · (last / lr)^progress takes the place of the run's schedule, and
    changes with each step (in the source with each epoch). ``agreeing`` spares m · w ≤ 0.
    Source: MomentumRank of leo-gan/binary-optimizers (μ .9 or .8, .05 → .001 or .005).
    """
    score = Average(1 - momentum, reset=True)
    return Flip(weights, score=score, rule=Top(last=last, agreeing=agreeing), lr=lr)
