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
from bnncli.quantizers.stored import StoredQuantizer, happens
from bnncli.quantizers.surrogates import Identity

if TYPE_CHECKING:
    from bnncli.quantizers.scales import Scale

WORD = 32
CHANCE_BITS = 8


@dataclass(frozen=True)
class Readout:
    """How a sum of votes becomes a code: the sign (``majority``) or the sum itself (``analog``).

    majority: sign(Σs), a tie counts as ``tie``;   analog: Σs / S, one of S + 1 levels.
    """

    size: int
    majority: bool
    tie: int = 1

    def grid(self) -> Grid:
        """Give the grid of the codes."""
        return BinaryGrid() if self.majority else UniformGrid(self.size + 1)

    def codes(self, total: Tensor) -> Tensor:
        """Read codes from sums of votes; every sum is even or every one odd, as S is.

        Shape: (...) -> (...), int8.
        """
        if self.majority:
            return torch.where(total == 0, self.tie, torch.where(total < 0, -1, 1)).to(torch.int8)
        grid = self.grid()
        assert isinstance(grid, UniformGrid)
        return ((total - grid.even) // 2).to(grid.dtype)


def make_readout(name: str, size: int, tie: int) -> Readout:
    """Build a readout by name: majority or analog."""
    if name not in ("majority", "analog"):
        raise unknown_name("readout", name, ("majority", "analog"))
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


class FloatSwarm(Quantizer):
    """Read a vote from agents kept as real numbers, as a baseline that any torch optimizer trains.

    Shape: (out, fan_in, S) -> that of the weight. Agents are never five-dimensional, which torch
    cannot lay out with the channels last.
    """

    def __init__(self, readout: Readout, scale: Scale, *, proxy: bool) -> None:
        super().__init__(readout.grid(), scale=scale, surrogate=Vote(proxy))
        self.readout = readout

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Start with agents drawn from U(-1, 1)."""
        self.weight_shape = weight.shape
        shape = (len(weight), weight[0].numel(), self.readout.size)
        return nn.Parameter(torch.rand(shape, device=weight.device).mul_(2).sub_(1))

    def votes(self, agents: Tensor) -> Tensor:
        """Add up the signs of the agents.

        Shape: (out, fan_in, S) -> that of the weight, int32.
        """
        against = torch.lt(agents, 0).sum(dim=-1, dtype=torch.int32)
        return (self.readout.size - 2 * against).reshape(self.weight_shape)

    def scale_of(self, w: Tensor) -> Tensor | None:
        """Give the scale of weights, not of agents."""
        return self.scale(w[..., 0].reshape(self.weight_shape))

    def relaxed(self, w: Tensor) -> Tensor:
        """Give the mean of the agents."""
        return self.surrogate.relaxed(w).reshape(self.weight_shape)

    def codes(self, w: Tensor, generator: torch.Generator | None = None) -> Codes:
        """Count the votes."""
        with torch.no_grad():
            return Codes(self.readout.codes(self.votes(w)), self.scale_of(w))

    def grid_values(self, w: Tensor, scale: Tensor | None) -> Tensor:
        """Give the value of each vote."""
        return self.grid.decode(self.readout.codes(self.votes(w)), w.dtype)


class Population(StoredQuantizer):
    """Store the agents of each weight; ``move`` flips those that oppose, each with the chance.

    The store is (out, fan_in, ...) whatever the weight's shape is.
    """

    def __init__(self, readout: Readout, scale: Scale) -> None:
        super().__init__(readout.grid(), scale, Identity())
        self.readout = readout

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Store fair coins; give the port."""
        self.weight_shape = weight.shape
        return super().adopt(weight)

    @abstractmethod
    def total(self) -> Tensor:
        """Add up the votes.

        Shape: that of the weight, int32.
        """

    def stored_codes(self) -> Tensor:
        """Count the votes."""
        return self.readout.codes(self.total())


class Int8Population(Population):
    """Store one agent an int8, along a last axis of S."""

    def initial(self, weight: Tensor) -> Tensor:
        """Give fair coins."""
        shape = (len(weight), weight[0].numel(), self.readout.size)
        return torch.randint(0, 2, shape, device=weight.device).mul_(2).sub_(1).to(torch.int8)

    def total(self) -> Tensor:
        """Add up the votes."""
        return self.store.sum(dim=-1, dtype=torch.int32).reshape(self.weight_shape)

    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Flip opposing agents."""
        rows = self.store.shape[:-1]
        hit = happens(chance.reshape(rows).unsqueeze(-1).expand(self.store.shape))
        flips = hit & (self.store != direction.reshape(rows).unsqueeze(-1))
        self.store.copy_(torch.where(flips, -self.store, self.store))
        return flips.any(dim=-1).reshape(self.weight_shape)

    def disturb(self, chance: float) -> None:
        """Flip agents at random."""
        if chance > 0:
            hit = torch.rand(self.store.shape, device=self.store.device) < chance
            self.store.copy_(torch.where(hit, -self.store, self.store))


def popcount(words: Tensor) -> Tensor:
    """Count the set bits of each int32 by adding halves, quarters, bytes.

    Shape: (...) int32 -> (...) int32.
    """
    x = words - ((words >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return (x * 0x01010101 >> 24) & 0xFF


class PackedPopulation(Population):
    """Store 32 agents a word: bit 1 is an agent at -1, and the vote is S - 2 · popcount.

    Pad bits are 0 and stay so.
    """

    live: Tensor

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Store fair coins; give the port."""
        words = torch.arange(-(-self.readout.size // WORD), device=weight.device)
        counts = (self.readout.size - WORD * words).clamp(max=WORD)
        live = (torch.ones_like(counts) << counts) - 1  # int64; all 32 bits are -1 as an int32
        self.register_buffer("live", live.to(torch.int32), persistent=False)
        return super().adopt(weight)

    def initial(self, weight: Tensor) -> Tensor:
        """Give fair coins."""
        shape = (len(weight), weight[0].numel(), len(self.live))
        return random_words(shape, weight.device) & self.live

    def total(self) -> Tensor:
        """Add up the votes."""
        against = popcount(self.store).sum(dim=-1, dtype=torch.int32)
        return (self.readout.size - 2 * against).reshape(self.weight_shape)

    def move(self, direction: Tensor, chance: Tensor, steps: Tensor | None = None) -> Tensor:
        """Flip opposing agents: a mask of random bits, each set with the weight's chance."""
        rows = self.store.shape[:-1]
        wanted = torch.where((direction < 0).reshape(rows).unsqueeze(-1), self.live, 0)
        flips = (self.store ^ wanted) & random_mask(chance.reshape(rows), len(self.live))
        self.store.bitwise_xor_(flips)
        return (flips != 0).any(dim=-1).reshape(self.weight_shape)

    def disturb(self, chance: float) -> None:
        """Flip agents at random."""
        if chance > 0:
            chances = torch.full(self.store.shape[:-1], chance, device=self.store.device)
            self.store.bitwise_xor_(random_mask(chances, self.store.shape[-1]) & self.live)


def random_words(shape: tuple[int, ...] | torch.Size, device: torch.device) -> Tensor:
    """Draw words of 32 fair bits.

    Shape: given, int32.
    """
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, device=device)


def random_mask(chance: Tensor, n_words: int) -> Tensor:
    """Draw words whose every bit is set with the weight's chance.

    The chance is first rounded at random to a multiple of 2^-8, which is exact on average, then its
    binary digits are compared with random bits from the lowest up: m ← m | r for a digit 1, m & r for 0.

    Shape: (...) bool or in [0, 1] -> (..., n_words) int32.
    """
    if chance.dtype == torch.bool:
        return (
            torch.where(chance, -1, 0).to(torch.int32).unsqueeze(-1).expand(*chance.shape, n_words)
        )
    digits = torch.floor(chance * 2**CHANCE_BITS + torch.rand_like(chance)).to(torch.int32)
    mask = torch.zeros(*chance.shape, n_words, dtype=torch.int32, device=chance.device)
    some = (digits > 0).nonzero(as_tuple=True)  # chances are small: few weights draw bits at all
    chosen = digits[some].unsqueeze(-1)
    bits = torch.where(chosen >= 2**CHANCE_BITS, -1, 0).to(torch.int32).expand(-1, n_words)
    for i in range(CHANCE_BITS):
        words = random_words(bits.shape, chance.device)
        bits = torch.where(chosen >> i & 1 != 0, bits | words, bits & words)
    bits = torch.where(chosen >= 2**CHANCE_BITS, -1, bits)
    mask[some] = bits
    return mask
