"""Extraction: a design answers as the packed model that it was made from, on every input tried."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.bits import pack_bits, unpack_bits
from bnncli.circuit import Builder, ClassSums, rebuild, simulate, truth_tables
from bnncli.data import load_dataset, rule_table
from bnncli.errors import BnnError, UsageError
from bnncli.extract import design_of, neurons
from bnncli.extract.agreement import agreement
from bnncli.extract.model import identifier
from bnncli.extract.neurons import advance
from bnncli.extract.running import answers, compiled_logits
from bnncli.extract.scores import ClassLogits, class_index, class_sums, folded
from bnncli.freeze import freeze
from bnncli.layers import Pixels
from bnncli.models import Quantization, build_model
from bnncli.native.compile import find_compiler
from bnncli.norms import BatchNorm
from bnncli.packed import NumpyBackend, PackedModel
from bnncli.packed import elementwise as ew
from bnncli.packed.elementwise import Affine
from bnncli.packed.layers import ThresholdLinear
from tests.automata import rule_model
from tests.test_packed_logic import random_network

NETS = {
    "bnn-mlp": ("bnn-mlp", (1, 3, 3), {"widths": (12, 9)}, "binary", "batch"),
    "one layer": ("bnn-mlp", (1, 4, 4), {"widths": ()}, "binary", "batch"),
    "no norm": ("bnn-mlp", (1, 3, 3), {"widths": (10,)}, "binary", "none"),
    "ternary": ("mlp", (1, 3, 3), {"widths": (10,)}, "ternary", "batch"),
    "convolutions": ("bnn-vgg", (1, 9, 8), {"width_factor": 0.02}, "binary", "batch"),
    "colours": ("bnn-vgg", (2, 8, 8), {"width_factor": 0.02}, "binary", "batch"),
}


def frozen(
    name: str, seed: int, pixels: str = "signed"
) -> tuple[PackedModel, tuple[int, int, int]]:
    arch, image_shape, options, weights, norm = NETS[name]
    torch.manual_seed(seed)
    model = build_model(
        arch,
        image_shape=image_shape,
        n_classes=4,
        quantization=Quantization(weights=weights, activations="binary"),
        pixels=Pixels(pixels, image_shape[0]),
        norm=norm,
        **options,
    )
    balance(model, some_images(image_shape), seed)
    return freeze(model), image_shape


def balance(model: torch.nn.Module, images: np.ndarray, seed: int) -> None:
    """Let norms see images, then draw rising, falling and constant channels: classes stay mixed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(30):
            model.train()(torch.from_numpy(images))
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.weight.copy_(torch.randn(len(module.weight), generator=generator))
                module.bias.copy_(torch.randn(len(module.bias), generator=generator) / 2)
                module.weight[5::7] = 0


def some_images(shape: tuple[int, ...], n: int = 300, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    images[: n // 3] = rng.choice(np.array([0, 1, 254, 255], np.uint8), images[: n // 3].shape)
    images[:3] = np.array([0, 255, 128], np.uint8).reshape(3, *[1] * len(shape))
    return images


@pytest.mark.parametrize("pure", [False, True], ids=["sums", "pure"])
@pytest.mark.parametrize("name", NETS)
def test_networks_of_signs_answer_as_packed(name, pure):
    packed, shape = frozen(name, seed=1)
    design = design_of(packed, name=name, pure=pure, image_shape=shape)
    assert (design.sums is None) == pure
    images = some_images(shape)
    expected = packed.predict(images, NumpyBackend())
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(answers(design, images), expected)


@settings(max_examples=8)
@given(st.integers(0, 2**31), st.sampled_from(["signed", "unit"]))
def test_any_weights_and_norms(seed, pixels):
    packed, shape = frozen("bnn-mlp", seed, pixels)
    design = design_of(packed, name="net", image_shape=shape)
    images = some_images(shape, 100, seed)
    expected = packed.predict(images, NumpyBackend())
    np.testing.assert_array_equal(answers(design, images), expected)


def values_before(packed: PackedModel, images: np.ndarray, stop: int) -> np.ndarray:
    x = images
    for step in packed.steps[:stop]:
        x = step.bind(NumpyBackend())(x)
    return x


def test_each_layer_computes_the_bits_that_follow_it():
    packed, shape = frozen("bnn-mlp", seed=3)
    images = some_images(shape)
    kinds = [step.kind for step in packed.steps]
    first, second = kinds.index("binarize") + 1, kinds.index("threshold-linear") + 1
    hidden = unpack_bits(values_before(packed, images, first), 12)
    after = unpack_bits(values_before(packed, images, second), 9)
    layer = design_of(packed, name="net", layer=1, image_shape=shape)
    np.testing.assert_array_equal(layer.scores(images), hidden)
    layer = design_of(packed, name="net", layer=2, image_shape=shape)
    assert layer.circuit.n_inputs == 12
    assert layer.pixels is None
    found = unpack_bits(simulate(layer.circuit, pack_bits(hidden.T)), len(images))
    np.testing.assert_array_equal(found, after.T)
    neuron = design_of(packed, name="net", layer=2, neuron=4, image_shape=shape)
    assert neuron.name == "net_layer2_neuron4"
    np.testing.assert_array_equal(truth_tables(neuron.circuit)[0], truth_tables(layer.circuit)[4])
    for k in range(12):
        alone = design_of(packed, name="net", layer=1, neuron=k, image_shape=shape)
        np.testing.assert_array_equal(alone.scores(images)[:, 0], hidden[:, k])
    scores = design_of(packed, name="net", layer=3, image_shape=shape)
    outputs = unpack_bits(simulate(scores.circuit, pack_bits(after.T)), len(images))
    expected = packed.predict(images, NumpyBackend())
    np.testing.assert_array_equal(scores.sums.scores(outputs).argmax(axis=1), expected)


@pytest.mark.parametrize("name", ["ternary", "no norm", "convolutions"])
def test_a_neuron_alone_is_that_of_its_layer(name):
    packed, shape = frozen(name, seed=6)
    layer = design_of(packed, name="net", layer=1, image_shape=shape)
    images = some_images(shape, 60)
    together = layer.scores(images)
    for k in (0, 3, together.shape[1] - 1):
        alone = design_of(packed, name="net", layer=1, neuron=k, image_shape=shape)
        np.testing.assert_array_equal(alone.scores(images)[:, 0], together[:, k])


def test_one_neuron_of_a_layer_that_is_too_large_is_extracted(monkeypatch):
    packed, shape = frozen("bnn-mlp", seed=3)
    monkeypatch.setattr(neurons, "MAX_LITERALS", 200)
    with pytest.raises(BnnError, match="864 products with a bit, expected at most 200"):
        design_of(packed, name="net", image_shape=shape)
    assert design_of(packed, name="net", layer=1, neuron=2, image_shape=shape).circuit.n_gates


def test_a_neuron_of_the_last_layer_is_its_count():
    packed, shape = frozen("no norm", seed=2)
    design = design_of(packed, name="net", layer=2, neuron=3, image_shape=shape)
    bits = truth_tables(design.circuit)
    number = (bits.astype(int) << np.arange(len(bits))[:, None]).sum(axis=0)
    cases = (np.arange(2**10) >> np.arange(10)[:, None] & 1).astype(np.bool_)
    layer = packed.steps[-2]
    sums = NumpyBackend().xor_gemm(pack_bits(cases.T), NumpyBackend().prepare(layer.words, 10))[
        :, 3
    ]
    np.testing.assert_array_equal(2 * number - 10, sums)


def test_a_neuron_is_as_large_as_its_count():
    """n - 1 counters at most and a comparison: fixed weights cost nothing."""
    rng = np.random.default_rng(0)
    words = pack_bits(rng.random((1, 64)) < 0.5)
    step = ThresholdLinear(words=words, in_features=64, thresholds=np.array([3], np.int32))
    from bnncli.extract.activations import Bits

    build = Builder(64)
    fires = advance(step, Bits(np.array(build.inputs())), build).literals[0]
    count = sum(5 * ((n - 1) // 2) + 2 for n in (64, 32, 16, 8, 4, 2))
    assert build.build([int(fires)]).size <= count + 6


def test_automata_are_rules_of_neighbourhoods():
    for rule in ("B3/S23", "B36/S23", "W110"):
        design = design_of(rule_model(rule), name="rule")
        table = rule_table(rule)
        assert (design.channels, design.circuit.n_inputs, design.circuit.n_outputs) == (1, 9, 1)
        assert design.circuit.input_names == ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")
        rows = np.arange(512)
        expected = table[rows] if len(table) == 512 else table[rows >> 3 & 7]
        np.testing.assert_array_equal(truth_tables(design.circuit)[0], expected)
        assert agreement(design, rule_model(rule)).sentence().startswith("answers as the packed")


def cell_model() -> PackedModel:
    rng = np.random.default_rng(4)
    network = random_network(
        rng, n_pixels=27, n_inputs=27, n_gates=60, group_size=1, n_groups=3, reach=20
    )
    half = Affine(gain=np.ones(1, np.float32), offset=np.full(1, -0.5, np.float32))
    return PackedModel((network, half), {"data": "board:checkerboard,channels=3"})


def test_automata_of_many_channels():
    packed = cell_model()
    design = design_of(packed, name="cells")
    assert design.channels == 3
    assert agreement(design, packed).n_equal == 4096


def gate_classifier(seed: int, gain: float = 0.1) -> PackedModel:
    rng = np.random.default_rng(seed)
    network = random_network(rng, n_pixels=9, n_inputs=12, n_gates=80, group_size=7, n_groups=5)
    tau = Affine(gain=np.full(1, gain, np.float32), offset=np.zeros(1, np.float32))
    return PackedModel((network, tau), {})


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_gate_networks_keep_their_counts(seed):
    packed = gate_classifier(seed)
    images = some_images((1, 3, 3), 200, seed)
    counts = packed.steps[0].bind(NumpyBackend())(images)
    design = design_of(packed, name="net", image_shape=(1, 3, 3))
    np.testing.assert_array_equal(design.scores(images), counts)
    pure = design_of(packed, name="net", pure=True, image_shape=(1, 3, 3))
    np.testing.assert_array_equal(answers(pure, images), packed.predict(images, NumpyBackend()))


def test_a_layer_of_gates_reads_the_signals_before_it():
    packed = gate_classifier(7)
    network = packed.steps[0]
    layer = design_of(packed, name="net", layer=2)
    a, b = (int(s.removeprefix("s")) for s in layer.circuit.input_names[:2])
    assert 2 <= a < b < network.n_signals
    gate = design_of(packed, name="net", layer=2, neuron=1)
    signal = int(gate.circuit.output_names[0].removeprefix("s")) - network.first_gate
    assert gate.circuit.op[0] == network.op[signal]
    with pytest.raises(UsageError, match="--layer 99: net has layers 1 to"):
        design_of(packed, name="net", layer=99)
    with pytest.raises(UsageError, match="--neuron 1: give its layer too"):
        design_of(packed, name="net", neuron=1)


@given(st.data())
def test_scores_keep_the_order_of_the_logits(data):
    """Sums and index choose as the logits do, ties and falling classes included."""
    n_classes, n = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 4))
    whole = st.integers(-3, 3)
    draw = lambda *shape: np.array(
        data.draw(st.lists(whole, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    ).reshape(shape)
    build = Builder(n)
    pool = np.array([0, 1, *build.inputs(), *(x ^ 1 for x in build.inputs())], np.int64)
    literals = pool[draw(n_classes, n) % len(pool)] if n else np.zeros((n_classes, 0), np.int64)
    chain = (
        Affine(
            gain=(draw(n_classes) / 4).astype(np.float32),
            offset=(draw(n_classes) / 2).astype(np.float32),
        ),
    )
    logits = ClassLogits(literals, draw(n_classes, n), draw(n_classes), 0.5, chain)
    cases = np.arange(2**n) >> np.arange(n)[:, None] & 1
    values = (
        np.concatenate([np.zeros((2, 2**n), int), cases])[literals >> 1] ^ (literals & 1)[..., None]
    )
    sums = logits.offset[:, None] + (logits.weights[..., None] * values).sum(axis=1)
    floats = sums.astype(np.float32) * np.float32(0.5)
    floats = floats * chain[0].gain[:, None] + chain[0].offset[:, None]
    expected = floats.argmax(axis=0)
    ends, class_score = class_sums(build, logits)
    outputs = truth_tables(build.build(ends)) if ends else np.zeros((0, 2**n), np.bool_)
    np.testing.assert_array_equal(class_score.scores(outputs).argmax(axis=1), expected)
    index = class_index(build, logits)
    bits = truth_tables(build.build(index)) if index else np.zeros((0, 2**n), np.bool_)
    found = (bits.astype(int) << np.arange(len(bits))[:, None]).sum(axis=0)
    np.testing.assert_array_equal(found, expected)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(-4, 4)), max_size=12))
def test_folding_outputs_keeps_every_score(ends):
    build = Builder(4)
    literals = [x for x, _, _ in ends]
    sums = ClassSums(
        *(np.array([end[i] for end in ends], np.int32) for i in (1, 2)),
        np.array([5, 0, -1], np.int32),
    )
    kept, after = folded(literals, sums)
    assert not any(x & 1 for x in kept)
    assert 0 not in kept
    pairs = list(zip(kept, after.group.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    tables = [
        truth_tables(build.build(x)) if x else np.zeros((0, 16), bool) for x in (literals, kept)
    ]
    np.testing.assert_array_equal(sums.scores(tables[0]), after.scores(tables[1]))


def test_real_numbers_are_refused_in_one_line():
    torch.manual_seed(0)
    shape = {"image_shape": (1, 3, 3), "n_classes": 3, "pixels": Pixels("signed", 1)}
    relu = build_model("mlp", quantization=Quantization("binary", "float"), widths=(5,), **shape)
    with pytest.raises(BnnError, match="the step relu computes with real numbers"):
        design_of(freeze(relu), name="net", image_shape=(1, 3, 3))
    floats = build_model("mlp", quantization=Quantization("float", "binary"), widths=(5,), **shape)
    with pytest.raises(BnnError, match="the step float-linear computes with real numbers"):
        design_of(freeze(floats), name="net", image_shape=(1, 3, 3))
    packed, _ = frozen("bnn-mlp", 0)
    pixels = ew.Pixels(gain=np.full(1, 0.3, np.float32), offset=np.zeros(1, np.float32))
    odd = PackedModel((pixels, *packed.steps[1:]))
    with pytest.raises(BnnError, match="--pixels signed or unit"):
        design_of(odd, name="net", image_shape=(1, 3, 3))
    with pytest.raises(BnnError, match="does not say what it was trained on"):
        design_of(packed, name="net")
    with pytest.raises(UsageError, match="--layer 4: net has layers 1 to 3"):
        design_of(packed, name="net", layer=4, image_shape=(1, 3, 3))
    with pytest.raises(UsageError, match="--neuron 9: net_layer2 has neurons 0 to 8"):
        design_of(packed, name="net", layer=2, neuron=9, image_shape=(1, 3, 3))


def test_extraction_does_not_change_what_it_reads():
    packed = gate_classifier(3)
    before = [array.copy() for array in packed.steps[0].arrays().values()]
    design_of(packed, name="net", pure=True)
    for was, now in zip(before, packed.steps[0].arrays().values(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_names_become_identifiers():
    assert identifier("bnn-mlp-digits-437c") == "bnn_mlp_digits_437c"
    assert identifier("3x3") == "bnn_3x3"
    assert identifier("--") == "bnn"


def test_rebuilding_an_extracted_neuron_changes_nothing():
    packed, shape = frozen("bnn-mlp", seed=3)
    circuit = design_of(packed, name="net", image_shape=shape).circuit
    assert rebuild(circuit).size == circuit.size


def test_images_of_digits_are_all_answered_alike():
    packed = gate_classifier(1)
    named = PackedModel(packed.steps, {"data": "digits"})
    compared = agreement(design_of(named, name="net"), named)
    assert compared.n_equal == compared.n_images == len(load_dataset("digits").test)


def small_digits() -> PackedModel:
    """Give a network of signs that reads digits: 4 neurons, so that it compiles at once."""
    torch.manual_seed(0)
    model = build_model(
        "bnn-mlp",
        image_shape=(1, 8, 8),
        n_classes=10,
        quantization=Quantization("binary", "binary"),
        pixels=Pixels("signed", 1),
        widths=(4,),
    )
    balance(model, load_dataset("digits").train.images, 0)
    return PackedModel(freeze(model).steps, {"data": "digits"})


@pytest.mark.parametrize("name", ["bnn-mlp", "gates", "rule", "cells"])
def test_compiled_circuits_answer_as_packed(name, tmp_path, monkeypatch):
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path))
    if find_compiler() is None:
        pytest.skip("needs a C compiler")
    packed, images = {
        "bnn-mlp": lambda: (small_digits(), load_dataset("digits").test.images),
        "gates": lambda: (
            PackedModel(gate_classifier(2).steps, {"data": "digits"}),
            load_dataset("digits").test.images,
        ),
        "rule": lambda: (rule_model("B36/S23"), load_dataset("rule:B36/S23").test.images),
        "cells": lambda: (cell_model(), load_dataset("board:checkerboard,channels=3").test.images),
    }[name]()
    logits = compiled_logits(packed)(images)
    expected = packed.logits(images, NumpyBackend())
    np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
    if name in {"rule", "cells"}:
        np.testing.assert_array_equal(logits > 0, expected > 0)
