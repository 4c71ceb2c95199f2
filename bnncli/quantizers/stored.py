"""Quantizers with a memory: weights that are integers, with no real-valued latent behind them.

The layer's ``weight`` is then a *port*: a parameter of the weight's shape whose storage is a single
number. It receives dL/dw, which an optimizer turns into moves of the codes (:meth:`move`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bnncli.errors import BnnError
from bnncli.quantizers.base import Codes, Quantizer
from bnncli.quantizers.grids import BinaryGrid, UniformGrid
from bnncli.quantizers.scales import FanIn, NoScale, Scale
from bnncli.quantizers.surrogates import Identity, Surrogate

if TYPE_CHECKING:
    from bnncli.quantizers.grids import Grid


def port(shape: torch.Size, device: torch.device) -> nn.Parameter:
    """Make a parameter of a shape that costs the storage of one number.

    Shape: any; all elements are one zero.
    """
    return nn.Parameter(torch.zeros((), device=device).expand(shape))


class StoredQuantizer(Quantizer):
    """Keep codes in a buffer; ``forward`` gives their levels and passes the gradient to the port.

    levels = scale · value(codes);   dL/dport := surrogate.backward(dL/dlevels)

    Shape: (...) -> (...).
    """

    stores_weights = True  # its buffers are weights, to whoever counts bytes
    store: Tensor

    def __init__(self, grid: Grid, scale: Scale, surrogate: Surrogate) -> None:
        if not isinstance(scale, NoScale | FanIn):
            raise BnnError(
                f"scale {scale} needs real-valued latent weights, and these are stored as integers; "
                f"give --scale none or fan-in"
            )
        super().__init__(grid, scale=scale, surrogate=surrogate)

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Store the initial weights as codes; give the port."""
        with torch.no_grad():
            self.register_buffer("store", self.initial(weight.detach()))
        return port(weight.shape, weight.device)

    @abstractmethod
    def initial(self, weight: Tensor) -> Tensor:
        """Give the store for a layer's initial weights."""

    @abstractmethod
    def stored_codes(self) -> Tensor:
        """Give the codes of the weights now.

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
        """Flip every stored bit with a chance, whatever the gradient says."""

    def signs(self) -> Tensor:
        """Give ±1 for each weight; what is zero counts as +1.

        Shape: that of the weight, float32.
        """
        signs = torch.lt(self.stored_codes(), 0).float()
        return torch.sub(torch.ones_like(signs), signs, alpha=2)

    def codes(self, w: Tensor, generator: torch.Generator | None = None) -> Codes:
        """Give the stored codes; there is nothing to round."""
        return Codes(self.stored_codes(), self.scale(w))

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


class BitQuantizer(StoredQuantizer):
    """Store each weight as one sign in an int8."""

    def __init__(self, scale: Scale, surrogate: Surrogate | None = None) -> None:
        super().__init__(BinaryGrid(), scale, surrogate or Identity())

    def initial(self, weight: Tensor) -> Tensor:
        """Give the signs."""
        return self.grid.encode(weight)

    def stored_codes(self) -> Tensor:
        """Give ±1."""
        return self.store

    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Flip weights that oppose the direction."""
        moved = happens(chance) & (self.store != direction)
        self.store.copy_(torch.where(moved, -self.store, self.store))
        return moved

    def disturb(self, chance: float) -> None:
        """Flip signs at random."""
        if chance > 0:
            hit = torch.rand(self.store.shape, device=self.store.device) < chance
            self.store.copy_(torch.where(hit, -self.store, self.store))


class RegisterQuantizer(StoredQuantizer):
    """Store each weight as an integer of n bits or n trits on a uniform grid over [-1, 1].

    Source: leo-gan/binary-optimizers, register weights v0.3 and v0.4, w = 2v / (2^n - 1) - 1.
    """

    grid: UniformGrid

    def __init__(self, n_levels: int, scale: Scale, surrogate: Surrogate | None = None) -> None:
        super().__init__(UniformGrid(n_levels), scale, surrogate or Identity())

    def initial(self, weight: Tensor) -> Tensor:
        """Give codes of w · sqrt(fan_in): torch's initial weights then fill the grid."""
        return self.grid.encode(weight * weight[0].numel() ** 0.5)

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
        """Mirror weights at random: all bits of a register flip together."""
        if chance > 0:
            hit = torch.rand(self.store.shape, device=self.store.device) < chance
            mirrored = -self.store - self.grid.even
            self.store.copy_(torch.where(hit, mirrored, self.store))
