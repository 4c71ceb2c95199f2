"""Layers of relaxed two-input gates: what a gate reads, what it computes, the sum into classes.

Tensors between these layers are feature-major, (features, batch).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bnncli.errors import UsageError, unknown_name
from bnncli.layers.gate_functions import best_candidates, chosen_gates, gates, mixed_gates
from bnncli.layers.parametrization import StraightThrough, initial_logits, make_parametrization
from bnncli.quantizers import TwoForms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnncli.layers.wiring import Wires


class Annealed(nn.Module):
    """A module whose temperature falls from its first to its last value as training goes on.

    T = first^(1 - progress) · last^progress. The progress, 0 … 1, is set before every step and
    saved with the model, so that its soft form stays the one it was trained in.

    Logits are kept in [-bound, bound] by whoever steps them; 0 means no bound. A logit far out
    hardly has a gradient and needs many steps to come back, so a bounded net goes on learning.
    """

    progress: Tensor

    def __init__(self, temperature: float, final_temperature: float, bound: float = 0.0) -> None:
        super().__init__()
        if not 0 <= bound < math.inf:
            raise UsageError(f"bound={bound}: expected 0 for none, or a positive number such as 2")
        self.bound = bound
        for name, value in (
            ("temperature", temperature),
            ("final_temperature", final_temperature),
        ):
            if not 0 < value < math.inf:
                raise UsageError(f"{name}={value}: expected a positive number, such as 1")
        self.first, self.last = temperature, final_temperature
        self.register_buffer("progress", torch.zeros(()))

    def sharpened(self, logits: Tensor) -> Tensor:
        """Give logits / T."""
        if self.first == self.last == 1:
            return logits
        return logits / (self.first * (self.last / self.first) ** self.progress)

    def sharpness(self) -> float:
        """Give 1 / T."""
        temperature: float = self.first * (self.last / self.first) ** float(self.progress)
        return 1 / temperature


def set_progress(model: nn.Module, progress: float) -> None:
    """Tell every annealed module how far training is, from 0 to 1."""
    for module in model.modules():
        if isinstance(module, Annealed):
            module.progress.fill_(progress)


SAMPLINGS = ("soft", "hard", "gumbel-soft", "gumbel-hard")
"""What training computes: relaxed gates or rounded ones (straight-through), with noise or not."""


class FixedWiring(nn.Module):
    """Read the same two signals for ever; see :mod:`bnncli.layers.wiring`."""

    a: Tensor
    b: Tensor

    def __init__(self, wires: Wires) -> None:
        super().__init__()
        self.in_features, self.out_features = wires.in_features, wires.out_features
        self.register_buffer("a", torch.from_numpy(wires.a))
        self.register_buffer("b", torch.from_numpy(wires.b))

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Compute the gates of these coefficients on the signals that they read."""
        return gates(x, self.a, self.b, coefficients)

    def wires(self) -> tuple[Tensor, Tensor]:
        """Give the signals that each gate reads in the hard form."""
        return self.a, self.b


class LearnedWiring(TwoForms, Annealed):
    """Choose each gate input among k candidates (arXiv:2507.06173, arXiv:2511.12340).

    In training an input is the mean of its candidates weighted by softmax(wire_logits /
    temperature), or with ``selection="hard"`` the best candidate alone, whose weights learn from
    the same gradient. The hard form reads the best candidate.

    Shape: candidates (2, out_features, k).
    """

    candidates: Tensor

    def __init__(
        self,
        candidates: NDArray[np.int32],
        in_features: int,
        *,
        selection: str = "soft",
        temperature: float = 1.0,
        final_temperature: float = 1.0,
        bound: float = 0.0,
    ) -> None:
        super().__init__(temperature, final_temperature, bound)
        if selection not in {"soft", "hard"}:
            raise unknown_name("selection", selection, ("soft", "hard"))
        self.in_features, self.out_features = in_features, candidates.shape[1]
        self.selection = selection
        self.register_buffer("candidates", torch.from_numpy(candidates))
        self.wire_logits = nn.Parameter(torch.randn(candidates.shape))

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Compute the gates of these coefficients on the signals that they read."""
        if not (self.training or self.soft):
            return gates(x, *self.wires(), coefficients)
        if self.training and self.selection == "hard":
            return chosen_gates(
                x, self.candidates, self.wire_logits, self.sharpness(), coefficients
            )
        # Over the first dimension torch's softmax is four times as fast as over the last, short one.
        logits = self.sharpened(self.wire_logits).flatten(0, 1).t()
        weights = torch.softmax(logits, dim=0).t().reshape(self.wire_logits.shape)
        return mixed_gates(x, self.candidates, weights, coefficients)

    def wires(self) -> tuple[Tensor, Tensor]:
        """Give the signals that each gate reads in the hard form."""
        return best_candidates(self.candidates, self.wire_logits.detach())


class LogicDense(TwoForms, Annealed):
    """Compute one gate for each output: y = c0 + c1·a + c2·b + c3·a·b of two rows a, b.

    The coefficients come from ``gate_logits`` by the parametrization. Training computes what
    ``sampling`` says; evaluation the gates that the logits round to, in the soft form the relaxed
    ones. Source: arXiv:2210.08277; the four coefficients make sixteen outputs one.

    Shape: (in_features, batch) -> (out_features, batch), values in [0, 1].
    """

    def __init__(
        self,
        wiring: FixedWiring | LearnedWiring,
        *,
        parametrization: str = "iwp",
        init: str = "residual",
        strength: float = 3.0,
        sampling: str = "soft",
        temperature: float = 1.0,
        final_temperature: float = 1.0,
        bound: float = 0.0,
    ) -> None:
        super().__init__(temperature, final_temperature, bound)
        if sampling not in SAMPLINGS:
            raise unknown_name("sampling", sampling, SAMPLINGS)
        self.wiring = wiring
        self.in_features, self.out_features = wiring.in_features, wiring.out_features
        self.parametrization = make_parametrization(parametrization)
        self.sampling = sampling
        logits = initial_logits(
            self.parametrization, self.out_features, init=init, strength=strength
        )
        self.gate_logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        """Compute all gates."""
        if x.dim() != 2 or x.shape[0] != self.in_features:
            raise UsageError(
                f"LogicDense: in_features={self.in_features} but input has shape "
                f"{tuple(x.shape)}; expected ({self.in_features}, batch), features first"
            )
        y: Tensor = self.wiring(x, self.coefficients())
        return y

    def coefficients(self) -> Tensor:
        """Give the coefficients of the current form. Shape: (out_features, 4).

        In float32 also where layers multiply in bfloat16, so that gates round as they are frozen.
        """
        with torch.autocast(self.gate_logits.device.type, enabled=False):
            return self._coefficients()

    def _coefficients(self) -> Tensor:
        if not self.training:
            return self._soft() if self.soft else self.parametrization.hard(self.gate_logits)
        logits: Tensor = self.gate_logits
        if self.sampling.startswith("gumbel"):
            logits = logits + self.parametrization.noise(logits)
        soft = self._soft(logits)
        if not self.sampling.endswith("hard"):
            return soft
        hard: Tensor = StraightThrough.apply(soft, self.parametrization.hard(logits))  # type: ignore[no-untyped-call]
        return hard

    def _soft(self, logits: Tensor | None = None) -> Tensor:
        given = self.gate_logits if logits is None else logits
        return self.parametrization.soft(self.sharpened(given))

    def tables(self) -> Tensor:
        """Give the truth table that each gate rounds to. Shape: (out_features,) uint8."""
        return self.parametrization.tables(self.gate_logits.detach())

    def extra_repr(self) -> str:
        """Name the sizes and the parametrization in printed models."""
        return f"{self.in_features}, {self.out_features}, {self.parametrization.name}"


class GroupSum(nn.Module):
    """Sum equal groups of bits into class scores: logits[k] = (sum of group k) / tau.

    tau sets how sure n agreeing bits are of a class; ``learn_tau`` trains its logarithm.

    Shape: (in_features, batch) -> (batch, n_classes).
    """

    log_tau: Tensor

    def __init__(
        self, in_features: int, n_classes: int, *, tau: float, learn_tau: bool = False
    ) -> None:
        super().__init__()
        if in_features % n_classes:
            raise UsageError(
                f"GroupSum: {in_features} signals in {n_classes} classes; the last width must be a "
                f"multiple of {n_classes}"
            )
        if not 0 < tau < math.inf:
            raise UsageError(f"tau={tau}: expected a positive number, such as 10")
        self.in_features, self.n_classes = in_features, n_classes
        log_tau = torch.tensor([tau]).log()
        if learn_tau:
            self.log_tau = nn.Parameter(log_tau)
        else:
            self.register_buffer("log_tau", log_tau)

    def gain(self) -> Tensor:
        """Give 1 / tau. Shape: (1,)."""
        return torch.exp(-self.log_tau)

    def forward(self, x: Tensor) -> Tensor:
        """Sum and scale."""
        sums = x.view(self.n_classes, -1, x.shape[1]).sum(dim=1)
        return sums.t() * self.gain()

    def extra_repr(self) -> str:
        """Name the sizes in printed models."""
        return f"{self.in_features}, {self.n_classes}"


class BitLogits(nn.Module):
    """Give a single bit as scores of two classes: (1/2 - bit, bit - 1/2).

    Shape: (1, batch) -> (batch, 2).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Subtract."""
        return torch.cat([0.5 - x, x - 0.5]).t()
