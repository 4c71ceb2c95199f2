"""Surrogate gradients: what stands in for the derivative of a rounding step.

Each surrogate is the derivative of a named relaxed function, so that training's backward pass and
the *soft* form of a network (:meth:`Surrogate.relaxed`) always belong to each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bnncli.errors import UsageError, unknown_name


class Surrogate(Protocol):
    """The derivative that replaces d(quantized)/dx, and the function it is the derivative of."""

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        """Give grad · derivative(x).

        Shape: (...), (...) -> (...).
        """

    def relaxed(self, x: Tensor) -> Tensor:
        """Give the function whose derivative :meth:`backward` applies.

        Shape: (...) -> (...).
        """


@dataclass(frozen=True)
class Identity:
    """Pass the gradient straight through: derivative 1, relaxed(x) = x.

    The plain straight-through estimator (Bengio et al. 2013, arXiv:1308.3432).
    """

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        """Give grad."""
        return grad

    def relaxed(self, x: Tensor) -> Tensor:
        """Give x."""
        return x


@dataclass(frozen=True)
class Clipped:
    """Pass the gradient where |x| <= clip_value = c: derivative 1[|x| <= c], relaxed clamp(x, ±c).

    The bounds are inclusive: a latent weight clipped to exactly ±c must still be able to move.
    Source: Courbariaux et al. 2016, arXiv:1602.02830.
    """

    clip_value: float = 1.0

    def __post_init__(self) -> None:
        if not self.clip_value > 0:
            raise UsageError(f"clipped surrogate: clip_value={self.clip_value}; give a value > 0")

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        """Give grad inside the closed interval and 0 outside, in one pass over memory."""
        # hardtanh's own interval is open; the next number above the bound makes it closed.
        bound = float(torch.nextafter(x.new_tensor(self.clip_value), x.new_tensor(math.inf)))
        out: Tensor = torch.ops.aten.hardtanh_backward(grad, x, -bound, bound)
        return out

    def relaxed(self, x: Tensor) -> Tensor:
        """Give clamp(x, -clip_value, clip_value)."""
        return x.clamp(-self.clip_value, self.clip_value)


@dataclass(frozen=True)
class ApproxSign:
    """Use the triangle max(0, 2 - 2|x|), the derivative of a piecewise parabola from -1 to 1.

    relaxed(x) = 2x - x|x| on [-1, 1], ±1 outside.
    Source: Bi-Real Net, Liu et al. 2018, arXiv:1808.00278.
    """

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        """Give grad · max(0, 2 - 2|x|)."""
        return x.abs().mul_(-2).add_(2).clamp_(min=0).mul_(grad)

    def relaxed(self, x: Tensor) -> Tensor:
        """Give 2x - x|x| after clamping x to [-1, 1]."""
        x = x.clamp(-1, 1)
        return 2 * x - x * x.abs()


@dataclass(frozen=True)
class SwishSign:
    """Use the derivative of the sign-swish function, steeper for a larger beta.

    relaxed(x) = 2 s (1 + beta x (1 - s)) - 1 with s = sigmoid(beta x);
    derivative(x) = beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x)).
    Source: BNN+, Darabi et al. 2018, arXiv:1812.11800.
    """

    beta: float = 5.0

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise UsageError(f"swish-sign surrogate: beta={self.beta}; give a value > 0")

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        """Give grad · beta (2 - z tanh(z/2)) / (1 + cosh z), z = beta x held to ±60."""
        z = (self.beta * x).clamp_(-60, 60)
        return grad * (self.beta * (2 - z * torch.tanh(z / 2)) / (1 + torch.cosh(z)))

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
"""Every surrogate gradient by name."""


def make_surrogate(name: str) -> Surrogate:
    """Build a surrogate from its registered name with its default parameters."""
    if name not in SURROGATES:
        raise unknown_name("surrogate", name, SURROGATES)
    return SURROGATES[name]()
