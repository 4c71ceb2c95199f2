"""How a gate is written in numbers that a gradient can move: logits -> four coefficients.

Whatever the parametrization, a relaxed gate is y = c0 + c1·a + c2·b + c3·a·b (bnncli/gates.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bnncli.errors import UsageError, unknown_name
from bnncli.gates import ENTRY_TO_COEFFICIENT, N_GATES, WIRE_A, table_coefficients, table_entries

_ENTRIES = torch.from_numpy(table_entries(np.arange(N_GATES)))
_GATES = torch.from_numpy(table_coefficients(np.arange(N_GATES)))
_TO_COEFFICIENTS = torch.from_numpy(ENTRY_TO_COEFFICIENT)
# Entries (f00, f10, f01, f11) of 1, sign of a, sign of b and their product; its own inverse times 4.
_WALSH = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


class StraightThrough(torch.autograd.Function):
    """Compute with ``hard`` and hand the gradient to ``soft``."""

    @staticmethod
    def forward(ctx: object, soft: Tensor, hard: Tensor) -> Tensor:
        """Give the hard values."""
        return hard

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, None]:
        """Pass the gradient on."""
        return grads[0], None


class Parametrization(ABC):
    """Turn gate logits into coefficients and truth tables.

    Shape: logits (gates, n_logits).
    """

    name: ClassVar[str]
    n_logits: ClassVar[int]

    @abstractmethod
    def noise(self, logits: Tensor) -> Tensor:
        """Draw what makes the noisy argmax a sample of the relaxed gate (Gumbel's trick)."""

    @abstractmethod
    def soft(self, logits: Tensor) -> Tensor:
        """Give the relaxed coefficients. Shape: (gates, n_logits) -> (gates, 4)."""

    @abstractmethod
    def tables(self, logits: Tensor) -> Tensor:
        """Give the truth tables that the relaxed gates round to. Shape: -> (gates,) uint8."""

    @abstractmethod
    def at(self, tables: Tensor, strength: float) -> Tensor:
        """Give logits that round to the tables. Shape: (gates,) -> (gates, n_logits)."""

    def wire(self, strength: float) -> Tensor:
        """Give the logits of a gate that passes a on. Shape: (n_logits,)."""
        return self.at(torch.tensor([WIRE_A]), strength)[0]

    def hard(self, logits: Tensor) -> Tensor:
        """Give the coefficients of the gates that the logits round to: exact small integers."""
        return _GATES.to(logits.device, logits.dtype)[self.tables(logits).long()]


def _logistic(like: Tensor) -> Tensor:
    uniform = torch.rand_like(like).clamp_(1e-7, 1 - 1e-7)
    return torch.log(uniform) - torch.log1p(-uniform)


class IWP(Parametrization):
    """Four truth-table entries, each the sigmoid of its logit (arXiv:2510.03250); the default.

    f = sigmoid(logits); the gate is the bits of logits > 0: exact, without ties.
    """

    name = "iwp"
    n_logits = 4

    def noise(self, logits: Tensor) -> Tensor:
        """Draw logistic noise, the difference of two Gumbel variables."""
        return _logistic(logits)

    def soft(self, logits: Tensor) -> Tensor:
        """Give the coefficients of the entries sigmoid(logits)."""
        return torch.sigmoid(logits) @ _TO_COEFFICIENTS.to(logits.device, logits.dtype).T

    def tables(self, logits: Tensor) -> Tensor:
        """Give the bits of logits > 0."""
        bits = (logits > 0).to(torch.uint8)
        return bits[:, 0] | bits[:, 1] << 1 | bits[:, 2] << 2 | bits[:, 3] << 3

    def at(self, tables: Tensor, strength: float) -> Tensor:
        """Give ±strength by the entries of the tables."""
        return strength * (2 * _ENTRIES[tables] - 1)


class Walsh(IWP):
    """The logits of the four entries as Walsh coefficients: constant, a, b, a·b.

    With signs s = 1 - 2·bit the entry of (a, b) has the logit w0 + w1·sa + w2·sb + w3·sa·sb, so
    a parity is one coefficient, not four. The coefficients are those of arXiv:2602.03527, which
    takes the sigmoid of the gate's output instead; at bits the two agree, and between them ours
    stays bilinear.
    """

    name = "walsh"

    def noise(self, logits: Tensor) -> Tensor:
        """Draw logistic noise on the entries, as Walsh coefficients."""
        return _logistic(logits) @ (_WALSH.to(logits.device, logits.dtype) / 4)

    def soft(self, logits: Tensor) -> Tensor:
        """Give the coefficients of the entries sigmoid(Walsh matrix times logits)."""
        return super().soft(logits @ _WALSH.to(logits.device, logits.dtype))

    def tables(self, logits: Tensor) -> Tensor:
        """Give the signs of the entries' logits."""
        return super().tables(logits @ _WALSH.to(logits.device, logits.dtype))

    def at(self, tables: Tensor, strength: float) -> Tensor:
        """Give the Walsh coefficients of the entries' logits; for the wire a -strength for a."""
        return super().at(tables, strength) @ (_WALSH / 4)


class Softmax(Parametrization):
    """A distribution over the sixteen gates (arXiv:2210.08277); logits by truth table.

    coefficients = softmax(logits) · M with M the sixteen gates' coefficients, which is the
    weighted sum of all sixteen outputs at a quarter of their number.
    """

    name = "softmax"
    n_logits = N_GATES

    def noise(self, logits: Tensor) -> Tensor:
        """Draw Gumbel noise."""
        return -torch.log(-torch.log(torch.rand_like(logits).clamp_(1e-7, 1 - 1e-7)))

    def soft(self, logits: Tensor) -> Tensor:
        """Give the expected coefficients."""
        return torch.softmax(logits, dim=1) @ _GATES.to(logits.device, logits.dtype)

    def tables(self, logits: Tensor) -> Tensor:
        """Give the most probable gate, the first of equals."""
        return logits.argmax(dim=1).to(torch.uint8)

    def at(self, tables: Tensor, strength: float) -> Tensor:
        """Give ``strength`` to the tables' own gates and 0 to the others."""
        return strength * torch.nn.functional.one_hot(tables, N_GATES).float()


PARAMETRIZATIONS: dict[str, type[Parametrization]] = {p.name: p for p in (IWP, Softmax, Walsh)}
"""Ways to write a gate in numbers, by name."""


def make_parametrization(name: str) -> Parametrization:
    """Build a parametrization by name."""
    if name not in PARAMETRIZATIONS:
        raise unknown_name("parametrization", name, PARAMETRIZATIONS)
    return PARAMETRIZATIONS[name]()


def residual(parametrization: Parametrization, n_gates: int, strength: float) -> Tensor:
    """Begin as wires: every gate passes its first input on, the more surely the higher ``strength``.

    Signals and gradients then reach through any depth (arXiv:2411.04732).
    """
    return parametrization.wire(strength).repeat(n_gates, 1)


def heavy_tailed(parametrization: Parametrization, n_gates: int, strength: float) -> Tensor:
    """Begin near wires, with noise of deviation 0.25 whose strength itself varies (Student's t, 3).

    Most gates are close to wires, a few are far from them and learn at once.
    """
    logits = residual(parametrization, n_gates, strength)
    chi = torch.randn(3, *logits.shape).square().mean(dim=0)
    return logits + 0.25 * torch.randn_like(logits) / chi.sqrt()


MIXED_SHARE = 0.25
"""Part of the gates that do not begin as wires in ``mixed``."""


def mixed(parametrization: Parametrization, n_gates: int, strength: float) -> Tensor:
    """Begin as wires but for a quarter of the gates, which begin as any of the sixteen.

    From wires alone no gradient leads to a parity of many inputs, since each of them by itself
    says nothing about it; some paths through gates that begin as XOR know more.
    """
    logits = residual(parametrization, n_gates, strength)
    chosen = torch.rand(n_gates) < MIXED_SHARE
    tables = torch.randint(N_GATES, (n_gates,))
    return torch.where(chosen[:, None], parametrization.at(tables, strength), logits)


def random(parametrization: Parametrization, n_gates: int, strength: float) -> Tensor:
    """Begin anywhere: normal logits of deviation ``strength``."""
    return strength * torch.randn(n_gates, parametrization.n_logits)


INITS = {"residual": residual, "heavy-tailed": heavy_tailed, "mixed": mixed, "random": random}
"""Ways to draw the first logits of gates, by name."""


def initial_logits(
    parametrization: Parametrization, n_gates: int, *, init: str, strength: float
) -> Tensor:
    """Draw the first gate logits from torch's default generator."""
    if init not in INITS:
        raise unknown_name("init", init, INITS)
    if not 0 < strength < math.inf:
        raise UsageError(f"strength={strength}: expected a positive number, such as 3")
    return INITS[init](parametrization, n_gates, strength)
