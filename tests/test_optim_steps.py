"""Steps of optimizers computed by hand: chances, counters, thresholds, masks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bnncli.optim import OPTIMIZERS, reachable
from bnncli.optim.flip import Flip
from bnncli.optim.masks import at_least, greater
from bnncli.optim.scores import Counter, Gradient, Leak
from bnncli.quantizers import make_quantizer
from tests.weight_bench import Bench


def chances(name: str, gradients, n_steps: int = 1, **options) -> list[float]:
    bench = Bench(name, [1.0] * len(gradients), **options)
    for _ in range(n_steps):
        bench.step(gradients)
    return bench.chances[-1].flatten().tolist()


@pytest.mark.parametrize(
    ("name", "gradients", "expected", "options"),
    [
        ("swarm", [0.0, 0.01, -0.02, 1.0], [0.0, 0.1, 0.2, 0.5], {}),
        ("swarm", [1.0, -3.0], [0.05, 0.15], {"lr": 0.1, "relative": True}),
        ("swarm", [0.1], [0.05], {"lr": 1.0, "momentum": 0.5}),
        ("bit-logic", [0.01, -0.5], [0.5, 1.0], {"mutation": 0.0}),
        ("bit-logic", [0.01, -0.5], [0.2, 0.2], {"mutation": 0.0, "cap": 0.2}),
        ("adaptive-bit", [1.0, -3.0], [0.01, 0.03], {}),
        ("unary", [1e-5, -1.0], [0.01, 0.15], {}),
        ("register", [1e-5, -1.0, 0.0], [0.01, 0.5, 0.0], {}),
        ("unary-link", [0.0, 0.05, -9.0], [0.0, 0.051, 0.251], {"step": "sgd", "lr": 0.1}),
        # Adam's first step is lr · g / (|g| + ε), whatever g is.
        ("unary-link", [0.0, 0.05, -9.0], [0.0, 0.011, 0.011], {}),
    ],
)
def test_chances_of_a_first_step(name, gradients, expected, options):
    assert chances(name, gradients, **options) == pytest.approx(expected, abs=2e-6)


def test_adam_steps_are_torchs():
    gradients = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    p = nn.Parameter(torch.zeros(4))
    adam = torch.optim.Adam([p], lr=0.01)
    bench = Bench("unary-link", [1.0] * 4, lr=0.01, gain=1.0, cap=1.0, noise=0.0)
    for row in gradients:
        before = p.detach().clone()
        p.grad = row.clone()
        adam.step()
        bench.step(row.tolist())
        torch.testing.assert_close(bench.chances[-1].flatten(), (p.detach() - before).abs())


def test_a_static_swarm_log_fires_and_discharges_at_ten():
    bench = Bench("swarm-log", [1.0, 1.0])
    for n in range(1, 10):
        bench.step([0.3, -0.3])
        assert bench.state("count") == [n, -n]
        assert bench.chances[-1].tolist() == [[0, 0]]
    bench.step([0.3, 0.3])
    assert bench.chances[-1].flatten().tolist() == pytest.approx([0.1, 0.0])
    assert bench.state("count") == [0, -8]


def test_the_dynamic_swarm_log_discharges_or_repeats_the_discarded_discharge():
    def p(c: int) -> float:
        return 0.05 + 0.05 * math.log1p((c - 4) / 6)

    bench = Bench("swarm-log-dynamic", [1.0])
    for n in range(1, 5):
        bench.step([1.0])
        assert (bench.state("count"), bench.chances[-1].item()) == ([n], 0.0)
    for _ in range(3):  # 5 fires and leaves trunc(5 · (1 - p)) = 4, so the next vote makes it 5
        bench.step([1.0])
        assert bench.chances[-1].item() == pytest.approx(p(5))
        assert bench.state("count") == [4]

    bug = Bench("swarm-log-dynamic", [1.0], discharge=False)
    for n in range(1, 201):
        bug.step([-1.0])
        assert bug.state("count") == [-n]
        assert bug.chances[-1].item() == pytest.approx(p(n) if n > 4 else 0.0)


def test_registers_move_by_clamped_levels():
    for name, largest in (("register", 512), ("ternary-register", 64)):
        store = make_quantizer(name)
        port = store.adopt(nn.Parameter(torch.zeros(1, 3)))
        start = store.store.clone()
        # A momentum of zero makes the average the gradient; a huge rate makes the chance the cap.
        optimizer = OPTIMIZERS[name].make([(port, store)], lr=1e12, momentum=0.0, cap=1.0)
        port.grad = torch.tensor([[1.0, -1e-5, 1e-9]])
        optimizer.step()
        assert (store.store.int() - start.int()).tolist() == [[-largest, 10, -1]]


def test_stochastic_registers_round_without_bias():
    store = make_quantizer("register")
    port = store.adopt(nn.Parameter(torch.zeros(1, 4000)))
    start = store.store.clone()
    optimizer = OPTIMIZERS["stochastic-register"].make([(port, store)], lr=1e-5, momentum=0.0)
    port.grad = torch.ones(1, 4000)
    torch.manual_seed(0)
    optimizer.step()
    by = (start.int() - store.store.int()).float()
    assert set(by.flatten().tolist()) == {0.0, 1.0}
    # One step of 1e-5 is .3277 levels; five standard errors of 4,000 draws are .037.
    assert by.mean().item() == pytest.approx(1e-5 * 65535 / 2, abs=0.037)


def test_cosine_voting_is_signum_at_a_larger_rate():
    start, gradients = [0.3, -0.2], [[1.0, -2.0], [-4.0, 0.5]]
    one, other = Bench("cosine-voting", start), Bench("signum", start, lr=0.1)
    for row in gradients:
        assert one.step(row) == other.step(row)
    assert one.values == pytest.approx([0.3, 0.0], abs=1e-7)


def test_sparse_sign_falls_from_all_to_some_with_larger_steps():
    n = 4000
    bench = Bench("sparse-sign", [0.0] * n, biased=False)
    torch.manual_seed(0)
    assert bench.step([1.0] * n, progress=0.7) == pytest.approx([-0.06] * n)
    before = torch.tensor(bench.values)
    moved = before - torch.tensor(bench.step([1.0] * n, progress=0.875))
    density = 1 - 0.45 / 2  # half way from 75 % of the run to its end
    assert sorted(set(moved.mul(1e6).round().tolist())) == [0, round(0.06 / density * 1e6)]
    assert (moved > 0).float().mean().item() == pytest.approx(density, abs=0.033)


def test_sparse_sign_prefers_large_averages_and_leaves_tiny_ones():
    bench = Bench("sparse-sign", [0.0] * 4000, momentum=0.0)
    torch.manual_seed(0)
    values = bench.step([1.0] * 2000 + [0.5] * 1000 + [1e-4] * 1000)
    shares = [values[:2000], values[2000:3000], values[3000:]]
    mean = (2000 * 1.0 + 1000 * 0.5 + 1000 * 1e-4) / 4000
    found = [sum(v < 0 for v in share) / len(share) for share in shares]
    assert found == pytest.approx([1.0, 0.5 / mean, 0.0], abs=0.08)


def test_diode_starts_small_at_its_signs_and_approaches_the_rate():
    bench = Bench("diode", [0.5, -0.5, 0.0], beta1=0.5, beta2=0.75, lr=0.01)
    a, b, c = bench.values
    assert 0 < a < 1e-3
    assert -1e-3 < b < 0
    assert 0 < c < 1e-3
    bench.step([2.0, -2.0, 0.0])
    assert bench.state("average") == [1.0, -1.0, 0.0]
    assert bench.values == pytest.approx([a - (0.01 + a) / 4, b + (0.01 - b) / 4, c - c / 4])
    for _ in range(60):
        bench.step([2.0, -2.0, 0.0])
    assert bench.values == pytest.approx([-0.01, 0.01, 0.0], abs=1e-6)


def test_mutation_flips_what_the_gradient_does_not_ask_for():
    store = make_quantizer("bits")
    port = store.adopt(nn.Parameter(torch.ones(1, 10000)))
    optimizer = OPTIMIZERS["bit-logic"].make([(port, store)], lr=1.0, mutation=0.05)
    port.grad = torch.zeros(1, 10000)
    torch.manual_seed(0)
    optimizer.step()
    assert (store.store < 0).float().mean().item() == pytest.approx(0.05, abs=0.011)


def test_counters_stop_at_their_limit():
    state = Counter(127).start(torch.zeros(2))
    for _ in range(300):
        Counter(127).update(state, torch.tensor([1.0, -1.0]), 1.0)
    assert state["count"].tolist() == [127, -127]
    Counter(127).update(state, torch.zeros(2), 1.0)  # no vote changes nothing, at the limit too
    assert state["count"].tolist() == [127, -127]
    Counter(127).update(state, torch.tensor([-1.0, 1.0]), 1.0)
    assert state["count"].tolist() == [126, -126]


def test_the_counter_of_a_swarm_can_reach_its_threshold():
    for threshold, dtype in ((127, torch.int8), (128, torch.int32)):
        optimizer = Bench("swarm-log", [1.0], threshold=threshold).optimizer
        (state,) = optimizer.state.values()
        assert state["count"].dtype == dtype
        assert reachable(optimizer.score, optimizer.rule) == 1


def test_density_lets_a_share_of_gradients_in():
    score = Leak(decay=1.0, density=0.3)
    state = score.start(torch.zeros(4000))
    torch.manual_seed(0)
    score.update(state, torch.ones(4000), 1.0)
    assert set(state["leak"].tolist()) == {0.0, 1.0}
    assert state["leak"].mean().item() == pytest.approx(0.3, abs=0.037)


def built(name: str, **options) -> Flip:
    flip = Bench(name, [1.0], **options).optimizer
    assert isinstance(flip, Flip)
    return flip


def reach(name: str, *, lr: float = 1.0, gradient=math.inf, progress=0.0, **options) -> float:
    flip = built(name, **options)
    return reachable(flip.score, flip.rule, lr=lr, gradient=gradient, progress=progress)


def test_thresholds_that_cannot_be_reached_are_known_by_arithmetic():
    assert reach("adaptive-vote") == 1.0  # 1 / (1 - .5) = 2, and flips need more than 2
    assert reach("adaptive-vote", decay=0.9) == pytest.approx(5.0)
    assert reach("bounded-vote") == pytest.approx(20 / 8)
    assert reach("lif") == pytest.approx(10 / 6)
    assert reach("friction-vote") == pytest.approx(10 / 8)
    assert reach("friction-vote", progress=1 / 6) == pytest.approx(1.0)
    assert reach("friction-vote", progress=1.0) == pytest.approx(0.5)
    assert reach("friction-vote", gradient=1e-4) == 0.0
    assert reach("integrate-fire", lr=100.0, gradient=0.005) == pytest.approx(0.5)
    assert reach("threshold-if", lr=0.1, gradient=0.001) == pytest.approx(0.5)
    assert reach("integer-voting") == 12.7
    assert reach("integer-voting", limit=9) == 0.9
    assert reach("bold", lr=12.0) == reach("swarm") == math.inf
    assert reach("bop", gradient=1e-8) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adaptive-vote", {}),
        ("integer-voting", {"limit": 9}),
        ("lif", {"threshold": 10.1}),
        ("bounded-vote", {"threshold": 20.1}),
    ],
)
def test_what_cannot_be_reached_never_moves(name, options):
    assert reach(name, **options) <= 1
    bench = Bench(name, [1.0, -1.0], **options)
    for _ in range(300):
        assert bench.step([1.0, -1.0]) == [1.0, -1.0]


@given(st.lists(st.floats(-2, 2, width=32), min_size=1), st.floats(-2, 2, width=32))
def test_masks_are_comparisons(values, level):
    x = torch.tensor(values)
    assert greater(x, level).tolist() == [v > level for v in values]
    assert at_least(x, level).tolist() == [v >= level for v in values]
    assert greater(x, torch.tensor(level)).dtype == torch.bool
    assert Gradient().update({}, x, 1.0) is x
