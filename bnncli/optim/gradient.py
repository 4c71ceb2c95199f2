"""Torch's own optimizers over every parameter; on latents they are the STE optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bnncli.optim.registry import EVERYTHING, optimizer

if TYPE_CHECKING:
    from torch.optim import Optimizer

Groups = list[dict[str, Any]]


@optimizer("sgd", trains=EVERYTHING, lr=0.1)
def sgd(groups: Groups, lr: float, *, momentum: float = 0.9) -> Optimizer:
    """SGD with momentum (default 0.9)."""
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True)


@optimizer("adam", trains=EVERYTHING, lr=1e-3)
def adam(
    groups: Groups, lr: float, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adam; weight decay is added to the gradient."""
    return torch.optim.Adam(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)


@optimizer("adamw", trains=EVERYTHING, lr=1e-3)
def adamw(
    groups: Groups, lr: float, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adam with decoupled weight decay."""
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)
