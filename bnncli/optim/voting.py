"""The voting family: latents that move by the sign of a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bnncli.errors import UsageError
from bnncli.optim.latent import (
    AboveAverage,
    Approach,
    Confident,
    Fires,
    LatentSign,
    Pull,
    Sparse,
)
from bnncli.optim.registry import LATENT, optimizer
from bnncli.optim.scores import Average, Gradient, Leak
from bnncli.optim.thresholds import Steered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer

    Latents = Sequence[nn.Parameter]


@optimizer("signum", trains=LATENT, lr=2e-3)
def signum(
    weights: Latents,
    lr: float,
    *,
    momentum: float = 0.9,
    clip: float = 1.5,
    confidence: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Momentum voting: p ← clamp(p - lr · sign m, ±clip), m the average of gradients.

    m ← μ m + (1 - μ)(g + weight_decay · p); where ``confidence`` c > 0, only |m| > c votes.
    Source: signSGD, Bernstein et al. 2018, arXiv:1802.04434; MomentumVoting of
    leo-gan/binary-optimizers (lr 1e-3 … 5e-3, μ .9, clip 1.2 … 1.5).
    """
    return LatentSign(
        weights,
        score=Average(1 - momentum),
        gate=Confident(confidence),
        lr=lr,
        clip=clip,
        weight_decay=weight_decay,
    )


@optimizer("ema-flip", trains=LATENT, lr=0.06)
def ema_flip(
    weights: Latents,
    lr: float,
    *,
    momentum: float = 0.9,
    kappa: float = 0.3,
    clip: float = 1.5,
) -> Optimizer:
    """Signum where the average stands out: |m| > κ r, r the running mean of |m|.

    m ← μ m + (1 - μ) g; r ← .95 r + .05 mean|m|; p ← clamp(p - lr · sign m, ±clip) where it holds.
    Source: EMAFlip of leo-gan/binary-optimizers (lr .06 → .004 by cosine, κ .30, clip 1.5).
    """
    return LatentSign(
        weights, score=Average(1 - momentum), gate=AboveAverage(kappa), lr=lr, clip=clip
    )


@optimizer("sign-sgd", trains=LATENT, lr=1e-3)
def sign_sgd(weights: Latents, lr: float) -> Optimizer:
    """Step by the sign of the gradient: p ← p - lr · sign g, without a clip.

    Source: Bernstein et al. 2018, arXiv:1802.04434; "simple voting" of leo-gan/binary-optimizers
    (lr 1e-3), where plain SGD trains all other parameters.
    """
    return LatentSign(weights, score=Gradient(), lr=lr, clip=0.0)


@optimizer("cosine-voting", trains=LATENT, lr=0.1)
def cosine_voting(
    weights: Latents, lr: float, *, momentum: float = 0.9, clip: float = 1.5
) -> Optimizer:
    """Signum that starts at a large rate and leaves the rest to a cosine schedule.

    m ← μ m + (1 - μ) g; p ← clamp(p - lr · sign m, ±clip). The cosine is the run's schedule, the
    default one, and ends at 0. Source: CosineVoting of leo-gan/binary-optimizers (.1 → .005).
    """
    return LatentSign(weights, score=Average(1 - momentum), lr=lr, clip=clip)


@optimizer("voting", trains=LATENT, lr=0.1)
def voting(weights: Latents, lr: float, *, push: float = 0.3, clip: float = 1.0) -> Optimizer:
    """Add votes up in [-1, 1] and pull latents to the winner: p ← p + push · (sign A - p).

    A ← clamp(A - lr · sign g, ±1), from 0; p is clamped to ±clip; sign 0 = 0 pulls to zero.
    Source: VotingOptimizer of leo-gan/binary-optimizers (lr .1, push .3 in the package, .5 before);
    SGD at the same rate trains its other parameters.
    """
    score = Leak(decay=1.0, gain=None, vote=True, bound=1.0)
    return LatentSign(weights, score=score, move=Pull(push), lr=lr, clip=clip)


@optimizer("voting-reference", trains=LATENT, lr=0.1)
def voting_reference(weights: Latents, lr: float) -> Optimizer:
    """Add votes up in [-1, 1] and put each weight at the winner: p = sign A.

    A ← clamp(A - lr · sign g, ±1), from 0; sign 0 = 0, which is +1 to a binary quantizer, so a
    gradient of exactly zero makes a weight positive. Source: the first VotingOptimizer of
    leo-gan/binary-optimizers (lr .1).
    """
    return voting(weights, lr, push=1.0)


@optimizer("sparse-sign", trains=LATENT, lr=0.06)
def sparse_sign(
    weights: Latents,
    lr: float,
    *,
    momentum: float = 0.9,
    density: float = 1.0,
    last_density: float = 0.55,
    hold: float = 0.75,
    biased: bool = True,
    confidence: float = 1e-3,
    clip: float = 1.5,
) -> Optimizer:
    """Signum on a random share d of the weights, with steps of lr / d.

    m ← μ m + (1 - μ) g; a weight with |m| > confidence steps with probability
    clamp(d · |m| / mean|m|, 0, 1) (d itself unless ``biased``). d stays at ``density`` for the share
    ``hold`` of the run, then falls along a line to ``last_density``.
    Source: SparseSign of leo-gan/binary-optimizers (lr .06 → .005, d 1 → .55 after 75 %, clip 1.5).
    """
    for name, share in (("density", density), ("last_density", last_density)):
        _check_share("sparse-sign", name, share)
    gate = Sparse(density, last_density, hold, biased, confidence)
    return LatentSign(weights, score=Average(1 - momentum), gate=gate, lr=lr, clip=clip)


@optimizer("hybrid", trains=LATENT, lr=0.12)
def hybrid(
    weights: Latents,
    lr: float,
    *,
    momentum: float = 0.9,
    decay: float = 0.97,
    threshold: float = 0.04,
    target: float = 0.08,
    push: float = 0.65,
    density: float = 1.0,
    clip: float = 1.5,
) -> Optimizer:
    """Average, accumulate with a leak, and pull latents where the sum passes a steered threshold.

    m ← μ m + (1 - μ) g; a ← δ a - lr · m; where |a| > θ: p ← p + push · (sign a - p), a = 0. θ goes
    × 0.9 where fewer than half of ``target`` of a tensor fire in a step, × 1.1 where more than twice
    (in [1e-4, 10]); a target of 0 keeps it. ``density`` < 1 accumulates a random share only.
    Source: HybridAccumulator and its V2 of leo-gan/binary-optimizers (lr .12 → .008, δ .97, θ .04,
    push .65, density .85).
    """
    _check_share("hybrid", "density", density)
    score = Leak(decay, None, density=density, of=Average(1 - momentum))
    steered = Steered(threshold, target, low=0.5, high=2.0, down=0.9, up=1.1, least=1e-4, most=10.0)
    gate = Fires(steered if target > 0 else threshold)
    return LatentSign(weights, score=score, gate=gate, move=Pull(push), lr=lr, clip=clip)


@optimizer("diode", trains=LATENT, lr=1e-3)
def diode(
    weights: Latents,
    lr: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.99,
    amplitude: float = 1e-3,
) -> Optimizer:
    """Diode: let latents, drawn anew in (0, 1e-3) at their signs, approach -lr · sign of an average.

    m ← lerp(m, g, 1 - β1); p ← lerp(p, -lr · sign m, 1 - β2); w = sign p (0 → +1), so |p| never
    passes max(lr, amplitude). Source: bitorch-engine of GreenBitAI (β .99 and .9999, lr 1e-4), which
    keeps w and -p. With those β no latent crosses zero within thousands of steps; the defaults
    here are for runs of hundreds.
    """
    with torch.no_grad():
        for weight in weights:
            drawn = torch.rand_like(weight).mul_(amplitude)
            weight.copy_(drawn.addcmul_(drawn, (weight < 0).float(), value=-2))
    move = Approach(1 - beta2)
    return LatentSign(weights, score=Average(1 - beta1), move=move, lr=lr, clip=0.0)


def _check_share(whose: str, name: str, share: float) -> None:
    if not 0 < share <= 1:
        raise UsageError(f"optimizer {whose}: {name}={share:g}: expected a share in (0, 1]")
