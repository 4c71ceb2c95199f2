"""Quantizers with a memory: weights that are integers, with no real-valued latent behind them.

The layer's ``weight`` is then a *port*: a parameter of the weight's shape whose storage is a single
number. It receives dL/dw, which an optimizer turns into moves of the codes (:meth:`move`).
See ``book/decisions/stored-weights.md``.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bnncli.quantizers.base import Codes, Quantizer
from bnncli.quantizers.grids import BinaryGrid, UniformGrid
from bnncli.quantizers.scales import Scale, constant_scale

if TYPE_CHECKING:
    from bnncli.quantizers.grids import Grid


class Port(nn.Parameter):
    """A parameter whose elements are all one zero, also after a deep copy.

    Shape: any.
    """

    def __deepcopy__(self, memo: Any) -> Port:
        return port(self.shape, self)


def port(shape: torch.Size, like: Tensor) -> Port:
    """Make a port with the device and type of another tensor.

    Shape: given.
    """
    return Port(torch.zeros((), dtype=like.dtype, device=like.device).expand(shape))


class StoredQuantizer(Quantizer):
    """Keep codes in a buffer; ``forward`` gives their levels and passes the gradient to the port.

    levels = s · value(codes);   dL/dport := dL/dlevels

    Shape: (...) -> (...).
    """

    adopts = True
    stores_weights = True  # its buffers are weights, to whoever counts bytes
    store: Tensor

    def __init__(self, grid: Grid, scale: Scale) -> None:
        super().__init__(grid, scale=constant_scale(scale, "stored weights are integers"))

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Store the initial weights as codes; give the port."""
        with torch.no_grad():
            self.register_buffer("store", self.initial(weight.detach()))
        return port(weight.shape, weight)

    @abstractmethod
    def initial(self, weight: Tensor) -> Tensor:
        """Give the store for a layer's initial weights."""

    @abstractmethod
    def stored_codes(self) -> Tensor:
        """Give the codes of the weights now; the caller does not write to them.

        Shape: that of the weight, integers.
        """

    @abstractmethod
    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Move weights towards ``direction`` (±1), each with its chance (bool or in [0, 1]).

        ``steps`` says how many levels a weight of many levels goes at once (None: one). Randomness
        is torch's default generator, which a run seeds before each step. Gives which weights moved.

        Shape: that of the weight -> the same, bool.
        """

    @abstractmethod
    def disturb(self, chance: float) -> None:
        """Move every weight or agent to its opposite with a chance, whatever the gradient says."""

    def signs(self) -> Tensor:
        """Give ±1 for each weight; what is zero counts as +1.

        Shape: that of the weight, float32.
        """
        signs = torch.lt(self.stored_codes(), 0).float()
        return torch.sub(torch.ones_like(signs), signs, alpha=2)

    def codes(self, w: Tensor, generator: torch.Generator | None = None) -> Codes:
        """Give a copy of the stored codes; there is nothing to round."""
        return Codes(self.stored_codes().clone(), self.scale_of(w))

    def grid_values(self, w: Tensor, scale: Tensor | None) -> Tensor:
        """Give the values of the stored codes."""
        return self.grid.decode(self.stored_codes(), w.dtype)

    def relaxed(self, w: Tensor) -> Tensor:
        """Give the hard levels: without a latent there is nothing softer."""
        return self.levels(*self.codes(w))


def happens(chance: Tensor) -> Tensor:
    """Draw which events happen: a bool chance is certain, a real one a probability.

    Shape: (...) -> (...), bool.
    """
    return chance if chance.dtype == torch.bool else torch.rand_like(chance) < chance


def happens_anywhere(store: Tensor, chance: float) -> Tensor:
    """Draw events of one chance for every element of a store.

    Shape: (...) -> (...), bool.
    """
    return torch.rand(store.shape, device=store.device) < chance


def negate(store: Tensor, where: Tensor) -> None:
    """Change the sign of some int8 in place.

    Shape: (...), (...) bool.
    """
    # store · (1 - 2 · where): a branch for each element would be slower.
    store.mul_(where.to(torch.int8).mul_(-2).add_(1))


class BitQuantizer(StoredQuantizer):
    """Store each weight as one sign in an int8."""

    def __init__(self, scale: Scale) -> None:
        super().__init__(BinaryGrid(), scale)

    def initial(self, weight: Tensor) -> Tensor:
        """Give the signs."""
        return self.grid.encode(weight)

    def stored_codes(self) -> Tensor:
        """Give ±1."""
        return self.store

    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Flip weights that oppose the direction."""
        moved = happens(chance) & (self.store != direction)
        negate(self.store, moved)
        return moved

    def disturb(self, chance: float) -> None:
        """Flip signs at random."""
        if chance > 0:
            negate(self.store, happens_anywhere(self.store, chance))


class RegisterQuantizer(StoredQuantizer):
    """Store each weight as an integer of n bits or n trits on a uniform grid over [-1, 1].

    Source: leo-gan/binary-optimizers, register weights v0.3 and v0.4, w = 2v / (2^n - 1) - 1.
    """

    grid: UniformGrid

    def __init__(self, n_levels: int, scale: Scale) -> None:
        super().__init__(UniformGrid(n_levels), scale)

    def initial(self, weight: Tensor) -> Tensor:
        """Give codes of w · sqrt(fan_in): torch's initial weights then fill the grid."""
        return self.grid.encode(weight * (weight[0].numel() ** 0.5 / self.grid.step))

    def stored_codes(self) -> Tensor:
        """Give the integers."""
        return self.store

    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Add ``steps`` · direction where it happens, within the grid."""
        by = direction.to(torch.int32) if steps is None else (direction * steps).to(torch.int32)
        grid = self.grid
        after = (self.store + by * happens(chance)).clamp_(grid.lowest, grid.highest)
        moved = after != self.store
        self.store.copy_(after)
        return moved

    def disturb(self, chance: float) -> None:
        """Mirror registers at random: w becomes -w, all bits of a register flip together."""
        if chance > 0:
            mirrored = -self.store - self.grid.even
            hit = happens_anywhere(self.store, chance)
            self.store.copy_(torch.where(hit, mirrored, self.store))
