"""Optimizers that step real-valued latents by the sign of a score, as the voting family does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from bnncli.optim.flip import KeepsTypes
from bnncli.optim.masks import greater, ones_where
from bnncli.optim.thresholds import Theta, as_theta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from bnncli.optim.scores import Score, State


class Gate(Protocol):
    """Who may step: a mask or a factor for each weight, or None for all.

    A score that resets does so where a mask (bool) is open.
    """

    def start(self, weight: Tensor) -> State:
        """Give the gate's own state before the first step."""

    def open(self, score: Tensor, state: State, progress: float) -> Tensor | None:
        """Give the mask.

        Shape: that of the weight.
        """


@dataclass(frozen=True)
class Everyone:
    """Let every weight step."""

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def open(self, score: Tensor, state: State, progress: float) -> Tensor | None:
        """Give None."""
        return None


@dataclass(frozen=True)
class Confident:
    """Let weights step whose |m| exceeds ``confidence``."""

    confidence: float

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def open(self, score: Tensor, state: State, progress: float) -> Tensor | None:
        """Compare."""
        return greater(score.abs(), self.confidence) if self.confidence > 0 else None


@dataclass(frozen=True)
class AboveAverage:
    """Let weights step with |m| > κ r, where r ← .95 r + .05 mean|m| follows the tensor's scale."""

    kappa: float
    decay: float = 0.95

    def start(self, weight: Tensor) -> State:
        """Give r = 0."""
        return {"scale": torch.zeros((), device=weight.device)}

    def open(self, score: Tensor, state: State, progress: float) -> Tensor | None:
        """Follow the scale and compare."""
        size = score.abs()
        scale = state["scale"].lerp_(size.mean(), 1 - self.decay)
        return greater(size, self.kappa * scale)


@dataclass(frozen=True)
class Fires:
    """Let weights step whose |m| > θ."""

    theta: float | Theta

    def start(self, weight: Tensor) -> State:
        """Give the threshold's state."""
        return as_theta(self.theta).start(weight)

    def open(self, score: Tensor, state: State, progress: float) -> Tensor | None:
        """Compare, then let the threshold adapt."""
        theta = as_theta(self.theta)
        fired = greater(score.abs(), theta.value(state, progress))
        theta.adapt(state, fired)
        return fired


@dataclass(frozen=True)
class Sparse:
    """Let a random share d of the weights with |m| > ``confidence`` step, by 1 / d instead of 1.

    d = ``first`` for the share ``hold`` of the run, then falls along a line to ``last``. ``biased``
    draws a weight with probability clamp(d · |m| / mean|m|, 0, 1) instead of d.
    """

    first: float
    last: float
    hold: float
    biased: bool
    confidence: float

    def start(self, weight: Tensor) -> State:
        """Give nothing."""
        return {}

    def density(self, progress: float) -> float:
        """Give d."""
        if progress < self.hold or self.hold >= 1:
            return self.first
        return self.first + (self.last - self.first) * (progress - self.hold) / (1 - self.hold)

    def open(self, score: Tensor, state: State, progress: float) -> Tensor | None:
        """Draw."""
        density, size = self.density(progress), score.abs()
        chosen = greater(size, self.confidence)
        if self.biased:
            chance = size.mul_(density / size.mean().clamp_(min=1e-12))
            chosen.logical_and_(greater(chance, torch.rand_like(chance)))
        elif density < 1:
            chosen.logical_and_(greater(density - torch.rand_like(size), 0.0))
        return ones_where(chosen) * (1 / density)


def _factor(gate: Tensor) -> Tensor:
    return ones_where(gate) if gate.dtype == torch.bool else gate


class Move(Protocol):
    """How a latent goes where its score points."""

    def apply(self, p: Tensor, score: Tensor, gate: Tensor | None, lr: float) -> None:
        """Change p in place."""


@dataclass(frozen=True)
class SignStep:
    """Step: p ← p - lr · sign m, where the gate is open."""

    def apply(self, p: Tensor, score: Tensor, gate: Tensor | None, lr: float) -> None:
        """Step."""
        step = score.sign()
        p.sub_(step if gate is None else step.mul_(_factor(gate)), alpha=lr)


@dataclass(frozen=True)
class Pull:
    """Pull: p ← p + push · (-sign m - p), where the gate is open."""

    push: float

    def apply(self, p: Tensor, score: Tensor, gate: Tensor | None, lr: float) -> None:
        """Pull."""
        by = score.sign().add_(p)
        p.sub_(by if gate is None else by.mul_(_factor(gate)), alpha=self.push)


@dataclass(frozen=True)
class Approach:
    """Approach: p ← p + share · (-lr · sign m - p), where the gate is open."""

    share: float

    def apply(self, p: Tensor, score: Tensor, gate: Tensor | None, lr: float) -> None:
        """Approach."""
        goal = score.sign().mul_(-lr)
        if gate is None:
            p.lerp_(goal, self.share)
        else:
            p.add_((goal - p).mul_(_factor(gate)), alpha=self.share)


class LatentSign(KeepsTypes):
    """Step latents: m ← score(g + weight_decay · p); p ← clamp(move(p, m), ±clip)."""

    def __init__(
        self,
        weights: Sequence[nn.Parameter],
        *,
        score: Score,
        lr: float,
        gate: Gate | None = None,
        move: Move | None = None,
        clip: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(weights, {"lr": lr, "progress": 0.0})
        self.score, self.clip, self.decay = score, clip, weight_decay
        self.gate: Gate = gate or Everyone()
        self.move: Move = move or SignStep()
        for weight in weights:
            self.state[weight] = {**score.start(weight), **self.gate.start(weight)}

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Step one weight tensor."""
        assert parameter.grad is not None
        state, grad = self.state[parameter], parameter.grad
        if self.decay:
            grad = grad.add(parameter, alpha=self.decay)
        score = self.score.update(state, grad, group["lr"])
        gate = self.gate.open(score, state, group["progress"])
        self.move.apply(parameter, score, gate, group["lr"])
        if gate is not None and gate.dtype == torch.bool:
            self.score.settle(state, gate, None)
        if self.clip > 0:
            parameter.clamp_(-self.clip, self.clip)
