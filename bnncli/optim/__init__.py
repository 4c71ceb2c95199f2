"""Optimizers by name, and the parameter groups that they work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.errors import UsageError, unknown_name
from bnncli.layers import Annealed
from bnncli.optim import flipping, gradient, populations, voting
from bnncli.optim.combined import Combined
from bnncli.optim.groups import ParameterGroups, claim_once, group_parameters
from bnncli.optim.latent_clip import clip_latent
from bnncli.optim.registry import EVERYTHING, LATENT, OPTIMIZERS, STORED, OptimizerPreset
from bnncli.optim.rules import reachable
from bnncli.options import check_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from torch.optim import Optimizer

__all__ = [
    "EVERYTHING",
    "LATENT",
    "OPTIMIZERS",
    "STORED",
    "Combined",
    "OptimizerPreset",
    "ParameterGroups",
    "claim_once",
    "clip_latent",
    "find_optimizer",
    "flipping",
    "gradient",
    "group_parameters",
    "make_optimizer",
    "populations",
    "reachable",
    "voting",
]


def find_optimizer(name: str) -> OptimizerPreset:
    """Look an optimizer up by name."""
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]


def make_optimizer(
    model: nn.Module,
    name: str,
    *,
    lr: float | None = None,
    options: Mapping[str, Any] | None = None,
    weight_decay: float = 0.0,
    latent_clip: float = 1.0,
    plain_optimizer: str | None = None,
    plain_options: Mapping[str, Any] | None = None,
    plain_lr: float | None = None,
) -> Optimizer:
    """Build a registered optimizer over a model's groups, with another for what it does not claim.

    Weight decay reaches the ``decayed`` group alone; ``latent_clip`` 0 leaves latents unbounded
    (optimizers of latents have a clip of their own among their options).
    """
    preset = find_optimizer(name)
    checked = check_options(f"optimizer {name}", preset.make, options or {})
    groups = group_parameters(model)
    _check_claims(preset, groups)
    rate = preset.lr if lr is None else lr
    if preset.trains == EVERYTHING:
        if plain_optimizer is not None or plain_lr is not None or plain_options:
            raise UsageError(
                f"optimizer {name} trains every parameter; drop --plain-optimizer, --plain-lr and "
                f"--plain-option"
            )
        optimizer = preset.make(_torch_groups(groups, weight_decay), lr=rate, **checked)
        if latent_clip > 0 and groups.latent:
            clip_latent(optimizer, [p for _, p in groups.latent], latent_clip)
        for module in model.modules():
            if isinstance(module, Annealed) and module.bound > 0:
                clip_latent(optimizer, list(module.parameters(recurse=False)), module.bound)
    else:
        parts = [preset.make(_claimed(preset, groups), lr=rate, **checked)]
        rest = _torch_groups(groups.rest, weight_decay)
        if rest:
            parts.append(_plain(preset, rest, plain_optimizer, plain_lr, plain_options or {}))
        optimizer = Combined(parts)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
        group["initial_weight_decay"] = group.get("weight_decay", 0.0)
    return optimizer


def _plain(
    preset: OptimizerPreset,
    rest: list[dict[str, Any]],
    name: str | None,
    lr: float | None,
    options: Mapping[str, Any],
) -> Optimizer:
    """Build the optimizer of what a preset does not claim; the preset's own has its own rate."""
    plain = find_optimizer(name or preset.plain[0])
    if plain.trains != EVERYTHING:
        raise UsageError(f"plain optimizer {plain.name} trains {plain.trains}; give adam or sgd")
    usual = preset.plain[1] if plain.name == preset.plain[0] else plain.lr
    checked = check_options(f"plain optimizer {plain.name}", plain.make, options)
    return plain.make(rest, lr=usual if lr is None else lr, **checked)


def _check_claims(preset: OptimizerPreset, groups: ParameterGroups) -> None:
    """Refuse weights that an optimizer cannot train, in words of the command line."""
    has = {LATENT: bool(groups.latent), STORED: bool(groups.stored)}
    takes = {EVERYTHING: (LATENT,), LATENT: (LATENT,), STORED: (STORED,)}[preset.trains]
    for kind, present in has.items():
        if present and kind not in takes:
            able = (kind, EVERYTHING) if kind == LATENT else (kind,)
            fitting = ", ".join(p.name for p in OPTIMIZERS.values() if p.trains in able)
            other = f"give --weights {preset.weights}" if preset.weights else "give other weights"
            raise UsageError(
                f"optimizer {preset.name} trains {preset.trains}, but the network has {kind}; "
                f"{other}, or one of these optimizers: {fitting}"
            )
    if preset.trains != EVERYTHING and not has[preset.trains]:
        weights = preset.weights or "binary"
        raise UsageError(
            f"optimizer {preset.name} trains {preset.trains}, but the network has none; "
            f"give --weights {weights}"
        )


def _claimed(preset: OptimizerPreset, groups: ParameterGroups) -> list[Any]:
    if preset.trains == LATENT:
        return [p for _, p in groups.latent]
    return [(p, store) for _, p, store in groups.stored]


def _torch_groups(groups: ParameterGroups, weight_decay: float) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = [
        {"params": [p for _, p in groups.latent], "weight_decay": 0.0},
        {"params": [p for _, p in groups.decayed], "weight_decay": weight_decay},
        {"params": [p for _, p in groups.plain], "weight_decay": 0.0},
    ]
    return [group for group in listed if group["params"]]
