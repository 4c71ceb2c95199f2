"""The laws of quantizers, for every registered combination of grid, scale and surrogate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.errors import UsageError
from bnncli.quantizers import (
    QUANTIZERS,
    SCALES,
    SURROGATES,
    Quantizer,
    UniformGrid,
    make_quantizer,
    make_scale,
    make_surrogate,
    soft_form,
)
from bnncli.quantizers.surrogates import Clipped, SwishSign
from tests.strategies import latents

# name of the case: registered name and options
LATENT = {name: (name, {}) for name in ("binary", "binaryconnect-stochastic", "ternary")}
ADOPTED = {
    "bits": ("bits", {}),
    "swarm": ("swarm", {}),
    "swarm-tie": ("swarm", {"tie": -1, "size": 2}),
    "swarm-int8": ("swarm", {"storage": "int8", "size": 31, "readout": "analog"}),
    "swarm-48": ("swarm", {"size": 48, "readout": "analog"}),
    "swarm-log": ("swarm", {"readout": "log-scaled"}),
    "swarm-float": ("swarm-float", {}),
    "swarm-float-analog": ("swarm-float", {"readout": "analog", "proxy": False}),
    "register": ("register", {}),
    "register-1": ("register", {"bits": 1}),
    "register-8": ("register", {"bits": 8}),
    "ternary-register": ("ternary-register", {}),
    "ternary-register-1": ("ternary-register", {"trits": 1}),
}
CASES = LATENT | ADOPTED
REAL = [*LATENT, "swarm-float", "swarm-float-analog"]  # their scale may follow the weights
COMBINATIONS = [
    (case, scale) for case in CASES for scale in (SCALES if case in REAL else ("none", "fan-in"))
]


def prepare(case, w, scale=None):
    """Give a quantizer and the parameter that a layer would hold for initial weights."""
    name, options = CASES[case]
    torch.manual_seed(1)
    quantizer = make_quantizer(name, scale=scale, options=options).eval()
    return quantizer, quantizer.adopt(torch.nn.Parameter(w))


def in_grid(values, n):
    """Whole numbers from -h to h, or odd ones from 1 - n to n - 1."""
    whole = bool((values == values.round()).all())
    if n % 2:
        return whole and bool((values.abs() <= n // 2).all())
    return whole and bool(((values.abs() < n) & (values.remainder(2) == 1)).all())


def test_every_registered_quantizer_is_a_case():
    assert {name for name, _ in CASES.values()} == set(QUANTIZERS)


@pytest.mark.parametrize(("case", "scale"), COMBINATIONS)
@settings(max_examples=10)
@given(w=latents())
def test_forward_is_levels_of_codes_exactly(case, scale, w):
    quantizer, w = prepare(case, w, scale)
    assert torch.equal(quantizer(w), quantizer.levels(*quantizer.codes(w)))


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10)
@given(w=latents())
def test_unpack_undoes_pack(case, w):
    shape = tuple(w.shape)
    quantizer, w = prepare(case, w)
    packed, codes = quantizer.pack(w), quantizer.codes(w).codes
    assert torch.equal(quantizer.unpack(packed), codes)
    assert quantizer.unpack(packed).dtype == codes.dtype
    assert packed.shape == shape


@pytest.mark.parametrize(("case", "scale"), COMBINATIONS)
@settings(max_examples=10)
@given(w=latents())
def test_factored_parts_multiply_to_forward(case, scale, w):
    quantizer, w = prepare(case, w, scale)
    unit, factor = quantizer.factored(w)
    assert in_grid(unit, quantizer.grid.n_levels)
    assert torch.equal(unit if factor is None else unit * factor, quantizer(w))


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10)
@given(w=latents())
def test_codes_lie_in_the_grid(case, w):
    quantizer, w = prepare(case, w)
    codes, n = quantizer.codes(w).codes, quantizer.grid.n_levels
    assert codes.dtype == (torch.int8 if n <= 256 else torch.int16)
    assert in_grid(quantizer.grid.decode(codes, torch.float32), n)
    assert quantizer.bits == pytest.approx(math.log2(n))


@pytest.mark.parametrize(
    ("n_levels", "x", "level"),
    [
        (2, 0.3, 1.0),
        (2, -0.3, -1.0),
        (3, 0.4, 0.0),
        (3, -0.6, -1.0),
        (4, 0.5, 1 / 3),
        (4, 0.7, 1.0),
        (5, 0.3, 0.5),
        (33, 0.51, 0.5),
        (256, 0.5, 127 / 255),
        (65536, -2.0, -1.0),
        (59049, math.inf, 1.0),
        (9, math.nan, 0.0),
    ],
)
def test_a_uniform_grid_rounds_to_the_nearest_level(n_levels, x, level):
    quantizer = Quantizer(UniformGrid(n_levels))
    assert quantizer(torch.tensor([x])).item() == pytest.approx(level, abs=1e-7)
    levels = torch.linspace(-1, 1, n_levels)
    codes = quantizer.codes(levels).codes
    assert codes.tolist() == list(range(-(n_levels // 2), (n_levels + 1) // 2))
    torch.testing.assert_close(quantizer(levels), levels, rtol=0, atol=1e-6)


def test_uniform_stochastic_rounding_is_unbiased():
    torch.manual_seed(0)
    quantizer = Quantizer(UniformGrid(4), stochastic=True).train()
    values = quantizer(torch.full((40_000,), 0.2))
    torch.testing.assert_close(values.unique(), torch.tensor([-1 / 3, 1 / 3]))
    assert values.mean().item() == pytest.approx(0.2, abs=4 / 3 * math.sqrt(0.25 / 40_000))


@pytest.mark.parametrize("case", ADOPTED)
@pytest.mark.parametrize("shape", [(3, 50), (3, 5, 2, 2)])
@pytest.mark.parametrize("apart", [False, True])
def test_the_gradient_reaches_the_parameter_that_was_adopted(case, shape, apart):
    quantizer, parameter = prepare(case, torch.randn(shape))
    incoming = torch.randn(shape)
    if apart:
        unit, factor = quantizer.factored(parameter)
        (unit if factor is None else unit * factor).backward(incoming)
    else:
        quantizer(parameter).backward(incoming)
    expected = incoming
    if case.startswith("swarm-float"):
        share = incoming / 32 if case == "swarm-float" else incoming  # proxy or not
        expected = share.reshape(3, -1, 1).expand(parameter.shape)
    torch.testing.assert_close(parameter.grad, expected, rtol=0 if not apart else 1e-5, atol=0)
    assert parameter.grad.untyped_storage().nbytes() == 4 * parameter.numel()


@pytest.mark.parametrize("training", [True, False])
def test_binary_maps_zero_minus_zero_and_nan_to_plus_one(training):
    quantizer = make_quantizer("binary").train(training)
    w = torch.tensor([[0.0, -0.0, math.nan, -1e-45, 1e-45, -math.inf, math.inf]])
    expected = torch.tensor([[1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0]])
    assert torch.equal(quantizer(w), expected)
    assert np.array_equal(quantizer.pack(w).words, [[[0b101000]]])


def test_ternary_rounds_by_the_mean_magnitude():
    quantizer = make_quantizer("ternary")
    w = torch.tensor([[0.1, -0.1, 1.0, -2.8]])  # mean |w| = 1
    codes, scale = quantizer.codes(w)
    assert codes.tolist() == [[0, 0, 1, -1]]
    assert scale == pytest.approx(1.0)


def test_mean_abs_scale_minimizes_the_squared_error():
    w = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    quantizer = make_quantizer("binary", scale="mean-abs-per-output")
    best = (w - quantizer(w)).square().sum(dim=1)
    unit, scale = quantizer.factored(w)
    for factor in (0.97, 1.03):
        assert ((w - unit * scale * factor).square().sum(dim=1) > best).all()


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("w", [-2.0, -1.0, -0.7, -0.0, 0.3, 0.99, 1.0, 1.25, 7.0])
def test_gradient_is_the_derivative_of_the_relaxed_function(name, w):
    """Outside kinks the surrogate must be what its relaxed function says."""
    surrogate = make_surrogate(name)
    x = torch.tensor([w], dtype=torch.float64)
    step = 1e-6
    slope = (surrogate.relaxed(x + step) - surrogate.relaxed(x - step)) / (2 * step)
    if abs(w) == 1.0 and name == "clipped":
        slope = torch.ones(1)  # the bound belongs to the interval, from inside
    given_slope = surrogate.backward(torch.ones_like(x), x)
    assert given_slope.item() == pytest.approx(slope.item(), abs=1e-5)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("scale", SCALES)
def test_autograd_applies_the_surrogate_to_the_incoming_gradient(name, scale):
    quantizer = make_quantizer("binary", scale=scale, surrogate=name)
    w = torch.tensor([[-2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0]], requires_grad=True)
    incoming = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]])
    quantizer(w).backward(incoming)
    expected = make_surrogate(name).backward(incoming, w.detach())
    assert torch.equal(w.grad, expected)


def test_clipped_bound_is_inclusive_and_movable():
    w = torch.tensor([-1.5, -1.0, 1.0, 1.5])
    assert Clipped(1.0).backward(torch.ones(4), w).tolist() == [0, 1, 1, 0]
    assert Clipped(2.0).backward(torch.ones(4), w).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_surrogates_refuse_parameters_without_meaning(bad):
    with pytest.raises(UsageError, match="clip_value"):
        Clipped(bad)
    with pytest.raises(UsageError, match="beta"):
        SwishSign(bad)


def test_stochastic_rounding_follows_the_hard_sigmoid():
    quantizer = make_quantizer("binaryconnect-stochastic").train()
    torch.manual_seed(0)
    n = 40_000
    for value, probability in [(-1.0, 0.0), (-0.5, 0.25), (0.0, 0.5), (0.6, 0.8), (1.0, 1.0)]:
        share = (quantizer(torch.full((n,), value)) > 0).double().mean().item()
        # four standard deviations of a share of n draws
        assert share == pytest.approx(probability, abs=4 * math.sqrt(0.25 / n))


def test_stochastic_rounding_samples_in_training_only():
    quantizer = make_quantizer("binaryconnect-stochastic")
    w = torch.zeros(1, 1000)
    quantizer.train()
    assert not torch.equal(quantizer(w), quantizer(w))
    quantizer.eval()
    assert torch.equal(quantizer(w), torch.ones(1, 1000))


@given(seed=st.integers(0, 2**31))
def test_a_generator_makes_one_reproducible_sample(seed):
    quantizer = make_quantizer("binaryconnect-stochastic").eval()
    w = torch.zeros(2, 500)
    first = quantizer.codes(w, torch.Generator().manual_seed(seed)).codes
    again = quantizer.codes(w, torch.Generator().manual_seed(seed)).codes
    other = quantizer.codes(w, torch.Generator().manual_seed(seed + 1)).codes
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_soft_form_is_undone_even_when_the_block_raises():
    quantizer = make_quantizer("binary", surrogate="clipped")
    w = torch.tensor([[-3.0, 0.25]])

    def fail_in_soft_form() -> None:
        with soft_form(quantizer):
            assert torch.equal(quantizer(w), torch.tensor([[-1.0, 0.25]]))
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_in_soft_form()
    assert torch.equal(quantizer(w), torch.tensor([[-1.0, 1.0]]))


def test_detach_style_straight_through_is_not_exact():
    """Why the library quantizes in an autograd Function (the trap that law 3 records)."""
    w = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    quantizer = make_quantizer("binary", scale="mean-abs")
    detached = w + (quantizer(w) - w).detach()
    assert len(quantizer(w).unique()) == 2
    assert len(detached.unique()) > 2


@pytest.mark.parametrize(
    ("make", "kind"),
    [(make_quantizer, "quantizer"), (make_scale, "scale"), (make_surrogate, "surrogate")],
)
def test_unknown_names_are_usage_errors_with_the_known_ones(make, kind):
    with pytest.raises(UsageError, match=f"unknown {kind} 'binry'.*known:"):
        make("binry")
