"""Packed steps: thresholds, fusion, sizes, refusals. No torch in here."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.bits import pack_bits, pack_integers, pack_signs, unpack_bits, unpack_signs
from bnncli.errors import BnnError
from bnncli.packed import NumpyBackend, PackedModel, fuse, model_size
from bnncli.packed import elementwise as ew
from bnncli.packed import layers as la
from bnncli.packed import uniform as un
from bnncli.packed.thresholds import apply_chain, find_thresholds

BACKEND = NumpyBackend()
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -7.0, 1e-30, -1e-30, 1e-45, 1e30)
NUMBERS = st.one_of(
    st.sampled_from(SPECIAL), st.floats(-100, 100, width=32, allow_nan=False), st.integers(-9, 9)
)


def affine(gain, offset):
    return ew.Affine(gain=np.array(gain, np.float32), offset=np.array(offset, np.float32))


@st.composite
def chains(draw, n_out):
    def values():
        size = draw(st.sampled_from((1, n_out)))
        return draw(st.lists(NUMBERS, min_size=size, max_size=size))

    return [affine(values(), values()) for _ in range(draw(st.integers(0, 3)))]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 70), st.integers(1, 4))
def test_threshold_bit_is_the_sign_bit_for_every_sum(data, n_inputs, n_out):
    chain = data.draw(chains(n_out))
    sums = np.arange(-n_inputs, n_inputs + 1)[:, None] + np.zeros(n_out, dtype=np.int64)
    values = np.broadcast_to(apply_chain(chain, sums), sums.shape)
    if not np.isfinite(values).all():
        with pytest.raises(BnnError, match="NaN or infinity"):
            find_thresholds(chain, n_inputs, n_out)
        return
    thresholds, flipped = find_thresholds(chain, n_inputs, n_out)
    assert thresholds.dtype == np.int32
    assert np.array_equal(np.where(flipped, -sums, sums) < thresholds, values < 0)


def test_threshold_of_a_tie_is_not_negative():
    # y(3) is exactly 0 and counts as positive, from both sides.
    chain = [affine([1.0, -1.0], [-3.0, 3.0])]
    thresholds, flipped = find_thresholds(chain, 10, 2)
    assert flipped.tolist() == [False, True]
    assert thresholds.tolist() == [3, -3]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_threshold_refuses_a_diverged_norm(value):
    for chain in ([affine([value], [0.0])], [affine([1.0], [value])]):
        with pytest.raises(BnnError, match="diverged"):
            find_thresholds(chain, 5, 3)


def run(steps, x):
    x = x.copy()  # steps may overwrite floats
    for step in steps:
        x = step.bind(BACKEND)(x)
    return x


def random_affine(rng, channels):
    gain = rng.choice([-2.5, -1.0, 0.0, 0.3, 1.0, 4.0], channels)
    return affine(gain, rng.integers(-6, 7, channels) * 0.5)


def xnor_conv(rng, in_channels, out_channels):
    words = pack_bits(rng.integers(0, 2, (out_channels, 9 * in_channels)).astype(bool))
    return la.XnorConv2d(
        in_channels=in_channels, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), words=words
    )


def xnor_linear(rng, in_features, out_features):
    words = pack_bits(rng.integers(0, 2, (out_features, in_features)).astype(bool))
    return la.XnorLinear(in_features=in_features, words=words)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 64, 65]), st.sampled_from([2, 64, 70]))
def test_fused_convolution_gives_the_bits_of_the_unfused(seed, in_channels, out_channels):
    rng = np.random.default_rng(seed)
    x = pack_bits(rng.integers(0, 2, (2, 5, 7, in_channels)).astype(bool))
    between = [random_affine(rng, out_channels) for _ in range(rng.integers(0, 3))]
    for _ in range(rng.integers(0, 2)):
        between.insert(rng.integers(0, len(between) + 1), ew.MaxPool(size=2))
    tail = [ew.Flatten(), ew.Binarize()] if rng.integers(2) else [ew.Binarize()]
    steps = [xnor_conv(rng, in_channels, out_channels), *between, *tail]
    fused = fuse(steps)
    assert {step.kind for step in fused} <= {"threshold-conv2d", "pool-bits", "flatten-bits"}
    assert np.array_equal(run(fused, x), run(steps, x))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 63, 64, 65, 130]))
def test_fused_linear_gives_the_bits_of_the_unfused(seed, in_features):
    rng = np.random.default_rng(seed)
    x = pack_bits(rng.integers(0, 2, (9, in_features)).astype(bool))
    steps = [
        xnor_linear(rng, in_features, 67),
        random_affine(rng, 67),
        ew.Binarize(),
        xnor_linear(rng, 67, 5),
        random_affine(rng, 5),
    ]
    fused = fuse(steps)
    assert [step.kind for step in fused] == ["threshold-linear", "xnor-linear", "affine"]
    assert np.array_equal(run(fused, x), run(steps, x))


def test_fusion_stops_where_no_sign_follows():
    rng = np.random.default_rng(0)
    steps = (xnor_linear(rng, 10, 4), random_affine(rng, 4), ew.ReLU(), ew.Binarize())
    assert fuse(steps) == steps


def test_pool_passes_only_rising_affine_steps():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    rising, falling = affine([2.0, 0.0, 1.0], [1.0]), affine([2.0, -1.0, 1.0], [0.5])
    steps = [falling, rising, ew.MaxPool(size=2)]
    fused = fuse(steps)
    assert [step.kind for step in fused] == ["affine", "max-pool", "affine"]
    assert np.array_equal(run(fused, x), run(steps, x))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_max_pool_is_the_maximum_of_each_window(size):
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)
    expected = np.array(
        [
            [
                [image[i : i + size, j : j + size].max(axis=(0, 1)) for j in range(0, w, size)]
                for i in range(0, h, size)
            ]
            for image in x
            for h, w in [(7 // size * size, 6 // size * size)]
        ]
    )
    assert np.array_equal(run([ew.MaxPool(size=size)], x), expected)


@pytest.mark.parametrize("channels", [1, 5, 64, 128, 130])
def test_flattened_bits_are_the_bits_of_the_flattened_signs(channels):
    x = np.random.default_rng(0).normal(size=(3, 2, 3, channels)).astype(np.float32)
    flat = run([ew.FlattenBits(channels=channels)], pack_signs(x))
    assert np.array_equal(flat, pack_signs(x.reshape(3, -1)))


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_ternary_and_float_layers_agree_on_ternary_weights(stride, padding):
    rng = np.random.default_rng(0)
    x = rng.integers(-20, 20, (2, 6, 5, 3)).astype(np.float32)
    w = rng.integers(-1, 2, (4, 3 * 2 * 3))
    shape = {"stride": stride, "padding": padding}
    planes = np.stack([pack_bits(w < 0), pack_bits(w <= 0)])
    ternary = la.TernaryConv2d(in_channels=3, kernel_size=(3, 2), planes=planes, **shape)
    weight = np.ascontiguousarray(w.T.reshape(3, 2, 3, 4).astype(np.float32))
    real = la.FloatConv2d(weight=weight, **shape)
    assert np.array_equal(run([ternary], x), run([real], x))
    linear = la.TernaryLinear(in_features=18, planes=planes)
    rows = rng.integers(-20, 20, (7, 18)).astype(np.float32)
    real_rows = la.FloatLinear(weight=w.astype(np.float32))
    assert np.array_equal(run([linear], rows), run([real_rows], rows))
    assert np.array_equal(run([linear], rows), rows @ w.T)


@pytest.mark.parametrize("n_levels", [2, 3, 9, 16, 33, 256, 59049, 65536])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_uniform_layers_sum_the_whole_numbers_that_they_pack(n_levels, stride, padding):
    rng = np.random.default_rng(n_levels)
    numbers = rng.integers(0, n_levels, (4, 3 * 2 * 3))
    numbers[0, :2] = 0, n_levels - 1
    w = numbers - n_levels // 2 if n_levels % 2 else 2 * numbers - (n_levels - 1)
    fields = {"planes": pack_integers(numbers, n_levels), "n_levels": n_levels}
    rows = rng.choice([-1.0, 1.0], (7, 18)).astype(np.float32)
    assert np.array_equal(run([un.UniformLinear(in_features=18, **fields)], rows), rows @ w.T)
    shape = {"stride": stride, "padding": padding}
    conv = un.UniformConv2d(in_channels=3, kernel_size=(3, 2), **fields, **shape)
    x = rng.choice([-1.0, 1.0], (2, 6, 5, 3)).astype(np.float32)
    weight = np.ascontiguousarray(w.T.reshape(3, 2, 3, 4).astype(np.float32))
    assert np.array_equal(run([conv], x), run([la.FloatConv2d(weight=weight, **shape)], x))


def test_a_level_outside_the_grid_is_refused():
    planes = pack_integers(np.array([[3, 1]]), 4)
    step = un.UniformLinear(in_features=2, planes=planes, n_levels=3)
    with pytest.raises(BnnError, match="uniform-linear: a weight of level 3, expected 0 to 2"):
        step.bind(BACKEND)


def test_special_values_have_defined_signs():
    x = np.array([[-1.0, -0.0, 0.0, np.nan, np.inf, -np.inf, -1e-45]], np.float32)
    negative = [True, False, False, False, False, True, True]
    assert unpack_bits(run([ew.Binarize()], x), 7)[0].tolist() == negative
    assert (run([ew.Sign()], x)[0] < 0).tolist() == negative
    assert run([ew.RoundTernary()], x)[0].tolist() == [-1, 0, 0, 0, 1, -1, 0]


def small_model():
    rng = np.random.default_rng(0)
    words = pack_signs(rng.normal(size=(5, 12)))
    steps = (
        ew.Pixels(gain=np.ones(3, np.float32), offset=np.zeros(3, np.float32)),
        ew.Flatten(),
        la.SignLinear(in_features=12, words=words),
    )
    return PackedModel(steps, {"arch": "test"})


def test_logits_are_sums_of_signed_pixels_in_any_batch_size():
    model = small_model()
    images = np.random.default_rng(1).integers(0, 256, (11, 3, 2, 2), dtype=np.uint8)
    images.setflags(write=False)
    rows = images.transpose(0, 2, 3, 1).reshape(11, -1).astype(np.float32)
    expected = rows @ unpack_signs(model.steps[2].words, 12).T
    for batch_size in (1, 4, 11, 100):
        assert np.array_equal(model.logits(images, BACKEND, batch_size), expected)
    assert np.array_equal(model.predict(images, BACKEND), expected.argmax(axis=1))


def test_size_counts_stored_bytes_by_role():
    rng = np.random.default_rng(0)
    fused = fuse([xnor_linear(rng, 70, 6), random_affine(rng, 6), ew.Binarize()])
    model = PackedModel((*small_model().steps[:2], ew.Binarize(), *fused, xnor_linear(rng, 6, 2)))
    size = model_size(model)
    assert size == (6 * 2 * 8 + 2 * 8, 6 * 4, 2 * 3 * 4)
    assert size.total == sum(size)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 2, 2), np.float32),
        np.zeros((3, 2, 2), np.uint8),
        np.zeros((2, 1, 2, 2), np.uint8),
        np.zeros((2, 3, 2, 3), np.uint8),
        np.zeros((0, 3, 2, 2), np.uint8),
    ],
)
def test_wrong_images_are_refused(images):
    with pytest.raises(BnnError, match="expected"):
        small_model().logits(images, BACKEND)


def test_steps_that_do_not_fit_are_refused():
    pixels, flatten, linear = small_model().steps
    for steps in ((), (flatten, linear), (pixels, ew.Binarize()), (pixels, pixels, linear)):
        with pytest.raises(BnnError, match="packed model"):
            PackedModel(steps)


@pytest.mark.parametrize(
    "build",
    [
        lambda: la.SignLinear(in_features=65, words=np.zeros((2, 1), np.uint64)),
        lambda: la.SignLinear(in_features=0, words=np.zeros((2, 1), np.uint64)),
        lambda: la.SignLinear(in_features=True, words=np.zeros((2, 1), np.uint64)),
        lambda: la.SignLinear(in_features=64, words=np.zeros((2, 1), np.int64)),
        lambda: la.SignLinear(in_features=64, words=np.zeros(1, np.uint64)),
        lambda: la.SignLinear(in_features=64, words=np.zeros((0, 1), np.uint64)),
        lambda: la.SignLinear(in_features=64, words=[[0]]),
        lambda: la.TernaryLinear(in_features=64, planes=np.zeros((3, 2, 1), np.uint64)),
        lambda: un.UniformLinear(in_features=64, planes=np.zeros((3, 2, 1), np.uint64), n_levels=9),
        lambda: un.UniformLinear(in_features=65, planes=np.zeros((4, 2, 1), np.uint64), n_levels=9),
        lambda: un.UniformLinear(in_features=64, planes=np.zeros((1, 2, 1), np.uint64), n_levels=1),
        lambda: la.ThresholdLinear(
            in_features=64, words=np.zeros((2, 1), np.uint64), thresholds=np.zeros(3, np.int32)
        ),
        lambda: la.XnorConv2d(
            in_channels=64,
            kernel_size=(3, 3),
            stride=(1, 0),
            padding=(0, 0),
            words=np.zeros((2, 9), np.uint64),
        ),
        lambda: ew.Pixels(gain=np.ones(3, np.float32), offset=np.ones(1, np.float32)),
        lambda: ew.MaxPool(size=0),
        lambda: ew.RMSNorm(weight=np.ones(3, np.float32), eps=-1.0),
    ],
)
def test_fields_that_do_not_fit_are_refused(build):
    with pytest.raises(BnnError, match="packed step"):
        build()


def test_steps_compare_by_kind_and_content():
    rng = np.random.default_rng(0)
    a = xnor_linear(rng, 10, 4)
    assert a == la.XnorLinear(in_features=10, words=a.words.copy())
    assert a != la.XnorLinear(in_features=11, words=a.words)
    assert a != la.SignLinear(in_features=10, words=a.words)
    assert a != la.XnorLinear(in_features=10, words=a.words ^ np.uint64(1))


def test_packed_models_run_without_torch():
    code = "import sys, bnncli.packed, bnncli.native; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
