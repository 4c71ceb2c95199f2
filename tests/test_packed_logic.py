"""Gate networks: every backend gives the counts that one gate after the other gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.errors import BnnError
from bnncli.native import CBackend, available_isas
from bnncli.packed import NumpyBackend, PackedModel, load_packed, save_packed
from bnncli.packed import elementwise as ew
from bnncli.packed.logic import LogicNetwork

BACKENDS = [NumpyBackend(), *(CBackend(isa) for isa in available_isas())]
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
BATCHES = (1, 31, 63, 64, 65, 511, 512, 513, 1100)


def brute_force(network, images):
    """Compute one signal after the other on booleans, gates by their truth tables."""
    flat = images.reshape(len(images), -1)
    signals = [np.zeros(len(flat), bool), np.ones(len(flat), bool)]
    signals += [flat[:, p] > t for p, t in zip(network.pixel, network.threshold, strict=True)]
    for op, a, b in zip(network.op, network.a, network.b, strict=True):
        signals.append((op >> (signals[a] + 2 * signals[b]) & 1).astype(bool))
    outputs = np.array([signals[i] for i in network.outputs])
    return outputs.reshape(network.n_groups, -1, len(flat)).sum(axis=1).T


def random_network(rng, *, n_pixels, n_inputs, n_gates, group_size, n_groups, reach=None):
    """Draw gates that read any signal before them, or one of the last ``reach``."""
    first = 2 + n_inputs
    limits = np.arange(first, first + n_gates)
    lowest = np.zeros_like(limits) if reach is None else np.maximum(0, limits - reach)
    a, b = (rng.integers(lowest, limits, n_gates, dtype=np.int32) for _ in range(2))
    near_end = 0 if reach is None else max(0, first + n_gates - 2 * reach)
    return LogicNetwork(
        pixel=rng.integers(0, n_pixels, n_inputs, dtype=np.int32),
        threshold=rng.choice([0, 1, 127, 128, 254, 255], n_inputs).astype(np.uint8),
        op=rng.integers(0, 16, n_gates, dtype=np.uint8),
        a=a,
        b=b,
        outputs=rng.integers(near_end, first + n_gates, group_size * n_groups, dtype=np.int32),
        n_groups=n_groups,
    )


def random_images(rng, n, n_pixels):
    values = rng.integers(0, 256, (n, 1, 1, n_pixels), dtype=np.uint8)
    edge = rng.choice(np.array([0, 1, 127, 128, 129, 254, 255], np.uint8), values.shape)
    return np.where(rng.random(values.shape) < 0.3, edge, values)


def wrong_backends(network, images):
    """Name the backends whose counts are not those of brute force, as contiguous int32."""
    expected = brute_force(network, images).astype(np.int32)
    counts = {
        backend.name: backend.prepare_logic(network)(images.reshape(len(images), -1))
        for backend in BACKENDS
    }
    return [
        name
        for name, found in counts.items()
        if found.dtype != np.int32
        or not found.flags.c_contiguous
        or not np.array_equal(found, expected)
    ]


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_pixels=st.integers(1, 200),
    n_inputs=st.integers(1, 200),
    n_gates=st.integers(1, 150),
    reach=st.sampled_from([None, 1, 3, 40]),
    group_size=st.sampled_from([1, 2, 3, 7, 15, 16, 17, 33]),
    n_groups=st.integers(1, 11),
    n=st.one_of(st.sampled_from(BATCHES), st.integers(1, 200)),
)
def test_every_backend_counts_as_gate_after_gate(
    seed, n_pixels, n_inputs, n_gates, reach, group_size, n_groups, n
):
    rng = np.random.default_rng(seed)
    network = random_network(
        rng,
        n_pixels=n_pixels,
        n_inputs=n_inputs,
        n_gates=n_gates,
        group_size=group_size,
        n_groups=n_groups,
        reach=reach,
    )
    assert not wrong_backends(network, random_images(rng, n, n_pixels))


@pytest.mark.parametrize("n", BATCHES)
def test_every_batch_size_gives_the_same_counts(n):
    rng = np.random.default_rng(n)
    network = random_network(
        rng, n_pixels=130, n_inputs=150, n_gates=400, group_size=37, n_groups=3
    )
    assert not wrong_backends(network, random_images(rng, n, 130))


@pytest.mark.parametrize("op", range(16))
def test_every_truth_table(op):
    a, b = np.meshgrid(np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int32))
    a, b = a.ravel(), b.ravel()
    network = LogicNetwork(
        pixel=np.array([0, 1], np.int32),
        threshold=np.array([9, 9], np.uint8),
        op=np.full(16, op, np.uint8),
        a=a,
        b=b,
        outputs=np.arange(4, 20, dtype=np.int32),
        n_groups=16,
    )
    images = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], np.uint8)
    bits = np.array([[0, 1, *row] for row in images > 9])
    expected = op >> (bits[:, a] + 2 * bits[:, b]) & 1
    for backend in BACKENDS:
        assert np.array_equal(backend.prepare_logic(network)(images), expected), backend.name


@pytest.mark.parametrize("group_size", [800, 4097])
def test_large_groups_with_every_output_true(group_size):
    """Counts that fill all their bits, with outputs that are constants, inputs and repeated."""
    rng = np.random.default_rng(0)
    fields = {
        "pixel": np.arange(5, dtype=np.int32),
        "threshold": np.zeros(5, np.uint8),
        "op": np.array([0x8, 0x7], np.uint8),
        "a": np.array([2, 7], np.int32),
        "b": np.array([3, 0], np.int32),
        "n_groups": 2,
    }
    always = rng.choice([1, 2, 3, 4, 7, 8], 2 * group_size).astype(np.int32)
    network = LogicNetwork(outputs=always, **fields)
    bright = np.full((70, 1, 1, 5), 255, np.uint8)
    assert (brute_force(network, bright) == group_size).all()
    assert not wrong_backends(network, bright)
    assert not wrong_backends(network, random_images(rng, 70, 5))


FIELDS = {
    "pixel": np.array([0, 3], np.int32),
    "threshold": np.array([0, 3], np.uint8),
    "op": np.array([6, 8], np.uint8),
    "a": np.array([2, 4], np.int32),
    "b": np.array([3, 0], np.int32),
    "outputs": np.array([5, 4, 2, 1], np.int32),
    "n_groups": 2,
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("threshold", [0], "2 pixels but 1 thresholds"),
        ("a", [0], "2 op, 1 a and 2 b"),
        ("pixel", [0, -1], "pixel -1, expected at least 0"),
        ("op", [6, 16], "truth table 16, expected 0 to 15"),
        ("a", [4, 0], r"a\[0\] is signal 4, expected 0 to 3"),
        ("b", [0, 5], r"b\[1\] is signal 5, expected 0 to 4"),
        ("b", [-1, 0], r"b\[0\] is signal -1"),
        ("outputs", [5, 6, 0, 0], r"outputs\[1\] is signal 6, expected 0 to 5"),
        ("outputs", [5, 4, 3], "3 outputs in 2 equal groups"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(name, value, message):
    changed = {**FIELDS, name: np.array(value, FIELDS[name].dtype)}
    with pytest.raises(BnnError, match=message) as caught:
        LogicNetwork(**changed)
    assert "\n" not in str(caught.value)


def model():
    scale = ew.Affine(gain=np.array([0.5], np.float32), offset=np.array([-1.0], np.float32))
    return PackedModel((LogicNetwork(**FIELDS), scale), {"arch": "logic"})


def test_the_file_holds_the_network(tmp_path):
    save_packed(model(), tmp_path / "logic.bnn")
    loaded = load_packed(tmp_path / "logic.bnn")
    assert loaded == model()
    images = random_images(np.random.default_rng(0), 100, 4)
    for backend in BACKENDS:
        assert np.array_equal(loaded.logits(images, backend), model().logits(images, backend))


@every_backend
@pytest.mark.parametrize("batch_size", [None, 1, 32, 100, 5000])
def test_logits_are_scaled_counts_in_any_batch_size(backend, batch_size):
    images = random_images(np.random.default_rng(1), 133, 4)
    images.setflags(write=False)
    expected = brute_force(LogicNetwork(**FIELDS), images) * 0.5 - 1
    logits = model().logits(images, backend, batch_size)
    assert logits.dtype == np.float32
    assert np.array_equal(logits, expected)


def test_the_plan_takes_the_batch_that_its_largest_step_prefers():
    assert model().plan(NumpyBackend()).batch_size == LogicNetwork.preferred_batch


@every_backend
def test_images_that_are_too_small_are_refused(backend):
    images = np.zeros((2, 1, 1, 3), np.uint8)
    with pytest.raises(BnnError, match="reads value 3 of each"):
        model().logits(images, backend)


@every_backend
@pytest.mark.parametrize("images", [np.zeros((2, 4), np.int8), np.zeros(4, np.uint8)])
def test_other_arrays_are_refused(backend, images):
    with pytest.raises(BnnError, match="logic network: images"):
        backend.prepare_logic(LogicNetwork(**FIELDS))(images)
