"""Layers of relaxed gates: what each form computes, and that what is frozen is what was trained."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnncli.errors import UsageError
from bnncli.freeze import freeze
from bnncli.gates import table_coefficients
from bnncli.layers import (
    INITS,
    PARAMETRIZATIONS,
    SAMPLINGS,
    Features,
    FixedWiring,
    GroupSum,
    LearnedWiring,
    LogicConv2d,
    LogicDense,
    OrPool2d,
    Planes,
    Thermometer,
    Wires,
    draw_candidates,
    draw_wires,
    set_progress,
)
from bnncli.layers.gate_functions import (
    best_candidates,
    chosen_gates,
    gates,
    mixed_gates,
)
from bnncli.models import Quantization, build_model
from bnncli.models.logic import GateStack
from bnncli.native import default_backend
from bnncli.optim import make_optimizer
from bnncli.quantizers import soft_form

ALL_GATES = np.arange(16)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def wires(n_in: int, n_out: int, seed: int = 0) -> FixedWiring:
    rng = np.random.default_rng(seed)
    return FixedWiring(draw_wires("random", n_in, n_out, layer=0, rng=rng))


def dense(n_in: int, n_out: int, **options: object) -> LogicDense:
    return LogicDense(wires(n_in, n_out), **options)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_soft_coefficients_approach_the_hard_ones(name: str) -> None:
    parametrization = PARAMETRIZATIONS[name]()
    logits = torch.randn(200, parametrization.n_logits)
    sharp = parametrization.soft(logits.double() * 1e9).float()
    assert torch.allclose(sharp, parametrization.hard(logits), atol=1e-5)
    tables = parametrization.tables(logits).numpy()
    assert np.array_equal(parametrization.hard(logits).numpy(), table_coefficients(tables))


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_relaxed_gates_stay_between_0_and_1(name: str) -> None:
    layer = dense(6, 50, parametrization=name, init="random", strength=4.0)
    y = layer(torch.rand(6, 40))
    assert float(y.detach().min()) >= -1e-6
    assert float(y.detach().max()) <= 1 + 1e-6


def test_sixteen_gates_weighted_one_by_one_are_the_softmax_coefficients() -> None:
    layer = dense(5, 30, parametrization="softmax", init="random", strength=1.0)
    x = torch.rand(5, 20)
    wire_a, wire_b = layer.wiring.wires()
    a, b = x[wire_a], x[wire_b]
    c = torch.from_numpy(table_coefficients(ALL_GATES))
    outputs = torch.stack([k[0] + k[1] * a + k[2] * b + k[3] * a * b for k in c], dim=2)
    expected = (outputs * torch.softmax(layer.gate_logits, dim=1)[:, None]).sum(dim=2)
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_residual_layers_begin_as_wires(name: str) -> None:
    layer = dense(8, 8, parametrization=name, strength=5.0).eval()
    bits = torch.randint(2, (8, 30)).float()
    assert torch.equal(layer(bits), bits[layer.wiring.wires()[0]])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_hard_samplings_compute_gates_and_soft_ones_do_not(name: str, sampling: str) -> None:
    layer = dense(6, 40, parametrization=name, sampling=sampling, init="random", strength=1.0)
    bits = torch.randint(2, (6, 25)).float()
    y = layer(bits)
    is_bits = bool(((y == 0) | (y == 1)).all())
    assert is_bits == sampling.endswith("hard")
    y.sum().backward()
    assert layer.gate_logits.grad is not None
    assert float(layer.gate_logits.grad.abs().sum()) > 0


def test_noise_is_drawn_anew_and_evaluation_has_none() -> None:
    layer = dense(6, 40, sampling="gumbel-soft", init="random", strength=1.0)
    bits = torch.randint(2, (6, 25)).float()
    assert not torch.equal(layer(bits), layer(bits))
    layer.eval()
    assert torch.equal(layer(bits), layer(bits))


@pytest.mark.parametrize("init", INITS)
def test_inits_are_as_named(init: str) -> None:
    logits = dense(4, 4000, init=init, strength=2.0).gate_logits.detach()
    if init == "random":
        assert abs(float(logits.std()) - 2) < 0.1
    else:
        wire = torch.tensor([-2.0, 2, -2, 2])
        assert torch.allclose(logits.median(dim=0).values, wire, atol=0.1)
    if init == "heavy-tailed":
        apart = (logits - wire).abs()
        assert float(apart.max()) > 10 * float(apart.median())


def test_gradients_of_gates_and_mixed_gates() -> None:
    x = torch.rand(5, 4, dtype=torch.float64, requires_grad=True)
    a, b = torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([4, 1, 0], dtype=torch.int32)
    c = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, c: gates(x, a, b, c), (x, c))
    candidates = torch.tensor([[[0, 1], [4, 2], [3, 3]], [[1, 0], [2, 4], [2, 4]]]).int()
    w = torch.rand(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w, c: mixed_gates(x, candidates, w, c), (x, w, c))


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_chosen_gates_are_mixed_gates_with_all_weight_on_the_best(
    dtype: torch.dtype, atol: float
) -> None:
    """Their logits get what the weights of the mix would hand to them through a softmax."""
    candidates = torch.from_numpy(draw_candidates(20, 9, 4, np.random.default_rng(0)))
    x = torch.rand(20, 33, dtype=dtype, generator=torch.Generator().manual_seed(1))
    logits = torch.randn(2, 9, 4, dtype=dtype, generator=torch.Generator().manual_seed(2))
    c = torch.linspace(-1, 1, 36, dtype=dtype).view(9, 4)
    inputs = [t.requires_grad_() for t in (x, logits, c)]
    y = chosen_gates(x, candidates, logits, 2.5, c)
    chosen = [y, *torch.autograd.grad((y * y).sum(), inputs)]
    soft = torch.softmax(2.5 * logits, dim=2)
    best = torch.zeros_like(soft).scatter_(2, logits.argmax(2, keepdim=True), 1.0)
    y = mixed_gates(x, candidates, best + soft - soft.detach(), c)
    mixed = [y, *torch.autograd.grad((y * y).sum(), inputs)]
    for ours, expected in zip(chosen, mixed, strict=True):
        assert torch.allclose(ours, expected, atol=atol)


def test_the_first_of_equal_candidates_is_read() -> None:
    candidates = torch.tensor([[[3, 1, 2]], [[0, 2, 1]]], dtype=torch.int32)
    logits = torch.tensor([[[0.5, 2.0, 2.0]], [[2.0, 2.0, 2.0]]])
    for given_logits in (logits, logits.double()):
        assert [t.tolist() for t in best_candidates(candidates, given_logits)] == [[1], [0]]


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 40), st.integers(1, 70), st.integers(1, 130), st.integers(0, 2**32 - 1))
def test_kernels_equal_torch(n_in: int, n_out: int, batch: int, seed: int) -> None:
    torch.manual_seed(seed)
    a, b = wires(n_in, n_out, seed).wires()
    k = min(n_in, 3)
    candidates = torch.from_numpy(draw_candidates(n_in, n_out, k, np.random.default_rng(seed)))
    x, c, w = torch.rand(n_in, batch), torch.randn(n_out, 4), torch.rand(2, n_out, k)
    up = torch.randn(n_out, batch)
    for function, given_inputs in (
        (lambda x, c: gates(x, a, b, c), (x, c)),
        (lambda x, w, c: mixed_gates(x, candidates, w, c), (x, w, c)),
    ):
        results = []
        for dtype in (torch.float32, torch.float64):  # only float32 goes to the kernels
            inputs = [t.to(dtype).requires_grad_() for t in given_inputs]
            y = function(*inputs)
            results.append([y, *torch.autograd.grad(y, inputs, up.to(dtype))])
        for single, double in zip(*results, strict=True):
            assert torch.allclose(single.double(), double, atol=1e-5, rtol=1e-5)


def test_learned_wiring_mixes_in_the_soft_form_and_reads_one_signal_in_the_hard_form() -> None:
    rng = np.random.default_rng(0)
    wiring = LearnedWiring(draw_candidates(10, 6, 4, rng), 10)
    layer = LogicDense(wiring)
    x = torch.rand(10, 7)
    layer.eval()
    a, b = wiring.wires()
    assert torch.equal(layer(x), gates(x, a, b, layer.coefficients()))
    assert all(int(w) in row.tolist() for w, row in zip(a, wiring.candidates[0], strict=True))
    with soft_form(layer):
        soft = layer(x)
    assert not torch.allclose(soft, layer(x))
    with torch.no_grad():
        wiring.wire_logits.mul_(1e5)
        layer.gate_logits.mul_(1e5)
    with soft_form(layer):
        soft = layer(x)
    assert torch.allclose(soft, layer(x), atol=1e-5)


def test_hard_selection_trains_on_bits_and_reaches_every_candidate() -> None:
    rng = np.random.default_rng(0)
    wiring = LearnedWiring(draw_candidates(10, 6, 4, rng), 10, selection="hard")
    layer = LogicDense(wiring, sampling="hard", init="random", strength=1.0)
    y = layer(torch.randint(2, (10, 50)).float())
    assert bool(((y == 0) | (y == 1)).all())
    (y * torch.rand_like(y)).sum().backward()
    assert wiring.wire_logits.grad is not None
    assert int((wiring.wire_logits.grad != 0).sum()) > 16


@pytest.mark.parametrize("arch", ["logic-mlp", "logic-conv"])
@pytest.mark.parametrize("selection", ["soft", "hard"])
def test_heads_select_their_candidates_as_they_are_told(arch: str, selection: str) -> None:
    model = build_model(
        arch,
        image_shape=(1, 8, 8),
        n_classes=10,
        quantization=Quantization(weights="gates", activations="bits"),
        pixels=nn.Identity(),  # gates read bytes
        candidates=4,
        selection=selection,
        widths=(20, 20),
    )
    wirings = [module for module in model.modules() if isinstance(module, LearnedWiring)]
    assert [wiring.selection for wiring in wirings] == [selection, selection]
    images = torch.randint(256, (6, 1, 8, 8), dtype=torch.uint8)
    model.train()(images).square().sum().backward()
    assert all(w.wire_logits.grad is not None and bool(w.wire_logits.grad.any()) for w in wirings)
    model.eval()
    packed = freeze(model).logits(images.numpy(), default_backend())
    assert np.array_equal(packed, model(images).detach().numpy())


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(sorted(PARAMETRIZATIONS)),
    st.booleans(),
    st.booleans(),
    st.integers(1, 70),
    st.integers(0, 2**32 - 1),
)
def test_frozen_networks_give_what_the_hard_form_gives(
    channels: int,
    depth: int,
    parametrization: str,
    learned: bool,
    learn_thresholds: bool,
    batch: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    bits = Thermometer((channels, 3, 4), n_levels=2, learned=learn_thresholds)
    with torch.no_grad():
        bits.fractions.copy_(torch.rand_like(bits.fractions) * 1.2 - 0.1)
    widths = [bits.out_features, *(30 for _ in range(depth))]
    stack: list[nn.Module] = [bits]
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        wiring = (
            LearnedWiring(draw_candidates(n_in, n_out, 3, rng), n_in)
            if learned
            else FixedWiring(draw_wires("random", n_in, n_out, layer=layer, rng=rng))
        )
        options = {"parametrization": parametrization, "init": "random", "strength": 1.0}
        stack.append(LogicDense(wiring, **options))
    model = nn.Sequential(*stack, GroupSum(30, 5, tau=3.7, learn_tau=True)).eval()
    images = rng.integers(0, 256, (batch, channels, 3, 4), dtype=np.uint8)
    packed = freeze(model)
    with torch.inference_mode():
        hard = model(torch.from_numpy(images)).numpy()
    assert np.array_equal(packed.logits(images, default_backend()), hard)


@pytest.mark.parametrize("kind", ["uniform", "distributive"])
def test_thermometer_bits_fall_with_the_level(kind: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 2, 4, 4), dtype=np.uint8)
    encoder = Thermometer((2, 4, 4), n_levels=3, kind=kind)
    encoder.fit(images)
    bits = encoder(torch.from_numpy(images)).view(3, 2, 16, 50)
    assert bool((bits[:-1] >= bits[1:]).all())
    pixel, threshold = encoder.comparisons()
    flat = images.reshape(50, -1)
    assert np.array_equal(encoder(torch.from_numpy(images)).numpy(), (flat[:, pixel] > threshold).T)
    if kind == "distributive":
        share = bits.mean(dim=(2, 3))
        assert torch.allclose(
            share, torch.tensor([1, 2 / 3, 1 / 3])[:, None].expand(3, 2), atol=0.03
        )


def test_learned_thresholds_follow_the_gradient_of_their_soft_form() -> None:
    encoder = Thermometer((1, 1, 2), n_levels=1, learned=True)
    images = torch.tensor([[[[120, 140]]]], dtype=torch.uint8)
    encoder(images).sum().backward()
    with soft_form(encoder):
        soft = encoder(images).sum()
    (expected,) = torch.autograd.grad(soft, encoder.fractions)
    assert isinstance(encoder.fractions, nn.Parameter)
    assert encoder.fractions.grad is not None
    assert torch.allclose(encoder.fractions.grad, expected, rtol=1e-5)


def test_learned_thresholds_train_on_the_bits_of_the_hard_form() -> None:
    """Also where a step has moved a threshold out of the bytes."""
    encoder = Thermometer((1, 1, 256), n_levels=6, learned=True)
    with torch.no_grad():
        encoder.fractions.copy_(torch.tensor([-3.0, -0.001, 0.0, 0.5, 1.0, 2.0])[:, None])
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256)
    training = encoder(images).detach()
    assert torch.equal(training, encoder.eval()(images))


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_gates_keep_float32_where_layers_multiply_in_bfloat16(name: str) -> None:
    layer = dense(6, 40, parametrization=name, init="random", strength=1.0)
    expected = layer.coefficients()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.coefficients(), expected)


def test_errors_name_what_was_given() -> None:
    with pytest.raises(UsageError, match=r"in_features=6 but input has shape \(7, 3\)"):
        dense(6, 8)(torch.rand(7, 3))
    with pytest.raises(UsageError, match="multiple of 3"):
        GroupSum(10, 3, tau=1.0)
    with pytest.raises(UsageError, match="did you mean 'softmax'"):
        dense(6, 8, parametrization="softmx")
    with pytest.raises(UsageError, match="unknown sampling"):
        dense(6, 8, sampling="hrad")
    for name in ("strength", "temperature", "final_temperature", "bound"):
        with pytest.raises(UsageError, match=f"{name}=inf: expected"):
            dense(6, 8, **{name: math.inf})
    with pytest.raises(UsageError, match="tau=inf: expected"):
        GroupSum(10, 5, tau=math.inf)
    rng = np.random.default_rng(0)
    for channels, per_tree in ((0, 2), (-2, 2), (3**39, 2), (4, 0)):
        with pytest.raises(UsageError, match=f"{channels} channels whose trees read {per_tree}:"):
            LogicConv2d(2, channels, 3, rng=rng, channels_per_tree=per_tree)
    with pytest.raises(UsageError, match="radius=3 without candidates"):
        GateStack(9, "random", "iwp", "residual", 3.0, radius=3)
    with pytest.raises(UsageError, match="selection=hard without candidates"):
        GateStack(9, "random", "iwp", "residual", 3.0, selection="hard")
    with pytest.raises(UsageError, match="wiring=ring with candidates=4"):
        GateStack(9, "ring", "iwp", "residual", 3.0, candidates=4)
    with pytest.raises(UsageError, match="expected 0 to 2"):
        Wires(3, np.array([0, 3], np.int32), np.array([1, 2], np.int32))


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(0, 2**32 - 1))
def test_frozen_convolutions_give_what_the_hard_form_gives(
    channels: int, depth: int, padding: int, seed: int
) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    size = 6 + 2 * padding
    options = {"init": "random", "strength": 1.0}
    conv = LogicConv2d(channels, 5, 3, rng=rng, depth=depth, padding=padding, **options)
    height, width = size - 2 + 2 * padding, 8 + 2 * padding
    model = nn.Sequential(
        Thermometer((channels, size, 10)),
        Planes(channels, size, 10),
        conv,
        OrPool2d(2),
        Features(),
        GroupSum(5 * height // 2 * width // 2, 5, tau=2.0),
    ).eval()
    images = rng.integers(0, 256, (9, channels, size, 10), dtype=np.uint8)
    with torch.inference_mode():
        hard = model(torch.from_numpy(images)).numpy()
    assert np.array_equal(freeze(model).logits(images, default_backend()), hard)


def test_a_convolution_is_its_trees_at_every_position() -> None:
    rng = np.random.default_rng(3)
    conv = LogicConv2d(2, 4, 3, rng=rng, depth=2, init="random", strength=1.0)
    image = torch.rand(2, 5, 6, 3)
    out = conv(image)
    for y in range(3):
        for x in range(4):
            signals = image[:, y : y + 3, x : x + 3].reshape(18, 3)
            for level in conv.trees():
                signals = level(signals)
            assert torch.allclose(out[:, y, x], signals, atol=1e-6)


def test_bounded_logits_stay_in_their_bound() -> None:
    wiring = LearnedWiring(draw_candidates(6, 8, 2, np.random.default_rng(0)), 6, bound=0.5)
    model = nn.Sequential(LogicDense(wiring, bound=2.0), LogicDense(wires(8, 4)))
    optimizer = make_optimizer(model, "adam", lr=5.0)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.rand(6, 9)).sum().backward()
        optimizer.step()
    assert float(model[0].gate_logits.detach().abs().max()) == 2.0
    assert float(wiring.wire_logits.detach().abs().max()) == 0.5
    assert float(model[1].gate_logits.detach().abs().max()) > 5


def test_annealed_gates_sharpen_and_remember_how_far() -> None:
    layer = dense(6, 20, init="random", strength=1.0, final_temperature=0.001)
    blunt = layer.coefficients().detach()
    set_progress(layer, 1.0)
    hard = layer.parametrization.hard(layer.gate_logits.detach())
    assert float((layer.coefficients().detach() - hard).abs().mean()) < 0.1
    assert float((blunt - hard).abs().mean()) > 0.2
    other = dense(6, 20, final_temperature=0.001)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.coefficients(), layer.coefficients())
