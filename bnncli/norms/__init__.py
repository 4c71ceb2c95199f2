"""Norms by name. Evaluation of each is a fixed sequence of correctly rounded float32 operations.

Freezing turns a norm followed by a sign into an integer threshold. That is exact only when the norm
gives the same bits for the same input whatever the tensor's shape, layout or processor, so each
step is one elementwise operation that cannot be contracted into a fused multiply-add.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import nn

from bnncli.errors import UsageError, unknown_name
from bnncli.norms.channels import channel_mean, per_channel
from bnncli.norms.homeostatic import (
    HomeostaticScaleShift,
    HomeostaticThreshold,
    MeanMatchingThreshold,
    SimpleCentering,
)
from bnncli.norms.normalized import BatchNorm, RMSNorm
from bnncli.options import check_options, options_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "NORMS",
    "SHIFTS",
    "BatchNorm",
    "HomeostaticScaleShift",
    "HomeostaticThreshold",
    "MeanMatchingThreshold",
    "RMSNorm",
    "SimpleCentering",
    "channel_mean",
    "check_norm_options",
    "make_norm",
    "per_channel",
]

NORMS: dict[str, Callable[..., nn.Module]] = {
    "none": lambda num_features: nn.Identity(),
    "batch": BatchNorm,
    "rms": RMSNorm,
    "threshold": HomeostaticThreshold,
    "mean-threshold": MeanMatchingThreshold,
    "centering": SimpleCentering,
    "scale-shift": HomeostaticScaleShift,
}
"""Every norm by name."""

SHIFTS = frozenset({"none", "threshold", "mean-threshold", "centering"})
"""Norms that leave the spread of their input: a sum of ±1 products needs a scale elsewhere."""


def check_norm_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options as the norm takes them; an unknown name or a wrong type is an error."""
    if name not in NORMS:
        raise unknown_name("norm", name, NORMS)
    checked = check_options(f"norm {name}", NORMS[name], options)
    for option, value in checked.items():
        if options_of(NORMS[name])[option] is not None:
            continue
        # Numbers whose default follows from another option, such as the rule.
        if type(value) not in {int, float}:
            raise UsageError(f"norm {name}: option {option}={value!r}: expected float")
        checked[option] = float(value)
    return checked


def make_norm(
    name: str, num_features: int, *, fan_in: int | None = None, **options: Any
) -> nn.Module:
    """Build a registered norm; ``fan_in`` counts the products in each sum that it gets."""
    checked = check_norm_options(name, options)
    if "fan_in" in inspect.signature(NORMS[name]).parameters:
        checked["fan_in"] = fan_in
    return NORMS[name](num_features, **checked)
