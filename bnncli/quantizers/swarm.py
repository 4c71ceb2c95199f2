"""Swarm weights: a population of ±1 agents for each weight, and the vote that reads it.

Agents of a weight are exchangeable, so 32 of them hold log2(33) = 5.04 bits of information in
32 bits of memory. Source: leo-gan/binary-optimizers, BitSwarmLinear and its variants.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bnncli.errors import UsageError, unknown_name
from bnncli.quantizers.base import Codes, Quantizer
from bnncli.quantizers.grids import BinaryGrid, Grid, UniformGrid
from bnncli.quantizers.lanes import WORD, popcount, random_mask, random_words, words_of
from bnncli.quantizers.stored import StoredQuantizer, happens, happens_anywhere, negate

if TYPE_CHECKING:
    from bnncli.quantizers.scales import Scale


@dataclass(frozen=True)
class Readout:
    """How agents become a code: the sign of their sum (``majority``) or the sum (``analog``).

    majority: sign(Σs), a tie counts as ``tie``;   analog: Σs / S, one of S + 1 levels.
    """

    size: int
    majority: bool
    tie: int = 1

    def grid(self) -> Grid:
        """Give the grid of the codes."""
        return BinaryGrid() if self.majority else UniformGrid(self.size + 1)

    def codes(self, against: Tensor) -> Tensor:
        """Read codes from the number of agents at -1: Σs = S - 2 · against.

        Shape: (...) -> (...), the grid's integers.
        """
        if self.majority:
            # -1 for more than half; a tie at -1 needs one less.
            limit = self.size // 2 if self.tie == 1 else (self.size - 1) // 2
            return torch.gt(against, limit).to(torch.int8).mul_(-2).add_(1)
        # The code of the uniform grid: Σs / 2, rounded down where Σs is odd.
        codes = self.size // 2 - against
        return codes.to(torch.int8 if self.size < 2**8 else torch.int16)


def make_readout(name: str, size: int, tie: int) -> Readout:
    """Build a readout by name: majority or analog."""
    if name not in ("majority", "analog"):
        raise unknown_name("readout", name, ("majority", "analog", "log-scaled"))
    if not 1 <= size <= 1024:
        raise UsageError(f"swarm size={size}: expected 1 to 1024 agents a weight")
    if tie not in (-1, 1):
        raise UsageError(f"swarm tie={tie}: expected 1 or -1")
    return Readout(size, name == "majority", tie)


@dataclass(frozen=True)
class Vote:
    """Give each agent the gradient of its weight, divided by the number of agents if ``proxy``.

    w = Σs gives dL/ds = dL/dw; the normalized proxy Σs / S gives dL/dw / S.

    Shape: backward (...), (..., S) -> (..., S).
    """

    proxy: bool

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        """Share the gradient out."""
        share = grad / x.shape[-1] if self.proxy else grad
        return share.reshape(x.shape[:-1]).unsqueeze(-1).expand(x.shape)

    def relaxed(self, x: Tensor) -> Tensor:
        """Give the mean of the agents.

        Shape: (..., S) -> (...).
        """
        return x.mean(dim=-1)


def count(condition: Tensor) -> Tensor:
    """Count along the last axis.

    Shape: (..., S) bool -> (...), integers.
    """
    # torch sums bytes five times as fast as it widens them.
    small = torch.int8 if condition.shape[-1] < 2**7 else torch.int32
    return condition.view(torch.int8).sum(dim=-1, dtype=small)


class FloatSwarm(Quantizer):
    """Read a vote from agents kept as real numbers, as a baseline that any torch optimizer trains.

    Shape: (out, fan_in, S) -> that of the weight. Agents are never five-dimensional, which torch
    cannot lay out with the channels last.
    """

    adopts = True

    def __init__(self, readout: Readout, scale: Scale, *, proxy: bool) -> None:
        super().__init__(readout.grid(), scale=scale, surrogate=Vote(proxy))
        self.readout = readout

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Start with agents drawn from U(-1, 1)."""
        self.weight_shape = weight.shape
        shape = (len(weight), weight[0].numel(), self.readout.size)
        return nn.Parameter(torch.rand(shape, device=weight.device).mul_(2).sub_(1))

    def stored_codes(self, agents: Tensor) -> Tensor:
        """Count the votes.

        Shape: (out, fan_in, S) -> that of the weight.
        """
        return self.readout.codes(count(torch.lt(agents, 0))).reshape(self.weight_shape)

    def scale_of(self, w: Tensor) -> Tensor | None:
        """Give the scale of the mean agents."""
        return super().scale_of(self.relaxed(w.detach()))

    def relaxed(self, w: Tensor) -> Tensor:
        """Give the mean of the agents."""
        return self.surrogate.relaxed(w).reshape(self.weight_shape)

    def codes(self, w: Tensor, generator: torch.Generator | None = None) -> Codes:
        """Count the votes."""
        with torch.no_grad():
            return Codes(self.stored_codes(w), self.scale_of(w))

    def grid_values(self, w: Tensor, scale: Tensor | None) -> Tensor:
        """Give the value of each vote."""
        return self.grid.decode(self.stored_codes(w), w.dtype)


class Population(StoredQuantizer):
    """Store the agents of each weight; ``move`` flips those that oppose, each with the chance.

    The store is (out, fan_in, ...) whatever the weight's shape is.
    """

    def __init__(self, readout: Readout, scale: Scale) -> None:
        super().__init__(readout.grid(), scale)
        self.readout = readout

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Store fair coins; give the port."""
        self.weight_shape = weight.shape
        return super().adopt(weight)

    @abstractmethod
    def against(self) -> Tensor:
        """Count the agents at -1.

        Shape: (out, fan_in), integers.
        """

    def stored_codes(self) -> Tensor:
        """Count the votes."""
        return self.readout.codes(self.against()).reshape(self.weight_shape)


class Int8Population(Population):
    """Store one agent an int8, along a last axis of S."""

    def initial(self, weight: Tensor) -> Tensor:
        """Give fair coins."""
        shape = (len(weight), weight[0].numel(), self.readout.size)
        return torch.randint(0, 2, shape, device=weight.device).mul_(2).sub_(1).to(torch.int8)

    def against(self) -> Tensor:
        """Count the agents at -1."""
        return count(torch.lt(self.store, 0))

    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Flip opposing agents."""
        rows = self.store.shape[:-1]
        hit = happens(chance.reshape(rows).unsqueeze(-1).expand(self.store.shape))
        flips = hit & (self.store != direction.to(torch.int8).reshape(rows).unsqueeze(-1))
        negate(self.store, flips)
        return flips.any(dim=-1).reshape(self.weight_shape)

    def disturb(self, chance: float) -> None:
        """Flip agents at random."""
        if chance > 0:
            negate(self.store, happens_anywhere(self.store, chance))


class PackedPopulation(Population):
    """Store 32 agents a word: bit 1 is an agent at -1, and the vote is S - 2 · popcount.

    Pad bits are 0 and stay so.
    """

    live: Tensor

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Store fair coins; give the port."""
        words = torch.arange(words_of(self.readout.size), device=weight.device)
        counts = (self.readout.size - WORD * words).clamp(max=WORD)
        live = (torch.ones_like(counts) << counts) - 1  # int64; all 32 bits are -1 as an int32
        self.register_buffer("live", live.to(torch.int32), persistent=False)
        return super().adopt(weight)

    def initial(self, weight: Tensor) -> Tensor:
        """Give fair coins."""
        shape = (len(weight), weight[0].numel(), len(self.live))
        return random_words(shape, weight.device) & self.live

    def against(self) -> Tensor:
        """Count the agents at -1."""
        counts = popcount(self.store)
        return counts[..., 0] if counts.shape[-1] == 1 else counts.sum(dim=-1, dtype=torch.int32)

    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Flip opposing agents: a mask of random bits, each set with the weight's chance."""
        rows = self.store.shape[:-1]
        wanted = torch.lt(direction, 0).to(torch.int32).neg_().reshape(rows).unsqueeze(-1)
        flips = random_mask(chance.reshape(rows), self.readout.size) & self.live
        flips.bitwise_and_(wanted.bitwise_xor(self.store))
        self.store.bitwise_xor_(flips)
        moved = flips != 0
        return (moved if moved.shape[-1] == 1 else moved.any(dim=-1)).reshape(self.weight_shape)

    def disturb(self, chance: float) -> None:
        """Flip agents at random."""
        if chance > 0:
            chances = torch.full(self.store.shape[:-1], chance, device=self.store.device)
            self.store.bitwise_xor_(random_mask(chances, self.readout.size) & self.live)
