"""Optimizers by name: what each trains, its rate, and what trains the rest of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnncli.options import options_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

EVERYTHING, LATENT, STORED = "every parameter", "latent weights", "stored weights"
"""What an optimizer trains."""


@dataclass(frozen=True)
class OptimizerPreset:
    """A named optimizer.

    ``trains`` says what it claims: every parameter, latent weights behind a quantizer, or stored
    ones; then ``plain`` names the optimizer of all other parameters and its rate. ``weights`` is the
    quantizer that binary weights become, where the method has one of its own.
    The keyword-only parameters of ``make`` are the optimizer's options.
    """

    name: str
    make: Callable[..., Optimizer]
    trains: str
    lr: float
    summary: str
    weights: str | None = None
    plain: tuple[str, float] = ("adam", 1e-3)

    @property
    def options(self) -> dict[str, Any]:
        """Give the optimizer's own options with their defaults."""
        return options_of(self.make)


OPTIMIZERS: dict[str, OptimizerPreset] = {}
"""Every optimizer by name."""


def optimizer(
    name: str,
    *,
    trains: str,
    lr: float,
    weights: str | None = None,
    plain: tuple[str, float] = ("adam", 1e-3),
) -> Callable[[Callable[..., Optimizer]], Callable[..., Optimizer]]:
    """Register the decorated function; the first line of its docstring is the summary."""

    def add(make: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
        summary = (make.__doc__ or "").split("\n", 1)[0].rstrip(".")
        OPTIMIZERS[name] = OptimizerPreset(name, make, trains, lr, summary, weights, plain)
        return make

    return add
