"""Norms without division: a threshold per channel that follows the data, and a gain.

Nothing here divides by, or takes a root of, anything measured on the data. Constants set at the
start, such as 1 / √fan_in, and the 1 / count of a batch mean, which only training takes, are not of
that kind. State moves in training only and is held in parameters and buffers, so that a resumed run
ends with the same bits. Evaluation is y = x · gain + offset, each operation rounded on its own.

Source of all: github.com/leo-gan/binary-optimizers, whose series of experiments is numbered v1 to
v21; ``book/decisions/norms-without-division.md`` lists which options make which variant.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bnncli.errors import UsageError, unknown_name
from bnncli.norms.channels import channel_mean, per_channel

NO_LIMIT = 0.0


class _Rule(NamedTuple):
    """Published constants of a threshold rule; ``start`` is where the average begins."""

    alpha: float
    eta: float
    limit: float
    start: float


RULES = {
    "activity": _Rule(alpha=0.2, eta=0.1, limit=0.5, start=0.5),  # v8 and the package
    "mean": _Rule(alpha=1.0, eta=0.2, limit=NO_LIMIT, start=0.0),  # MeanMatchingThreshold
    "sign": _Rule(alpha=0.1, eta=0.005, limit=NO_LIMIT, start=0.0),  # v9B
}
GAINS = ("learned", "frozen", "power-of-two")


def _require(fits: bool, owner: nn.Module, given: str, expected: str) -> None:
    if not fits:
        raise UsageError(f"{type(owner).__name__}: {given} given, expected {expected}")


def _hold(owner: nn.Module, name: str, values: Tensor, *, learned: bool) -> None:
    """Keep a tensor as parameter or as buffer; its key in a checkpoint is the same."""
    if learned:
        owner.register_parameter(name, nn.Parameter(values))
    else:
        owner.register_buffer(name, values)


class _CenterGradient(torch.autograd.Function):
    """Pass values unchanged, and the gradient less its mean per channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] - per_channel(channel_mean(grads[0]), grads[0])


def center_gradient(x: Tensor) -> Tensor:
    """Give x, with a gradient that no longer asks for another mean of a channel.

    A threshold that follows the mean takes back whatever mean the weights reach; left to itself,
    the gradient asks again in each step and drives the weights of an output to one sign. BatchNorm
    has this term because it differentiates its mean.

    Shape: (batch, channels, ...) -> the same.
    """
    # torch leaves Function.apply untyped.
    out: Tensor = _CenterGradient.apply(x)  # type: ignore[no-untyped-call]
    return out


class HomeostaticThreshold(nn.Module):
    """Subtract a threshold that rises while a channel is active more than half of the time.

    y = x - t. In training, after y: a ← (1 - alpha) · a + alpha · s, then t ← t + step(a), with

    - rule ``activity``: s = share of y > 0, step = clamp(eta · (a - target), ±limit);
    - rule ``mean``: s = mean of y, step = clamp(eta · a, ±limit);
    - rule ``sign``: s = mean of y, step = eta · sign(a), none at a = 0.

    ``limit`` 0 is no limit. ``start`` is a before the first batch, ``threshold_std`` the spread of
    the first thresholds; with ``learn_threshold`` the optimizer moves t too, and with
    ``centered_gradient``, our repair, dL/dx is dL/dy less its mean per channel. No division by data.
    Source: github.com/leo-gan/binary-optimizers; defaults from its package (alpha .2, eta .1, limit
    .5), MeanMatchingThreshold (eta .2 on each batch) and v9B (alpha .1, eta .005).

    Shape: (batch, channels, ...) -> the same.
    """

    threshold: Tensor
    average: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        rule: str = "activity",
        alpha: float | None = None,
        eta: float | None = None,
        target: float = 0.5,
        limit: float | None = None,
        start: float | None = None,
        threshold_std: float = 0.0,
        learn_threshold: bool = True,
        centered_gradient: bool = False,
    ) -> None:
        super().__init__()
        if rule not in RULES:
            raise unknown_name("threshold rule", rule, RULES)
        usual = RULES[rule]
        self.num_features = num_features
        self.rule = rule
        self.centered_gradient = centered_gradient
        self.alpha = usual.alpha if alpha is None else alpha
        self.eta = usual.eta if eta is None else eta
        self.target = target
        self.limit = usual.limit if limit is None else limit
        _require(0 < self.alpha <= 1, self, f"alpha={self.alpha}", "0 < alpha <= 1")
        _require(0 <= self.eta < math.inf, self, f"eta={self.eta}", "a number of 0 or more")
        _require(0 <= target <= 1, self, f"target={target}", "a share in [0, 1]")
        _require(self.limit >= 0, self, f"limit={self.limit}", "0 (no limit) or more")
        _require(0 <= threshold_std < math.inf, self, f"threshold_std={threshold_std}", "0 or more")
        # Without a spread no random number is drawn, so that other weights start the same.
        first = torch.randn(num_features) * threshold_std if threshold_std else None
        zeros = torch.zeros(num_features)
        _hold(self, "threshold", zeros if first is None else first, learned=learn_threshold)
        begin = usual.start if start is None else start
        self.register_buffer("average", torch.full((num_features,), float(begin)))

    def gain_and_offset(self) -> tuple[Tensor, Tensor]:
        """Give the affine map of evaluation: x · 1 + (-t) rounds as x - t does.

        Shape: -> (1,), (channels,).
        """
        return torch.ones(1, device=self.threshold.device), -self.threshold

    def forward(self, x: Tensor) -> Tensor:
        """Subtract the threshold, then let it follow what came out."""
        if self.centered_gradient:
            x = center_gradient(x)
        out = x - per_channel(self.threshold, x)
        if self.training:
            self._follow(out)
        return out

    @torch.no_grad()
    def _follow(self, out: Tensor) -> None:
        observed = channel_mean(out > 0 if self.rule == "activity" else out)
        self.average.lerp_(observed, self.alpha)
        if self.rule == "sign":
            step = torch.sign(self.average) * self.eta
        elif self.rule == "activity":
            step = (self.average - self.target) * self.eta
        else:
            step = self.average * self.eta
        if self.limit != NO_LIMIT:
            step = step.clamp(-self.limit, self.limit)
        self.threshold.add_(step)

    def extra_repr(self) -> str:
        """Name the rule in printed models."""
        return (
            f"{self.num_features}, rule={self.rule}, alpha={self.alpha}, eta={self.eta}, "
            f"target={self.target}, limit={self.limit}"
        )


class MeanMatchingThreshold(HomeostaticThreshold):
    """Subtract a threshold that follows the mean of its channel: t ← t + eta · mean(y).

    y = x - t with the old t. It is HomeostaticThreshold with the rule ``mean``: alpha 1, the
    published form, looks at one batch; a smaller alpha averages over batches. With
    ``centered_gradient``, our repair, dL/dx is less its mean per channel. No division by data.
    Source: github.com/leo-gan/binary-optimizers (MeanMatchingThreshold); eta .2 is from there.

    Shape: (batch, channels, ...) -> the same.
    """

    def __init__(
        self,
        num_features: int,
        *,
        alpha: float = 1.0,
        eta: float = 0.2,
        limit: float = NO_LIMIT,
        threshold_std: float = 0.0,
        learn_threshold: bool = True,
        centered_gradient: bool = False,
    ) -> None:
        super().__init__(
            num_features,
            rule="mean",
            alpha=alpha,
            eta=eta,
            limit=limit,
            threshold_std=threshold_std,
            learn_threshold=learn_threshold,
            centered_gradient=centered_gradient,
        )


class SimpleCentering(nn.Module):
    """Subtract a learned bias from each channel: y = x - b, nothing else.

    b starts at 0 and only the gradient moves it. No division.
    Source: github.com/leo-gan/binary-optimizers (SimpleCentering).

    Shape: (batch, channels, ...) -> the same.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.bias = nn.Parameter(torch.zeros(num_features))

    def gain_and_offset(self) -> tuple[Tensor, Tensor]:
        """Give the affine map of evaluation: x · 1 + (-b) rounds as x - b does.

        Shape: -> (1,), (channels,).
        """
        return torch.ones(1, device=self.bias.device), -self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Subtract."""
        return x - per_channel(self.bias, x)

    def extra_repr(self) -> str:
        """Name the size in printed models."""
        return f"{self.num_features}"


class _PowerOfTwo(torch.autograd.Function):
    """Give 2^round(e); the gradient is that of 2^e at the rounded place, 2^round(e) · ln 2."""

    @staticmethod
    def forward(ctx: Any, exponent: Tensor) -> Tensor:
        whole = torch.round(exponent).clamp(-126, 127)
        # The bits of the number: exp2 need not be exact on every processor.
        bits = (torch.nan_to_num(whole).to(torch.int32) + 127) << 23
        value = torch.where(whole.isnan(), whole, bits.view(torch.float32))
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors
        out: Tensor = grads[0] * value * math.log(2)
        return out


class HomeostaticScaleShift(nn.Module):
    """Subtract a threshold that follows the mean, and multiply by a gain that starts at 1/√fan_in.

    y = (x - t) · gain, computed as x · gain + (-t · gain). In training, after y: t ← t + eta ·
    mean(y). With ``anneal_steps`` eta falls geometrically to ``eta_end`` in that many batches.
    The gain is

    - ``learned``: by the optimizer, as published. A gain of 1/28 with steps of .01 changes by 28 % a
      step, which is our diagnosis of why v17 and v20 collapse;
    - ``frozen``: what it was at the start;
    - ``power-of-two``: 2^round(e) with e learned, so a step is a factor and the product is a shift.

    ``gain_init`` None is 1/√fan_in (v14 on), a constant; v13 has 1. With ``centered_gradient``, our
    repair, dL/dx is less its mean per channel. No division by data.
    Source: github.com/leo-gan/binary-optimizers; eta .1 is that of v15 on, v13 and v14 anneal from .1
    to .01.

    Shape: (batch, channels, ...) -> the same.
    """

    threshold: Tensor
    gain: Tensor
    rate: Tensor

    def __init__(
        self,
        num_features: int,
        fan_in: int | None = None,
        *,
        gain: str = "learned",
        gain_init: float | None = None,
        eta: float = 0.1,
        eta_end: float = 0.01,
        anneal_steps: int = 0,
        learn_threshold: bool = True,
        centered_gradient: bool = False,
    ) -> None:
        super().__init__()
        if gain not in GAINS:
            raise unknown_name("gain", gain, GAINS)
        if gain_init is None:
            _require(fan_in is not None, self, "neither fan_in nor gain_init", "one of them")
            gain_init = 1 / math.sqrt(fan_in or 1)
        _require(0 < gain_init < math.inf, self, f"gain_init={gain_init}", "a positive number")
        _require(0 <= eta < math.inf, self, f"eta={eta}", "a number of 0 or more")
        _require(anneal_steps >= 0, self, f"anneal_steps={anneal_steps}", "0 (fixed eta) or more")
        self.num_features = num_features
        self.gain_kind = gain
        self.centered_gradient = centered_gradient
        _hold(self, "threshold", torch.zeros(num_features), learned=learn_threshold)
        first = torch.full((num_features,), float(gain_init))
        if gain == "power-of-two":
            self.log2_gain = nn.Parameter(torch.log2(first))
        else:
            _hold(self, "gain", first, learned=gain == "learned")
        self.eta_end, self.factor = eta, 1.0
        if anneal_steps:
            _require(0 < eta_end <= eta, self, f"eta_end={eta_end}", f"0 < eta_end <= eta={eta}")
            self.eta_end, self.factor = eta_end, (eta_end / eta) ** (1 / anneal_steps)
        self.register_buffer("rate", torch.tensor(float(eta)))

    def gain_and_offset(self) -> tuple[Tensor, Tensor]:
        """Give the affine map of training and evaluation, each (channels,) float32."""
        if self.gain_kind == "power-of-two":
            # torch leaves Function.apply untyped.
            gain: Tensor = _PowerOfTwo.apply(self.log2_gain)  # type: ignore[no-untyped-call]
        else:
            gain = self.gain
        # A copy, because the threshold moves before the gradient of this product is taken.
        return gain, -(self.threshold.clone() * gain)

    def forward(self, x: Tensor) -> Tensor:
        """Shift and scale, then let the threshold follow what came out."""
        gain, offset = self.gain_and_offset()
        if self.centered_gradient:
            x = center_gradient(x)
        out = (x * per_channel(gain, x)).add(per_channel(offset, x))
        if self.training:
            self._follow(out)
        return out

    @torch.no_grad()
    def _follow(self, out: Tensor) -> None:
        self.threshold.add_(channel_mean(out) * self.rate)
        if self.factor != 1:
            self.rate.mul_(self.factor).clamp_(min=self.eta_end)

    def extra_repr(self) -> str:
        """Name the size and the gain in printed models."""
        return f"{self.num_features}, gain={self.gain_kind}"
