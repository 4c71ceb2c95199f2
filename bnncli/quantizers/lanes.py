"""Words of 32 lanes, a bit each: count them, draw them at random."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WORD = 32
CHANCE_BITS = 8
RARE = 1 / 64
"""Below this chance a weight's lanes are visited one by one, from hit to hit."""


def words_of(size: int) -> int:
    """Count the words that hold ``size`` lanes."""
    return -(-size // WORD)


def popcount(words: Tensor) -> Tensor:
    """Count the set bits of each int32 by adding pairs, nibbles, bytes.

    Shape: (...) int32 -> (...) int32.
    """
    # In place, because new memory would cost more than the sums.
    x = words >> 1
    x.bitwise_and_(0x55555555)
    torch.sub(words, x, out=x)
    y = x >> 2
    x.bitwise_and_(0x33333333).add_(y.bitwise_and_(0x33333333))
    torch.bitwise_right_shift(x, 4, out=y)
    x.add_(y).bitwise_and_(0x0F0F0F0F)
    return x.mul_(0x01010101).bitwise_right_shift_(24)


def random_words(shape: tuple[int, ...] | torch.Size, device: torch.device) -> Tensor:
    """Draw words of 32 fair bits from torch's default generator.

    Shape: given, int32.
    """
    return _as_words(_fill(_draws(shape, device)), shape)


def _draws(shape: tuple[int, ...] | torch.Size, device: torch.device) -> Tensor:
    """Make room for words of a shape, two of them in each draw of 64 bits."""
    return torch.empty(-(-math.prod(shape) // 2), dtype=torch.int64, device=device)


def _fill(draws: Tensor) -> Tensor:
    return draws.random_(-(2**63), None)


def _as_words(draws: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    return draws.view(torch.int32)[: math.prod(shape)].view(shape)


def random_mask(chance: Tensor, size: int) -> Tensor:
    """Draw words whose every lane below ``size`` is set with the weight's chance.

    A bool chance sets all lanes or none. Lanes of a weight are independent where the chance is rare.
    Elsewhere the chance is first rounded at random to a multiple of 2^-8, which is exact on average.
    The resolution is that of ``torch.rand``, 2^-24. Lanes from ``size`` up may be set too.

    Shape: (...) bool or in [0, 1] -> (..., words_of(size)) int32.
    """
    n_words = words_of(size)
    if chance.dtype == torch.bool:
        return chance.to(torch.int32).neg_().unsqueeze(-1).expand(*chance.shape, n_words)
    mask = torch.zeros(chance.numel(), n_words, dtype=torch.int32, device=chance.device)
    shape, chance = chance.shape, chance.flatten()
    drawn = torch.rand_like(chance)
    often = chance > RARE
    # A weight has a hit with a probability of at most size · chance; most weights end here.
    perhaps = torch.lt(drawn, chance * size).logical_and_(~often)
    chosen = perhaps.nonzero().squeeze(1)
    _set_rare(mask, chosen, chance.index_select(0, chosen), drawn.index_select(0, chosen), size)
    chosen = often.nonzero().squeeze(1)
    if len(chosen):
        words = _frequent(chance.index_select(0, chosen), drawn.index_select(0, chosen), n_words)
        mask.index_copy_(0, chosen, words)
    return mask.view(*shape, n_words)


def _set_rare(mask: Tensor, index: Tensor, chance: Tensor, drawn: Tensor, size: int) -> None:
    """Walk from hit to hit: the gaps between events of chance p are ⌊log(1 - u) / log(1 - p)⌋.

    Shape: (n, words), (k,), (k,), (k,) uniform.
    """
    lanes = torch.ones(WORD, dtype=torch.int32, device=mask.device)
    lanes <<= torch.arange(WORD, dtype=torch.int32, device=mask.device)
    flat, n_words = mask.view(-1), mask.shape[1]
    rate = torch.log1p(-chance)
    position = torch.log1p(-drawn).div_(rate).floor_()
    while len(index):
        inside = (position < size).nonzero().squeeze(1)
        index, rate, position = (
            index.index_select(0, inside),
            rate.index_select(0, inside),
            position.index_select(0, inside),
        )
        at = position.long()
        # A lane is visited once, so adding its bit sets it.
        flat.index_add_(0, index * n_words + (at >> 5), lanes.index_select(0, at & (WORD - 1)))
        position += torch.log1p(-torch.rand_like(rate)).div_(rate).floor_().add_(1)


def _frequent(chance: Tensor, drawn: Tensor, n_words: int) -> Tensor:
    """Compare the chance's binary digits with random bits, from the lowest digit up.

    m ← m | r for a digit 1 and m & r for a 0, which is the majority of m, r and the digit.

    Shape: (k,), (k,) uniform -> (k, words).
    """
    digits = torch.floor(chance * 2**CHANCE_BITS + drawn).to(torch.int32).unsqueeze(-1)
    # Fresh memory for each of the forty results would cost more than all of them.
    mask = torch.zeros(len(chance), n_words, dtype=torch.int32, device=chance.device)
    draws, digit, differs = _draws(mask.shape, mask.device), digits.clone(), mask.clone()
    other = _as_words(draws, mask.shape)
    for i in range(CHANCE_BITS):
        _fill(draws)
        torch.bitwise_left_shift(digits, WORD - 1 - i, out=digit)
        digit.bitwise_right_shift_(WORD - 1)  # all ones for a 1
        torch.bitwise_xor(mask, digit, out=differs)
        mask.bitwise_xor_(other.bitwise_xor_(mask).bitwise_and_(differs))
    return mask.bitwise_or_((digits >> CHANCE_BITS).neg_())  # a chance of 1 has a ninth digit
