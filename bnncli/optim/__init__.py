"""Optimizers by name, and the parameter groups that they work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bnncli.errors import UsageError, unknown_name
from bnncli.optim.groups import ParameterGroups, claim_once, group_parameters
from bnncli.optim.latent_clip import clip_latent

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from torch.optim import Optimizer

__all__ = [
    "OPTIMIZERS",
    "OptimizerPreset",
    "ParameterGroups",
    "claim_once",
    "clip_latent",
    "group_parameters",
    "make_optimizer",
]


@dataclass(frozen=True)
class OptimizerPreset:
    """A named optimizer: how to build it from torch parameter groups, and its usual rate."""

    build: Callable[..., Optimizer]
    lr: float
    momentum: bool
    summary: str


def _sgd(groups: list[dict[str, Any]], lr: float, momentum: float) -> Optimizer:
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True)


def _adam(groups: list[dict[str, Any]], lr: float) -> Optimizer:
    return torch.optim.Adam(groups, lr=lr, fused=True)


def _adamw(groups: list[dict[str, Any]], lr: float) -> Optimizer:
    return torch.optim.AdamW(groups, lr=lr, fused=True)


OPTIMIZERS: dict[str, OptimizerPreset] = {
    "sgd": OptimizerPreset(_sgd, 0.1, True, "SGD with momentum (default 0.9)"),
    "adam": OptimizerPreset(_adam, 1e-3, False, "Adam; weight decay is added to the gradient"),
    "adamw": OptimizerPreset(_adamw, 1e-3, False, "Adam with decoupled weight decay"),
}


def make_optimizer(
    model: nn.Module,
    name: str,
    *,
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float = 0.0,
    latent_clip: float = 1.0,
) -> Optimizer:
    """Build a registered optimizer over a model's groups and clip the latent weights.

    Weight decay reaches the ``decayed`` group alone; ``latent_clip`` 0 leaves latents unbounded.
    """
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    preset = OPTIMIZERS[name]
    options: dict[str, float] = {}
    if preset.momentum:
        options["momentum"] = 0.9 if momentum is None else momentum
    elif momentum is not None:
        raise UsageError(f"optimizer {name} takes no momentum; drop it or choose sgd")
    groups = group_parameters(model)
    torch_groups = [
        {"params": [p for _, p in groups.latent], "weight_decay": 0.0},
        {"params": [p for _, p in groups.decayed], "weight_decay": weight_decay},
        {"params": [p for _, p in groups.plain], "weight_decay": 0.0},
    ]
    rate = preset.lr if lr is None else lr
    optimizer = preset.build([g for g in torch_groups if g["params"]], lr=rate, **options)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
        group["initial_weight_decay"] = group["weight_decay"]
    if latent_clip > 0 and groups.latent:
        clip_latent(optimizer, [p for _, p in groups.latent], latent_clip)
    return optimizer
