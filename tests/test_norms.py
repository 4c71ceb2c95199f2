"""Norms without division: what moves in training, and what evaluation makes of it."""

from __future__ import annotations

import ast
import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bnncli.errors import UsageError
from bnncli.norms import (
    NORMS,
    HomeostaticThreshold,
    MeanMatchingThreshold,
    SimpleCentering,
    check_norm_options,
    homeostatic,
    make_norm,
)

NEW = ["threshold", "mean-threshold", "centering", "scale-shift"]
# Two channels with means 1.25 and 1.75; 3/4 and 2/4 of the values are above zero.
BATCH = torch.tensor([[1.0, -2.0], [3.0, 0.0], [-1.0, 4.0], [2.0, 5.0]])

# Norm, options, and the two thresholds after BATCH from t = 0, each computed by hand.
UPDATES = {
    # a = .1 · (3/4, 2/4); t = .01 · (a - 1/2)
    "v7": ("threshold", {"alpha": 0.1, "eta": 0.01, "limit": 0.0, "start": 0.0}, -0.00425, -0.0045),
    # a = .8 · .5 + .2 · (3/4, 2/4) = (.55, .5); t = .1 · (a - 1/2)
    "v8": ("threshold", {}, 0.005, 0.0),
    # 20 · .05 = 1, beyond the limit
    "v8 at its limit": ("threshold", {"eta": 20.0}, 0.5, 0.0),
    # a = (.075, .05); -30 · (.425, .45) is beyond the limit
    "v8 below": ("threshold", {"alpha": 0.1, "eta": 30.0, "start": 0.0}, -0.5, -0.5),
    # a = .9 · .5 + .1 · (3/4, 2/4) = (.525, .5)
    "v11, eta .05": ("threshold", {"alpha": 0.1, "eta": 0.05}, 0.00125, 0.0),
    "v11, eta .1": ("threshold", {"alpha": 0.1, "eta": 0.1}, 0.0025, 0.0),
    # a = (.55, .5); t = .1 · (a - 1/4)
    "another target": ("threshold", {"target": 0.25}, 0.03, 0.025),
    # sign of .1 · (1.25, 1.75)
    "v9B": ("threshold", {"rule": "sign"}, 0.005, 0.005),
    # .2 · (1.25, 1.75)
    "mean matching": ("mean-threshold", {}, 0.25, 0.35),
    "the same as a rule": ("threshold", {"rule": "mean"}, 0.25, 0.35),
    "averaged mean": ("mean-threshold", {"alpha": 0.5}, 0.125, 0.175),
    "centering": ("centering", {}, 0.0, 0.0),
    # .1 · (1.25, 1.75) · gain
    "v13": ("scale-shift", {"gain_init": 1.0}, 0.125, 0.175),
    "v14": ("scale-shift", {}, 0.0625, 0.0875),
    "v15": ("scale-shift", {"gain": "frozen", "eta": 0.1}, 0.0625, 0.0875),
    # log2(1/2) is whole
    "shift": ("scale-shift", {"gain": "power-of-two"}, 0.0625, 0.0875),
}


def threshold(norm: nn.Module) -> torch.Tensor:
    found = norm.bias if isinstance(norm, SimpleCentering) else norm.threshold
    return found.detach().clone()


def state(norm: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in norm.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("shape", ["rows", "images"])
@pytest.mark.parametrize("case", UPDATES)
def test_one_update_is_the_one_computed_by_hand(case, shape):
    name, options, *expected = UPDATES[case]
    norm = make_norm(name, 2, fan_in=4, **options)
    x = BATCH if shape == "rows" else BATCH.view(2, 2, 1, 2).permute(0, 3, 1, 2)
    out = norm(x)
    gain = 0.5 if name == "scale-shift" and "gain_init" not in options else 1.0
    assert torch.equal(out, gain * x)  # with the threshold from before the batch
    torch.testing.assert_close(threshold(norm), torch.tensor(expected))


def test_a_second_update_looks_at_what_the_new_threshold_leaves():
    norm = make_norm("mean-threshold", 2)
    norm(BATCH)
    out = norm(BATCH)
    torch.testing.assert_close(out, BATCH - torch.tensor([0.25, 0.35]))
    torch.testing.assert_close(threshold(norm), torch.tensor([0.25 + 0.2, 0.35 + 0.28]))


def test_annealing_is_geometric_and_ends_at_eta_end():
    norm = make_norm("scale-shift", 2, gain_init=1.0, anneal_steps=4)
    rates = []
    for _ in range(6):
        rates.append(float(norm.rate))
        norm(BATCH)
    expected = [0.1 * 0.1 ** (k / 4) for k in range(5)] + [0.01]
    assert rates == pytest.approx(expected, rel=1e-5)


def test_thresholds_start_at_zero_or_with_the_spread_asked_for():
    assert not make_norm("threshold", 9).threshold.any()
    before = torch.get_rng_state()
    make_norm("threshold", 9)
    assert torch.equal(torch.get_rng_state(), before)
    spread = make_norm("threshold", 40_000, rule="sign", threshold_std=0.01)
    assert float(threshold(spread).std()) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("target", [0.2, 0.5])
@pytest.mark.parametrize("mean", [-3.0, 2.0])
def test_activity_comes_to_its_target_and_stays(mean, target):
    torch.manual_seed(0)
    norm = HomeostaticThreshold(3, target=target)
    gaps = []
    for _ in range(400):
        out = norm(torch.randn(500, 3) + mean)
        gaps.append(float(((out > 0).float().mean() - target).abs()))
    assert gaps[0] > 0.15
    assert np.mean(gaps[-50:]) < 0.03


@given(
    means=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=6), seed=st.integers(0, 99)
)
def test_mean_matching_comes_to_zero_mean(means, seed):
    x = torch.randn(16, len(means), generator=torch.Generator().manual_seed(seed))
    x += torch.tensor(means)
    norm = MeanMatchingThreshold(len(means))
    first = norm(x).mean(dim=0).abs()
    for _ in range(80):
        last = norm(x).mean(dim=0).abs()
    # The distance shrinks by 1 - eta a step; float32 leaves its rounding.
    assert torch.all(last <= first * 0.8**80 + 1e-5)


def test_the_sign_rule_takes_steps_of_one_size_and_hovers():
    norm = HomeostaticThreshold(1, rule="sign", alpha=1.0)
    x = torch.full((8, 1), 0.1)
    seen = []
    for _ in range(60):
        norm(x)
        seen.append(float(threshold(norm)))
    steps = np.diff([0.0, *seen])
    assert np.allclose(np.abs(steps[np.abs(steps) > 1e-9]), 0.005, atol=1e-6)
    assert max(abs(value - 0.1) for value in seen[30:]) < 0.006


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("shape", [(8, 5), (4, 5, 3, 2)])
def test_evaluation_changes_no_state(name, shape):
    norm = make_norm(name, 5, fan_in=9)
    norm(torch.randn(shape) + 1)
    before = state(norm.eval())
    norm(torch.randn(shape) + 1)
    assert same(state(norm), before)


@pytest.mark.parametrize("name", NEW)
def test_training_keeps_the_gradient_apart_from_the_update(name):
    """The threshold moves inside forward; the gradient is that of y with the old one."""
    torch.manual_seed(0)
    norm = make_norm(name, 2, fan_in=4)
    norm(BATCH)
    old = {k: v.detach().clone().requires_grad_() for k, v in norm.named_parameters()}
    x, reference = BATCH.clone().requires_grad_(), BATCH.clone().requires_grad_()
    weights = torch.randn(4, 2)
    (norm(x) * weights).sum().backward()
    shift = old["bias" if name == "centering" else "threshold"]
    (((reference - shift) * old.get("gain", 1)) * weights).sum().backward()
    torch.testing.assert_close(x.grad, reference.grad)
    for key, parameter in norm.named_parameters():
        torch.testing.assert_close(parameter.grad, old[key].grad)


@pytest.mark.parametrize("shape", [(4, 2), (2, 2, 1, 2)])
@pytest.mark.parametrize("name", ["threshold", "mean-threshold", "scale-shift"])
def test_a_centered_gradient_asks_for_no_other_mean(name, shape):
    """As BatchNorm's, whose gradient sums to zero over a channel; values stay the same."""
    plain = make_norm(name, 2, fan_in=4)
    centered = make_norm(name, 2, fan_in=4, centered_gradient=True)
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    grads, outputs = [], []
    for norm in (plain, centered):
        x = BATCH.view(shape).clone().requires_grad_()
        outputs.append(norm(x))
        (outputs[-1] * weights).sum().backward()
        grads.append(x.grad)
    axes = [axis for axis in range(len(shape)) if axis != 1]
    assert torch.equal(*outputs)
    assert same(plain.state_dict(), centered.state_dict())
    torch.testing.assert_close(grads[1], grads[0] - grads[0].mean(axes, keepdim=True))
    torch.testing.assert_close(grads[1].sum(axes), torch.zeros(2))


@pytest.mark.parametrize(
    ("name", "options", "learned"),
    [
        ("threshold", {}, {"threshold"}),
        ("threshold", {"learn_threshold": False}, set()),
        ("mean-threshold", {"learn_threshold": False}, set()),
        ("centering", {}, {"bias"}),
        ("scale-shift", {}, {"threshold", "gain"}),
        ("scale-shift", {"gain": "frozen"}, {"threshold"}),
        ("scale-shift", {"learn_threshold": False}, {"gain"}),
        ("scale-shift", {"gain": "power-of-two"}, {"threshold", "log2_gain"}),
        ("scale-shift", {"gain": "frozen", "learn_threshold": False}, set()),
    ],
)
def test_switches_say_what_the_optimizer_gets(name, options, learned):
    norm = make_norm(name, 3, fan_in=7, **options)
    assert {key for key, _ in norm.named_parameters()} == learned
    # What is not learned is held in buffers: a checkpoint has the same keys either way.
    shift = "bias" if name == "centering" else "threshold"
    assert shift in norm.state_dict()


def test_a_gain_of_one_over_28_moves_by_28_percent_unless_it_is_a_power_of_two():
    """The published step of .01 on a gain of 1/√784, and the repairs."""
    changes = {}
    for gain in homeostatic.GAINS:
        norm = make_norm("scale-shift", 1, fan_in=784, gain=gain)
        before = norm.gain_and_offset()[0].item()
        with torch.no_grad():
            for key, parameter in norm.named_parameters():
                if "gain" in key:
                    parameter.sub_(0.01)
        changes[gain] = norm.gain_and_offset()[0].item() / before - 1
    assert changes == {"learned": pytest.approx(-0.28), "frozen": 0.0, "power-of-two": 0.0}


@given(exponents=st.lists(st.floats(-150, 150, width=32), min_size=1, max_size=8))
def test_power_of_two_gains_are_powers_of_two_with_the_gradient_of_two_to_the_e(exponents):
    norm = make_norm("scale-shift", len(exponents), gain="power-of-two", gain_init=1.0)
    with torch.no_grad():
        norm.log2_gain.copy_(torch.tensor(exponents))
    gain, _ = norm.gain_and_offset()
    whole = torch.tensor(exponents).round().clamp(-126, 127).double()
    assert torch.equal(gain.detach().double(), 2**whole)
    gain.sum().backward()
    torch.testing.assert_close(norm.log2_gain.grad, gain.detach() * math.log(2))


def test_a_power_of_two_gain_keeps_nan():
    norm = make_norm("scale-shift", 1, gain="power-of-two", gain_init=1.0)
    with torch.no_grad():
        norm.log2_gain.fill_(math.nan)
    assert norm.gain_and_offset()[0].isnan().all()


CONTINUED = [
    *[(name, {}) for name in NEW],
    ("threshold", {"rule": "sign", "threshold_std": 0.1}),
    ("scale-shift", {"gain": "power-of-two", "anneal_steps": 5}),
    ("scale-shift", {"gain": "frozen", "learn_threshold": False}),
]


@pytest.mark.parametrize(("name", "options"), CONTINUED)
def test_a_checkpoint_continues_to_the_same_bits(name, options):
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(6, 4, 2, 2, generator=generator) + 1 for _ in range(8)]
    whole, first, second = (make_norm(name, 4, fan_in=9, **options) for _ in range(3))
    whole.load_state_dict(first.state_dict())
    expected = [whole(x) for x in batches]
    outputs = [first(x) for x in batches[:3]]
    second.load_state_dict(first.state_dict())
    outputs += [second(x) for x in batches[3:]]
    assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
    assert same(second.state_dict(), whole.state_dict())


def randomize(model: nn.Module, seed: int) -> None:
    """Draw state with ties, negative and zero gains."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name in ("threshold", "bias", "gain", "log2_gain"):
                value = getattr(module, name, None)
                if not isinstance(value, torch.Tensor):
                    continue
                drawn = torch.randn(value.shape, generator=generator)
                value.copy_(4 * drawn if name in {"threshold", "bias"} else drawn)
                if name in {"threshold", "bias"}:
                    value[::2] = value[::2].round()
                elif name == "gain":
                    value[::5] = 0


@pytest.mark.parametrize("name", NEW)
def test_evaluation_is_one_rounded_product_and_one_rounded_sum(name):
    norm = make_norm(name, 5, fan_in=9).eval()
    randomize(nn.Sequential(norm), 1)
    x = 10 * torch.randn(3, 5, 4, 6)
    gain, offset = (v.detach().numpy().reshape(-1, 1, 1) for v in norm.gain_and_offset())
    product = (x.numpy() * gain).astype(np.float32)
    out = norm(x)
    assert np.array_equal(out.detach().numpy(), (product + offset).astype(np.float32))
    assert torch.equal(out, norm(x.contiguous(memory_format=torch.channels_last)))
    assert torch.equal(out[:, :, 1, 2], norm(x[:, :, 1, 2]))


def test_nothing_is_divided_and_no_root_is_taken_after_the_start():
    tree = ast.parse(inspect.getsource(homeostatic))
    later = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name != "__init__"
    ]
    assert {"forward", "backward", "_follow", "gain_and_offset"} <= {node.name for node in later}
    for function in later:
        for node in ast.walk(function):
            assert not isinstance(node, ast.Div | ast.FloorDiv | ast.Mod | ast.Pow), function.name
            name = node.attr if isinstance(node, ast.Attribute) else ""
            assert not any(word in name for word in ("div", "sqrt", "reciprocal", "pow", "norm"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scale-shift", {"gian": "frozen"}, "no option 'gian'; its options are: anneal_steps, c"),
        ("threshold", {"fan_in": 3}, "norm threshold has no option 'fan_in'"),
        ("centering", {"eta": 0.1}, "norm centering has no option 'eta'; its options are: none"),
        ("none", {"eps": 0.1}, "norm none has no option 'eps'; its options are: none"),
        ("batch", {"affine": False}, "norm batch has no option 'affine'"),
        ("scale-shift", {"eta": "fast"}, "norm scale-shift: option eta='fast': expected float"),
        ("threshold", {"alpha": "x"}, "norm threshold: option alpha='x': expected float"),
        ("threshold", {"learn_threshold": 1}, "learn_threshold=1: expected bool"),
        ("scale-shift", {"anneal_steps": 2.0}, "anneal_steps=2.0: expected int"),
        ("threshold", {"eta": True}, "eta=True: expected float"),
        ("threshold", {"rule": "meen"}, "unknown threshold rule 'meen'; did you mean 'mean'"),
        ("scale-shift", {"gain": "froze"}, "unknown gain 'froze'; did you mean 'frozen'"),
        ("threshold", {"alpha": 0}, r"HomeostaticThreshold: alpha=0.0 given, expected 0 < alpha"),
        ("threshold", {"eta": -1}, "eta=-1.0 given, expected a number of 0 or more"),
        ("threshold", {"eta": math.nan}, "eta=nan given"),
        ("threshold", {"target": 2}, "target=2.0 given, expected a share"),
        ("threshold", {"limit": -1}, "limit=-1.0 given"),
        ("threshold", {"threshold_std": -1}, "threshold_std=-1.0 given"),
        ("scale-shift", {"gain_init": 0}, "gain_init=0.0 given, expected a positive number"),
        ("scale-shift", {"anneal_steps": 3, "eta_end": 0.2}, "eta_end=0.2 given"),
        ("scale-shift", {"anneal_steps": -3}, "anneal_steps=-3 given"),
    ],
)
def test_bad_options_are_one_line_that_says_what_is_expected(name, options, message):
    with pytest.raises(UsageError, match=message) as error:
        make_norm(name, 3, fan_in=4, **check_norm_options(name, options))
    assert "\n" not in str(error.value)


def test_a_gain_needs_its_fan_in():
    with pytest.raises(UsageError, match="neither fan_in nor gain_init given, expected one of"):
        make_norm("scale-shift", 3)
    assert make_norm("scale-shift", 1, gain_init=2.0).gain.item() == 2.0


def test_options_reach_the_norm_and_whole_numbers_stand_for_reals():
    assert make_norm("batch", 3, eps=1, momentum=0.5).eps == 1.0
    norm = make_norm("threshold", 3, rule="mean", eta=1)
    assert (norm.rule, norm.eta, norm.alpha, norm.limit) == ("mean", 1.0, 1.0, 0.0)
