"""Scales: the real factor between a code and its level.

A scale maps a latent tensor to a tensor that broadcasts against it, or to None for exactly 1, which
spares a pass over the weights. The first axis of a weight is the output axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bnncli.errors import UsageError, unknown_name


class Scale(Protocol):
    """The factor that turns codes into levels."""

    def __call__(self, latent: Tensor) -> Tensor | None:
        """Give the factor, or None for 1.

        Shape: (out, ...) -> () or (out, 1, ...).
        """


@dataclass(frozen=True)
class NoScale:
    """Use levels equal to the codes."""

    def __call__(self, latent: Tensor) -> Tensor | None:
        """Give None."""
        return None


@dataclass(frozen=True)
class MeanAbs:
    """Use mean |w|, over the whole tensor or per output.

    alpha = ||W||_1 / n minimizes ||W - alpha sign(W)||^2 (XNOR-Net, Rastegari et al. 2016,
    arXiv:1603.05279). ``floor`` keeps an all-zero row from dividing by zero in ternary rounding.
    """

    per_output: bool = False
    floor: float = 1e-8

    def __call__(self, latent: Tensor) -> Tensor:
        """Give mean |w|.

        Shape: (out, ...) -> () per tensor, (out, 1, ...) per output.
        """
        w = latent.detach().abs()
        if not self.per_output:
            return w.mean().clamp_(min=self.floor)
        return w.mean(dim=tuple(range(1, w.dim())), keepdim=True).clamp_(min=self.floor)


@dataclass(frozen=True)
class FanIn:
    """Use the constant 1 / sqrt(fan_in), which keeps a sum of ±1 products near unit variance.

    For networks without a norm; the tutorial form of BinaryConnect divides its outputs so.
    ``factor`` multiplies it, such as by the number of agents whose mean was taken.
    """

    factor: float = 1.0

    def __call__(self, latent: Tensor) -> Tensor:
        """Give 1 / sqrt(inputs of one output).

        Shape: (out, ...) -> ().
        """
        fan_in = latent[0].numel()
        return torch.tensor(self.factor * fan_in**-0.5, dtype=latent.dtype, device=latent.device)


def constant_scale(scale: Scale, whose: str) -> Scale:
    """Give a scale back; refuse one that is computed from real-valued weights, which are not there."""
    if isinstance(scale, NoScale | FanIn):
        return scale
    name = next((name for name, known in SCALES.items() if known == scale), str(scale))
    raise UsageError(
        f"scale {name} is computed from real-valued weights, but {whose}; "
        f"give --scale none or --scale fan-in"
    )


SCALES: dict[str, Scale] = {
    "none": NoScale(),
    "mean-abs": MeanAbs(),
    "mean-abs-per-output": MeanAbs(per_output=True),
    "fan-in": FanIn(),
}
"""Every scale by name."""


def make_scale(name: str) -> Scale:
    """Look a scale up by its registered name."""
    if name not in SCALES:
        raise unknown_name("scale", name, SCALES)
    return SCALES[name]
