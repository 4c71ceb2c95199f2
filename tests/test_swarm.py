"""Swarms: readouts, counts of bits, random masks, and one population in two storages."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnncli.errors import UsageError
from bnncli.quantizers import lanes, make_quantizer
from bnncli.quantizers.lanes import RARE, popcount, random_mask, random_words, words_of

SIZES = [1, 31, 32, 33, 48, 64]
READOUTS = ["majority", "analog", "log-scaled"]
WORDS = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40)


def swarm(shape=(3, 5), **options):
    torch.manual_seed(0)
    quantizer = make_quantizer("swarm", options=options)
    port = quantizer.adopt(torch.nn.Parameter(torch.randn(shape)))
    return quantizer, port


def agents_of(quantizer):
    """Unpack a packed population: (out, fan_in, S) of ±1, by Python's own bits."""
    size = quantizer.readout.size
    rows = [
        [1 - 2 * (word >> lane & 1) for word in words for lane in range(32)][:size]
        for words in quantizer.store.reshape(-1, quantizer.store.shape[-1]).tolist()
    ]
    return torch.tensor(rows, dtype=torch.int8).reshape(*quantizer.store.shape[:2], size)


def pad_bits(quantizer):
    return (quantizer.store & ~quantizer.live).abs().sum().item()


@given(WORDS)
def test_popcount_is_that_of_python(words):
    given_words = torch.tensor(words, dtype=torch.int32)
    counts = popcount(given_words).tolist()
    assert counts == [(word & 0xFFFFFFFF).bit_count() for word in words]
    assert given_words.tolist() == words


@pytest.mark.parametrize("word", [0, -1, -(2**31), 2**31 - 1, 0x55555555, -0x55555556])
def test_popcount_of_words_at_the_ends(word):
    assert popcount(torch.tensor([word], dtype=torch.int32)).item() == (word % 2**32).bit_count()


def expected_weights(agents, readout, tie, fan_in):
    total = agents.astype(np.int64).sum(axis=-1)
    if readout == "majority":
        return np.where(total == 0, tie, np.sign(total)).astype(np.float64)
    return total / agents.shape[-1] if readout == "analog" else total / math.sqrt(fan_in)


@pytest.mark.parametrize("storage", ["packed", "int8"])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("size", [*SIZES, 2, 127, 128, 255, 256])
def test_readouts_are_those_of_the_agents(storage, readout, size):
    quantizer, port = swarm((4, 3, 2, 2), size=size, readout=readout, storage=storage)
    agents = agents_of(quantizer) if storage == "packed" else quantizer.store
    expected = expected_weights(agents.numpy(), readout, 1, 12).reshape(4, 3, 2, 2)
    np.testing.assert_allclose(quantizer(port).detach().numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("storage", ["packed", "int8"])
@pytest.mark.parametrize("size", [2, 4, 32])
@pytest.mark.parametrize("tie", [1, -1])
def test_a_tie_counts_as_the_argument(storage, size, tie):
    quantizer, port = swarm(size=size, storage=storage, **({} if tie == 1 else {"tie": tie}))
    if storage == "packed":
        quantizer.store.fill_(2 ** (size // 2) - 1)
    else:
        quantizer.store[..., ::2], quantizer.store[..., 1::2] = 1, -1
    assert (quantizer(port) == tie).all()
    quantizer.move(torch.full((3, 5), float(-tie)), torch.ones(3, 5))
    assert (quantizer(port) == -tie).all()


def test_thirty_two_agents_have_thirty_three_levels():
    quantizer, port = swarm((33, 1), readout="analog")
    quantizer.store.copy_(torch.tensor([(1 << i) - 1 for i in range(33)]).view(33, 1, 1))
    assert quantizer(port).flatten().tolist() == [(32 - 2 * i) / 32 for i in range(33)]
    assert quantizer.bits == math.log2(33)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("size", SIZES)
def test_int8_and_packed_populations_are_the_same_agents(readout, size):
    """Given the same agents and certain moves, both go the same way."""
    packed, port = swarm((4, 6), size=size, readout=readout)
    bytes_, other = swarm((4, 6), size=size, readout=readout, storage="int8")
    bytes_.store.copy_(agents_of(packed))
    direction = torch.where(torch.randn(4, 6) < 0, -1.0, 1.0)
    for chance in (torch.rand(4, 6) < 0.5, torch.zeros(4, 6), torch.ones(4, 6)):
        assert torch.equal(packed(port), bytes_(other))
        moved = packed.move(direction, chance)
        assert torch.equal(moved, bytes_.move(direction, chance))
        assert torch.equal(agents_of(packed), bytes_.store)
    assert (packed.signs() == direction).all()


@pytest.mark.parametrize("size", SIZES)
def test_pad_bits_stay_zero(size):
    quantizer, _ = swarm((6, 40), size=size)
    assert quantizer.store.shape == (6, 40, words_of(size))
    assert pad_bits(quantizer) == 0
    for chance in (torch.ones(6, 40), torch.full((6, 40), 0.3), torch.full((6, 40), 0.005)):
        quantizer.move(torch.where(torch.randn(6, 40) < 0, -1.0, 1.0), chance)
        assert pad_bits(quantizer) == 0
    quantizer.move(-torch.ones(6, 40), torch.ones(6, 40, dtype=torch.bool))
    assert (quantizer.store == quantizer.live).all()
    for chance in (1.0, 0.5, 0.01):
        quantizer.disturb(chance)
        assert pad_bits(quantizer) == 0


CHANCES = [0.0, 1e-5, 1e-3, 0.01, RARE, 0.02, 1 / 3, 0.5, 0.999, 1.0]


@pytest.mark.parametrize("chance", CHANCES)
@pytest.mark.parametrize("size", [32, 48])
def test_every_lane_of_a_mask_is_set_with_the_chance(chance, size):
    torch.manual_seed(3)
    n = 40_000
    mask = random_mask(torch.full((n,), chance), size)
    assert mask.shape == (n, words_of(size))
    hits = mask.unsqueeze(-1) >> torch.arange(32) & 1
    hits = hits.reshape(n, -1)[:, :size].double()
    # Lanes of a weight share the rounding of a frequent chance, at most half of 2^-8 each way.
    shared = size * 2**-18 if chance > RARE else 0
    deviation = math.sqrt((chance * (1 - chance) / size + shared / size) / n)
    assert hits.mean().item() == pytest.approx(chance, abs=4.5 * deviation + 1e-12)
    each = math.sqrt((chance * (1 - chance) + 2**-18) / n)
    assert (hits.mean(dim=0) - chance).abs().max() <= 5 * each + (1e-4 if 0 < chance < 1e-3 else 0)


def test_rare_lanes_are_independent():
    """The number of hits a weight has the binomial distribution's variance and zeros."""
    torch.manual_seed(5)
    n, p = 60_000, 0.012
    hits = popcount(random_mask(torch.full((n,), p), 32))[:, 0].double()
    variance = 32 * p * (1 - p)
    assert hits.var().item() == pytest.approx(variance, rel=0.05)
    none = (1 - p) ** 32
    assert (hits == 0).double().mean().item() == pytest.approx(
        none, abs=4.5 * math.sqrt(none * (1 - none) / n)
    )


@pytest.mark.parametrize("chance", [0.3, 0.9])
def test_the_walk_from_hit_to_hit_is_exact_for_any_chance(monkeypatch, chance):
    monkeypatch.setattr(lanes, "RARE", 1.0)
    torch.manual_seed(2)
    mask = random_mask(torch.full((20_000,), chance), 48)
    hits = (mask.unsqueeze(-1) >> torch.arange(32) & 1).reshape(20_000, 64).double()
    assert hits[:, 48:].sum() == 0
    share = hits[:, :48].mean(dim=0)
    assert (share - chance).abs().max() < 5 * math.sqrt(chance * (1 - chance) / 20_000)


def test_each_weight_has_its_own_chance():
    torch.manual_seed(0)
    chances = torch.tensor([0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 1.0])
    hits = popcount(random_mask(chances.expand(5000, 7), 32))[..., 0].double().mean(dim=0) / 32
    bound = 5 * (chances * (1 - chances) / (32 * 5000) + 2**-18 / 5000).sqrt() + 1e-12
    assert ((hits - chances).abs() <= bound).all()


def test_a_bool_chance_is_certain():
    chance = torch.tensor([[True, False, True]])
    assert random_mask(chance, 33).tolist() == [[[-1, -1], [0, 0], [-1, -1]]]


def test_random_words_are_fair_and_follow_the_default_generator():
    torch.manual_seed(1)
    words = random_words((4001, 1), torch.device("cpu"))
    assert words.shape == (4001, 1)
    lanes = (words >> torch.arange(32) & 1).double().mean(dim=0)
    assert (lanes - 0.5).abs().max() < 5 * 0.5 / math.sqrt(4001)
    torch.manual_seed(1)
    assert torch.equal(random_words((4001, 1), torch.device("cpu")), words)
    assert not torch.equal(random_words((4001, 1), torch.device("cpu")), words)


@pytest.mark.parametrize("storage", ["packed", "int8"])
@pytest.mark.parametrize("chance", [0.004, 0.2])
def test_agents_that_oppose_flip_with_the_chance(storage, chance):
    quantizer, _ = swarm((200, 100), storage=storage)
    before = copy.deepcopy(quantizer)
    direction = torch.where(torch.randn(200, 100) < 0, -1.0, 1.0)
    quantizer.move(direction, torch.full((200, 100), chance))

    def agents(q):
        return agents_of(q) if storage == "packed" else q.store.clone()

    old, new, wanted = agents(before), agents(quantizer), direction.unsqueeze(-1)
    opposed = old != wanted
    flipped = old != new
    assert not (flipped & ~opposed).any()
    n = int(opposed.sum())
    share = flipped.sum().item() / n
    assert share == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / n) + 1e-4)


@pytest.mark.parametrize("storage", ["packed", "int8"])
def test_a_disturbance_flips_agents_with_the_chance(storage):
    quantizer, port = swarm((100, 100), readout="analog", storage=storage)
    quantizer.move(torch.ones(100, 100), torch.ones(100, 100))
    quantizer.disturb(0.0)
    assert (quantizer(port) == 1).all()
    quantizer.disturb(0.01)
    share = (1 - quantizer(port).mean().item()) / 2
    assert share == pytest.approx(0.01, abs=5 * math.sqrt(0.01 / 320_000))


def test_memory_is_that_of_the_agents():
    for size, storage, n_bytes in [(32, "packed", 4), (48, "packed", 8), (32, "int8", 32)]:
        quantizer, port = swarm((10, 20), size=size, storage=storage)
        assert quantizer.store.untyped_storage().nbytes() == 200 * n_bytes
        assert port.untyped_storage().nbytes() == 4


def test_the_shared_gradient_of_a_float_swarm_moves_its_vote():
    quantizer = make_quantizer("swarm-float", options={"size": 9})
    agents = quantizer.adopt(torch.nn.Parameter(torch.randn(1, 40)))
    target = torch.where(torch.randn(1, 40) < 0, -1.0, 1.0)
    optimizer = torch.optim.SGD([agents], lr=0.5)
    for _ in range(40):
        optimizer.zero_grad()
        (quantizer(agents) - target).square().sum().backward()
        optimizer.step()
    assert torch.equal(quantizer(agents).detach(), target)


def test_the_scale_of_a_float_swarm_is_that_of_its_mean_agents():
    quantizer = make_quantizer("swarm-float", scale="mean-abs-per-output")
    agents = quantizer.adopt(torch.nn.Parameter(torch.randn(3, 7, 2, 2)))
    means = agents.detach().mean(dim=-1).reshape(3, 7, 2, 2)
    expected = means.abs().mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(quantizer.codes(agents).scale, expected)
    torch.testing.assert_close(quantizer(agents).abs(), expected.expand(3, 7, 2, 2))
    torch.testing.assert_close(quantizer.relaxed(agents).detach(), means)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "swarm size=0: expected 1 to 1024"),
        ({"size": 1025}, "swarm size=1025"),
        ({"tie": 0}, "swarm tie=0: expected 1 or -1"),
        ({"readout": "log"}, "unknown readout 'log'.*log-scaled"),
        ({"storage": "int4"}, "unknown swarm storage 'int4'"),
        ({"sise": 3}, "no option 'sise'"),
        ({"size": 3.5}, "size=3.5: expected int"),
    ],
)
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make_quantizer("swarm", options=options)
