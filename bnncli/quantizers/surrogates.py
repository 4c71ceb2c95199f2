"""Surrogate gradients: what stands in for the derivative of a rounding step.

Each surrogate is the derivative of a named relaxed function, so that training's backward pass and
the *soft* form of a network (:meth:`Surrogate.relaxed`) always belong to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bnncli.errors import UsageError, unknown_name


class Surrogate(Protocol):
    """The derivative that replaces d(quantized)/dx, and the function it is the derivative of."""

    def factor(self, x: Tensor) -> Tensor | None:
        """Give the surrogate derivative at ``x``, or None where it is 1 everywhere.

        Shape: (...) -> (...).
        """

    def relaxed(self, x: Tensor) -> Tensor:
        """Give the function whose derivative is :meth:`factor`.

        Shape: (...) -> (...).
        """


@dataclass(frozen=True)
class Identity:
    """Pass the gradient straight through: factor(x) = 1, relaxed(x) = x.

    The plain straight-through estimator (Bengio et al. 2013, arXiv:1308.3432).
    """

    def factor(self, x: Tensor) -> Tensor | None:
        """Give None: the factor is 1 everywhere."""
        return None

    def relaxed(self, x: Tensor) -> Tensor:
        """Give x."""
        return x


@dataclass(frozen=True)
class Clipped:
    """Pass the gradient where |x| <= clip_value: factor = 1[|x| <= c], relaxed = clamp(x, -c, c).

    The bounds are inclusive: a latent weight clipped to exactly ±c must still be able to move.
    Source: Hubara et al. 2016, arXiv:1602.02830.
    """

    clip_value: float = 1.0

    def __post_init__(self) -> None:
        if not self.clip_value > 0:
            raise UsageError(f"clipped surrogate: clip_value={self.clip_value}; give a value > 0")

    def factor(self, x: Tensor) -> Tensor:
        """Give 1 inside the closed interval and 0 outside."""
        return (x.abs() <= self.clip_value).to(x.dtype)

    def relaxed(self, x: Tensor) -> Tensor:
        """Give clamp(x, -clip_value, clip_value)."""
        return x.clamp(-self.clip_value, self.clip_value)


@dataclass(frozen=True)
class ApproxSign:
    """Use the triangle max(0, 2 - 2|x|), the derivative of a piecewise parabola from -1 to 1.

    relaxed(x) = 2x - x|x| on [-1, 1], ±1 outside.
    Source: Bi-Real Net, Liu et al. 2018, arXiv:1808.00278.
    """

    def factor(self, x: Tensor) -> Tensor:
        """Give max(0, 2 - 2|x|)."""
        return (2 - 2 * x.abs()).clamp_(min=0)

    def relaxed(self, x: Tensor) -> Tensor:
        """Give 2x - x|x| after clamping x to [-1, 1]."""
        x = x.clamp(-1, 1)
        return 2 * x - x * x.abs()


@dataclass(frozen=True)
class SwishSign:
    """Use the derivative of the sign-swish function, steeper for a larger beta.

    relaxed(x) = 2 s (1 + beta x (1 - s)) - 1 with s = sigmoid(beta x);
    factor(x) = beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x)).
    Source: BNN+, Darabi et al. 2018, arXiv:1812.11800.
    """

    beta: float = 5.0

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise UsageError(f"swish-sign surrogate: beta={self.beta}; give a value > 0")

    def factor(self, x: Tensor) -> Tensor:
        """Give beta (2 - z tanh(z/2)) / (1 + cosh z), z = beta x (0 where cosh overflows)."""
        z = (self.beta * x).clamp(-60, 60)
        return self.beta * (2 - z * torch.tanh(z / 2)) / (1 + torch.cosh(z))

    def relaxed(self, x: Tensor) -> Tensor:
        """Give 2 s (1 + z (1 - s)) - 1, z = beta x, s = sigmoid(z)."""
        z = self.beta * x
        s = torch.sigmoid(z)
        return 2 * s * (1 + z * (1 - s)) - 1


SURROGATES: dict[str, type[Identity | Clipped | ApproxSign | SwishSign]] = {
    "identity": Identity,
    "clipped": Clipped,
    "approx-sign": ApproxSign,
    "swish-sign": SwishSign,
}


def make_surrogate(name: str) -> Surrogate:
    """Build a surrogate from its registered name with its default parameters."""
    if name not in SURROGATES:
        raise unknown_name("surrogate", name, SURROGATES)
    return SURROGATES[name]()
