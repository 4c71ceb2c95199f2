"""Failed experiments: the arithmetic of their causes, and the pairs that repeat them."""

from __future__ import annotations

import math
import tracemalloc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bnncli.compare.matrix import find_preset
from bnncli.data import load_dataset
from bnncli.errors import UsageError
from bnncli.norms import make_norm
from bnncli.optim import find_optimizer, reachable
from bnncli.optim.flip import Flip
from bnncli.optim.rules import Threshold
from bnncli.optim.scores import Leak
from bnncli.quantizers import make_quantizer
from bnncli.training.config import Settings
from bnncli.training.experiment import resolve
from bnncli.training.memory import measure_memory, storage_bytes
from bnncli.training.trainers import make_trainer

CPU = torch.device("cpu")
FAILURES = find_preset("failures")
METHODS = {method.name: method for method in FAILURES.methods}
REPAIRED = "-repaired"


def store_of(shape, weights="bits"):
    torch.manual_seed(0)
    store = make_quantizer(weights)
    return store.adopt(nn.Parameter(torch.randn(shape))), store


def flip_of(name, shape=(4, 6), **options) -> tuple[Flip, nn.Parameter]:
    preset = find_optimizer(name)
    port, store = store_of(shape, preset.weights)
    return preset.make([(port, store)], lr=preset.lr, **options), port


def trainer_of(**sections):
    settings = resolve(Settings().updated(sections))
    return make_trainer(settings, load_dataset("digits"), device=CPU)


def flips_of(flip: Flip, port: nn.Parameter, steps: int, progress: float) -> int:
    """Step with the gradient that each weight agrees with most; count what flips."""
    store, flipped = flip.stores[port], 0
    flip.param_groups[0]["progress"] = progress
    for _ in range(steps):
        before = store.signs()
        port.grad = before.clone()
        flip.step()
        flipped += int((store.signs() != before).sum())
    return flipped


# Thresholds out of reach


@given(
    decay=st.floats(0.1, 0.95),
    gain=st.floats(0.01, 10),
    votes=st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60),
)
def test_no_votes_take_a_leaky_sum_past_its_bound(decay, gain, votes):
    score = Leak(decay, gain, vote=True)
    state = score.start(torch.zeros(1))
    for vote in votes:
        score.update(state, torch.tensor([vote]), 1.0)
    assert abs(state["leak"].item()) <= gain / (1 - decay) * (1 + 1e-5)
    assert score.largest(1.0, 1.0) == pytest.approx(gain / (1 - decay))


@given(decay=st.floats(0.1, 0.9), share=st.floats(0.1, 0.9))
def test_a_threshold_within_the_bound_is_reached_by_equal_votes(decay, share):
    score = Leak(decay, vote=True)
    rule = Threshold(share / (1 - decay))
    assert reachable(score, rule) == pytest.approx(1 / share)
    port, store = store_of((1, 1))
    flip = Flip([(port, store)], score=score, rule=rule, lr=1.0)
    needed = math.log(1 - share) / math.log(decay)
    assert flips_of(flip, port, math.ceil(needed) + 1, 0.0) >= 1


def test_v19_as_published_flips_nothing_whatever_the_gradient_and_repaired_it_does():
    flip, port = flip_of("adaptive-vote")
    assert reachable(flip.score, flip.rule) == pytest.approx(1)
    assert flips_of(flip, port, 200, 0.0) == 0
    flip, port = flip_of("adaptive-vote", decay=0.9)
    assert flips_of(flip, port, 200, 0.0) > 0


@pytest.mark.parametrize(("progress", "flips"), [(0.0, True), (0.16, True), (0.17, False)])
def test_v18_as_published_flips_nothing_after_a_sixth_of_the_run(progress, flips):
    flip, port = flip_of("friction-vote")
    assert (reachable(flip.score, flip.rule, progress=progress) > 1) is flips
    assert (flips_of(flip, port, 200, progress) > 0) is flips


def test_v18_with_a_last_threshold_of_nine_can_flip_to_the_end():
    flip, port = flip_of("friction-vote", last_threshold=9.0)
    assert flips_of(flip, port, 200, 1.0) > 0


# Agents, ranks


def test_top_k_over_agents_takes_all_opposing_agents_of_a_weight():
    port, store = store_of((8, 40), "swarm")
    preset = find_optimizer("rank")
    flip = preset.make([(port, store)], lr=0.1)
    before = store.signs()
    torch.manual_seed(1)
    port.grad = torch.randn(port.shape)
    flip.step()
    words = store.store[..., 0]
    changed = store.signs() != before
    assert 0 < int(changed.sum()) == int(0.1 * port.numel())
    assert bool(((words == 0) | (words == -1)).view_as(changed)[changed].all())


def test_a_chance_for_each_agent_splits_the_agents_of_a_weight():
    port, store = store_of((8, 40), "swarm")
    flip = find_optimizer("swarm").make([(port, store)], lr=10.0)
    before = store.store.clone()
    torch.manual_seed(1)
    port.grad = torch.full(port.shape, 0.02)
    flip.step()
    moved = (store.store != before).float().mean()
    unanimous = (store.store == -1).float().mean()
    assert moved > 0.5
    assert unanimous < 0.1


def test_rank_flips_the_same_number_however_small_the_gradient_is():
    counts = []
    for size in (1.0, 1e-6):
        flip, port = flip_of("rank", (20, 50))
        torch.manual_seed(1)
        before = flip.stores[port].signs()
        port.grad = size * torch.randn(port.shape)
        flip.step()
        counts.append(int((flip.stores[port].signs() != before).sum()))
    assert counts == [10, 10]


def test_sparing_agreeing_weights_changes_nothing_while_many_disagree():
    results = []
    for agreeing in (False, True):
        flip, port = flip_of("rank", (20, 50), agreeing=agreeing)
        for step in range(5):
            torch.manual_seed(step)
            port.grad = torch.randn(port.shape)
            flip.step()
        results.append(flip.stores[port].signs())
    assert torch.equal(*results)


# Gains and means


def test_one_step_of_sgd_at_a_hundredth_is_28_percent_of_the_gain_of_784_inputs():
    norm = make_norm("scale-shift", 4, fan_in=784)
    before = norm.gain.detach().clone()
    norm.gain.grad = torch.ones(4)
    torch.optim.SGD([norm.gain], lr=0.01).step()
    change = (before - norm.gain.detach()) / before
    torch.testing.assert_close(change, torch.full((4,), 0.28))


def test_a_frozen_gain_is_no_parameter_and_a_power_of_two_moves_by_factors():
    frozen = make_norm("scale-shift", 4, fan_in=784, gain="frozen")
    assert "gain" not in dict(frozen.named_parameters())
    power = make_norm("scale-shift", 4, fan_in=784, gain="power-of-two")
    gain, _ = power.gain_and_offset()
    torch.testing.assert_close(gain.detach(), torch.full((4,), 2.0**-5))


@pytest.mark.parametrize("centered", [False, True])
def test_the_gradient_asks_for_a_mean_that_is_taken_back_unless_it_is_centered(centered):
    options = {"gain": "frozen", "centered_gradient": centered}
    norm = make_norm("scale-shift", 3, fan_in=16, **options).train()
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    norm(x).sum().backward()
    asked = x.grad.sum(dim=0).abs()
    assert bool((asked < 1e-4).all()) is centered


def test_a_steered_threshold_follows_the_size_of_the_gradient():
    ends = []
    for size in (1.0, 100.0):
        flip, port = flip_of("adaptive-if", (20, 50), threshold=10.0, target=0.001)
        for step in range(300):
            torch.manual_seed(step)
            port.grad = size * torch.randn(port.shape) * 1e-3
            flip.step()
        ends.append(flip.state[port]["theta"].item())
    assert 30 < ends[1] / ends[0] < 300


# Integers, counters, memory


def test_an_integer_is_no_parameter_and_a_port_gets_the_gradient_of_the_weights():
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(torch.ones(3, dtype=torch.int8))
    port, store = store_of((4, 6))
    direct = store.signs().requires_grad_()
    x = torch.randn(5, 6)
    (x @ store(port).T).square().sum().backward()
    (x @ direct.T).square().sum().backward()
    assert torch.equal(port.grad, direct.grad)
    assert store.store.dtype == torch.int8
    assert storage_bytes([port.data, store.store]) == 24 + 4


@pytest.mark.parametrize("discharge", [True, False])
def test_a_counter_without_discharge_remembers_every_step(discharge):
    flip, port = flip_of("swarm-log-dynamic", discharge=discharge)
    torch.manual_seed(0)
    for _ in range(150):
        port.grad = torch.ones(port.shape)
        flip.step()
    count = flip.state[port]["count"]
    assert bool((count <= 5).all()) is discharge
    assert bool((count == 150).all()) is not discharge
    for _ in range(60):
        port.grad = -torch.ones(port.shape)
        flip.step()
    followed = bool((flip.stores[port].signs() > 0).float().mean() > 0.9)
    assert followed is discharge


def test_a_tracer_of_python_allocations_does_not_see_tensors():
    tracemalloc.start()
    tensor = torch.zeros(2**20)
    seen, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert storage_bytes([tensor]) == 2**22
    assert seen < 2**22 / 100


def test_signum_keeps_half_of_adams_state_and_saves_a_quarter_of_the_whole():
    held = []
    for train in ({"optimizer": "adam"}, {"optimizer": "signum", "plain_optimizer": "sgd"}):
        trainer = trainer_of(model={"arch": "mlp", "weights": "binary"}, train=train)
        trainer.model(torch.from_numpy(trainer.data.train.images[:8])).sum().backward()
        trainer.optimizer.step()
        held.append(measure_memory(trainer.model, trainer.optimizer))
    adam, signum = held
    assert signum.optimizer_bytes / adam.optimizer_bytes == pytest.approx(0.5, abs=2e-3)
    whole = [m.parameter_bytes + m.gradient_bytes + m.optimizer_bytes for m in held]
    assert whole[1] / whole[0] == pytest.approx(0.75, abs=2e-3)


def test_unscaled_sums_grow_by_the_root_of_their_length():
    spreads = {}
    for scale in ("none", "fan-in"):
        model = {"arch": "mlp", "weights": "binary", "norm": "none", "scale": scale}
        trainer = trainer_of(model=model)
        with torch.inference_mode():
            images = torch.from_numpy(trainer.data.train.images)
            spreads[scale] = trainer.model(images).std().item()
    assert spreads["none"] > 20
    assert spreads["fan-in"] < 1


def test_the_best_of_many_equal_epochs_is_above_what_any_of_them_is():
    generator = torch.Generator().manual_seed(0)
    # 200 networks of 15 epochs, all right on 90 % of the world, scored on two sets of 500 images.
    right = torch.rand(200, 15, 2, 500, generator=generator) < 0.9
    scores = right.double().mean(dim=-1)
    chosen = scores[..., 0].argmax(dim=1)
    rows = torch.arange(200)
    assert scores[rows, chosen, 0].mean() > 0.915
    assert scores[rows, chosen, 1].mean() == pytest.approx(0.9, abs=0.005)


# The preset


def test_failures_are_pairs_with_their_texts():
    names = [name for name in METHODS if not name.endswith((REPAIRED, "-frozen"))]
    assert len(names) >= 9
    for name in names:
        repaired = METHODS[name + REPAIRED]
        assert METHODS[name].method.about
        assert repaired.method.about
        assert not repaired.method.published, "a published result belongs to what was published"
        assert METHODS[name].settings != repaired.settings
        if METHODS[name].method.published:
            assert "leo-gan/binary-optimizers" in METHODS[name].method.note


@pytest.mark.parametrize("name", METHODS)
def test_every_failure_can_be_trained(name):
    values = Settings().updated(FAILURES.base).updated(METHODS[name].settings)
    small = values.updated({"model": {"widths": [8]}, "train": {"epochs": 1, "batch_size": 32}})
    trainer = make_trainer(resolve(small), load_dataset("digits"), device=CPU)
    order = trainer.begin_epoch(0, resumed=False)
    before = trainer.progress.step
    trainer.step(order, 0)
    assert trainer.progress.step == before + 1


def test_a_misspelt_failure_is_named():
    with pytest.raises(UsageError, match="v99"):
        FAILURES.select(["v99"])
