"""The voting family: latents that move by the sign of a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.optim.latent import AboveAverage, Confident, LatentSign
from bnncli.optim.registry import LATENT, optimizer
from bnncli.optim.scores import Average

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer


@optimizer("signum", trains=LATENT, lr=2e-3)
def signum(
    weights: Sequence[nn.Parameter],
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
    weights: Sequence[nn.Parameter],
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
