"""Freezing: the packed model gives what the hard model gives.

Integer-exact models (binary or ternary weights and activations, any weight scale, pixels in
1/256) agree bit for bit; the others within the rounding of float32 sums.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from bnncli.errors import BnnError
from bnncli.freeze import float_bytes, freeze, lower, sampled_model
from bnncli.layers import Pixels, QuantConv2d, QuantLinear
from bnncli.models import Quantization, build_model
from bnncli.native import default_backend
from bnncli.norms import BatchNorm, RMSNorm
from bnncli.packed import NumpyBackend, load_packed, model_size, save_packed
from bnncli.quantizers import Quantizer, make_quantizer
from bnncli.quantizers.grids import BinaryGrid

# Where there are no C kernels the default is numpy too; tests/test_native.py says so.
BACKENDS = {backend.name: backend for backend in (NumpyBackend(), default_backend())}
TOLERANCE = 2e-5  # of the largest logit: float32 sums in another order

NETS = {
    "mlp-8x8x1": ("mlp", (1, 8, 8), {"widths": (70, 65)}),
    "mlp-8x8x3": ("mlp", (3, 8, 8), {"widths": (64,)}),
    "bnn-mlp-28x28x1": ("bnn-mlp", (1, 28, 28), {"widths": (65, 40), "dropout": 0.5}),
    "smallconv-8x8x1": ("smallconv", (1, 8, 8), {}),
    "smallconv-9x10x3": ("smallconv", (3, 9, 10), {}),
    "bitconv-8x8x3": ("bitconv", (3, 8, 8), {}),
    "bnn-vgg-8x8x3": ("bnn-vgg", (3, 8, 8), {"width_factor": 0.1}),
}
WEIGHTS = ["float", "binary", "binaryconnect-stochastic", "ternary"]
ACTIVATIONS = ["float", "binary", "ternary"]


def randomize(model: nn.Module, seed: int) -> None:
    """Draw norms with rising, falling and constant channels, and sums that meet their mean."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> torch.Tensor:
        return torch.randn(n, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, BatchNorm):
                n = module.num_features
                # An integer mean without bias puts some sums exactly on the threshold.
                module.running_mean.copy_((3 * draw(n)).round())
                module.running_var.copy_(30 * draw(n).square() + 0.1)
                module.weight.copy_(draw(n))
                module.weight[::7] = 0
                module.bias.copy_(draw(n))
                module.bias[::2] = 0
            elif isinstance(module, RMSNorm):
                module.weight.copy_(draw(module.num_features))
            elif isinstance(module, QuantLinear | QuantConv2d) and module.bias is not None:
                module.bias.copy_(draw(len(module.bias)))


def net(name, weights, activations, norm="batch", pixels="signed", scale=None, seed=0):
    arch, image_shape, options = NETS[name]
    torch.manual_seed(seed)
    model = build_model(
        arch,
        image_shape=image_shape,
        n_classes=10,
        quantization=Quantization(weights=weights, activations=activations, scale=scale),
        pixels=Pixels(pixels, image_shape[0]),
        norm=norm,
        **options,
    )
    randomize(model, seed)
    return model


def images_for(name, n=40):
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (n, *NETS[name][1]), dtype=np.uint8)
    images[:3] = np.array([0, 255, 128]).reshape(3, 1, 1, 1)
    return images


def hard_logits(model, images):
    model = copy.deepcopy(model).eval()
    with torch.inference_mode():
        return model(torch.from_numpy(images)).numpy()


def check_equal(packed, hard, images):
    for name, backend in BACKENDS.items():
        assert np.array_equal(packed.logits(images, backend), hard), name


def check_close(packed, hard, images):
    for backend in BACKENDS.values():
        assert_close(packed.logits(images, backend), hard)


def assert_close(packed, hard):
    assert np.abs(packed - hard).max() <= TOLERANCE * np.abs(hard).max()
    near = np.sort(hard, axis=1)
    decided = near[:, -1] - near[:, -2] > 2 * TOLERANCE * np.abs(hard).max()
    assert decided.mean() > 0.9
    assert np.array_equal(packed.argmax(axis=1)[decided], hard.argmax(axis=1)[decided])


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("activations", ["binary", "ternary"])
@pytest.mark.parametrize("weights", ["binary", "binaryconnect-stochastic"])
@pytest.mark.parametrize("name", NETS)
def test_integer_exact_models_agree_bit_for_bit(name, weights, activations, norm):
    model = net(name, weights, activations, norm, scale="none")
    images = images_for(name)
    check_equal(freeze(model), hard_logits(model, images), images)


@pytest.mark.parametrize("pixels", ["signed", "unit"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["bnn-mlp-28x28x1", "bnn-vgg-8x8x3"])
def test_xnor_networks_agree_bit_for_bit_on_many_draws(name, seed, pixels):
    model = net(name, "binary", "binary", pixels=pixels, seed=seed)
    images = images_for(name, 200)
    check_equal(freeze(model), hard_logits(model, images), images)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("scale", ["mean-abs", "mean-abs-per-output", "fan-in"])
@pytest.mark.parametrize("weights", ["binary", "ternary"])
@pytest.mark.parametrize("name", ["bnn-mlp-28x28x1", "bnn-vgg-8x8x3", "smallconv-9x10x3"])
def test_weight_scales_keep_xnor_networks_exact(name, weights, scale, norm):
    model = net(name, weights, "binary", norm, scale=scale)
    images = images_for(name, 50)
    check_equal(freeze(model), hard_logits(model, images), images)


@pytest.mark.parametrize("norm", ["batch", "rms", "none"])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", NETS)
def test_models_with_float_activations_agree_within_rounding(name, weights, norm):
    model = net(name, weights, "float", norm)
    images = images_for(name)
    check_close(freeze(model), hard_logits(model, images), images)


@pytest.mark.parametrize("scale", ["mean-abs", "mean-abs-per-output", "fan-in"])
@pytest.mark.parametrize("name", ["mlp-8x8x3", "smallconv-9x10x3"])
def test_weight_scales_agree_within_rounding(name, scale):
    model = net(name, "binary", "float", scale=scale)
    images = images_for(name)
    check_close(freeze(model), hard_logits(model, images), images)


def quantized_stack(weights, activations, norm, scale):
    """Build a network whose first layer is integer-exact whatever the scale of the others."""
    return nn.Sequential(
        Pixels("signed", 2),
        QuantConv2d(2, 7, 3, padding=1, weight_quantizer=make_quantizer("binary")),
        norm(7),
        QuantConv2d(
            7,
            9,
            3,
            stride=2,
            padding=1,
            bias=True,
            weight_quantizer=make_quantizer(weights, scale=scale),
            input_quantizer=make_quantizer(activations, scale="none"),
        ),
        nn.MaxPool2d(2),
        norm(9),
        nn.Flatten(),
        QuantLinear(
            9 * 2 * 2,
            5,
            bias=True,
            weight_quantizer=make_quantizer(weights, scale=scale),
            input_quantizer=make_quantizer(activations, scale="none"),
        ),
    )


@pytest.mark.parametrize("scale", ["none", "mean-abs", "mean-abs-per-output", "fan-in"])
@pytest.mark.parametrize("activations", ["binary", "ternary"])
@pytest.mark.parametrize("weights", ["binary", "ternary"])
@pytest.mark.parametrize("seed", range(3))
def test_scale_bias_and_norm_fold_exactly(weights, activations, scale, seed):
    torch.manual_seed(seed)
    model = quantized_stack(weights, activations, BatchNorm, scale)
    randomize(model, seed)
    images = np.random.default_rng(seed).integers(0, 256, (50, 2, 9, 8), dtype=np.uint8)
    packed = freeze(model)
    check_equal(packed, hard_logits(model, images), images)
    fused = "threshold-conv2d" in [step.kind for step in packed.steps]
    assert fused == (weights == activations == "binary")


UNIFORM = {
    "register-16": ("register", {}),
    "register-8": ("register", {"bits": 8}),
    "register-1": ("register", {"bits": 1}),
    "ternary-register-5": ("ternary-register", {"trits": 5}),
    "analog-32": ("swarm", {"readout": "analog"}),
    "analog-31": ("swarm", {"readout": "analog", "size": 31}),
    "log-scaled": ("swarm", {"readout": "log-scaled"}),
    "float-analog": ("swarm-float", {"readout": "analog", "size": 9}),
}


def uniform_layers(weights, norm, activations, wide=36):
    """Build a network whose first layer is integer-exact, before layers of n-bit weights."""

    def quantizer():
        name, options = UNIFORM[weights]
        return make_quantizer(name, options=options)

    def inputs():
        return None if activations is None else make_quantizer(activations, scale="none")

    hidden = QuantConv2d(
        7, 9, 3, padding=1, bias=True, weight_quantizer=quantizer(), input_quantizer=inputs()
    )
    return nn.Sequential(
        Pixels("signed", 2),
        QuantConv2d(2, 7, 3, padding=1, weight_quantizer=make_quantizer("binary")),
        norm(7),
        hidden,
        nn.MaxPool2d(2),
        norm(9),
        nn.Flatten(),
        QuantLinear(wide, 5, weight_quantizer=quantizer(), input_quantizer=inputs()),
    )


@pytest.mark.parametrize("activations", ["binary", "ternary"])
@pytest.mark.parametrize("weights", UNIFORM)
def test_whole_numbers_on_signs_agree_bit_for_bit(weights, activations):
    """Sums of whole numbers are exact below 2^24, which 63 inputs of 65,535 stay under."""
    torch.manual_seed(0)
    model = uniform_layers(weights, BatchNorm, activations)
    randomize(model, 0)
    images = np.random.default_rng(0).integers(0, 256, (50, 2, 4, 4), dtype=np.uint8)
    check_equal(freeze(model), hard_logits(model, images), images)


@pytest.mark.parametrize("weights", UNIFORM)
def test_weights_of_many_levels_agree_within_rounding_on_real_inputs(weights):
    torch.manual_seed(0)
    model = uniform_layers(weights, BatchNorm, None)
    randomize(model, 0)
    images = np.random.default_rng(0).integers(0, 256, (50, 2, 4, 4), dtype=np.uint8)
    check_close(freeze(model), hard_logits(model, images), images)


@pytest.mark.parametrize("n", [256, 2000])
def test_sixteen_bits_on_signs_are_exact_up_to_256_inputs(n):
    """Beyond 256 inputs of up to 65,535 the float32 sums round, in an order of their own."""
    torch.manual_seed(0)
    layer = QuantLinear(
        n, 6, weight_quantizer=make_quantizer("register"), input_quantizer=make_quantizer("binary")
    )
    with torch.no_grad():
        layer.weight_quantizer.store.fill_(32767)
    model = nn.Sequential(Pixels("signed", 1), nn.Flatten(), layer)
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 1, n), dtype=np.uint8)
    images[0] = 255
    packed, hard = freeze(model), hard_logits(model, images)
    if n == 256:
        check_equal(packed, hard, images)
    else:
        for backend in BACKENDS.values():
            difference = np.abs(packed.logits(images, backend) - hard).max()
            assert difference <= TOLERANCE * np.abs(hard).max()


def test_rms_norm_keeps_binary_signs():
    torch.manual_seed(0)
    model = quantized_stack("binary", "binary", RMSNorm, "mean-abs")
    randomize(model, 0)
    images = np.random.default_rng(0).integers(0, 256, (50, 2, 9, 8), dtype=np.uint8)
    check_equal(freeze(model), hard_logits(model, images), images)


@pytest.mark.parametrize("norm", [BatchNorm, RMSNorm])
def test_norm_after_flatten_follows_the_packed_order(norm):
    torch.manual_seed(0)
    binary = make_quantizer("binary")
    model = nn.Sequential(
        Pixels("signed", 3),
        nn.Flatten(),
        norm(3 * 4 * 2),
        QuantLinear(24, 6, weight_quantizer=binary, input_quantizer=binary),
        nn.Flatten(),
    )
    randomize(model, 3)
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 2), dtype=np.uint8)
    check_equal(freeze(model), hard_logits(model, images), images)


def test_hidden_layers_of_xnor_networks_are_thresholds():
    kinds = [step.kind for step in freeze(net("bnn-vgg-8x8x3", "binary", "binary")).steps]
    first = ["pixels", "sign-conv2d", "affine", "binarize"]
    pair = ["threshold-conv2d", "threshold-conv2d", "pool-bits"]
    hidden = ["threshold-conv2d", "pool-bits", *pair, *pair, "flatten-bits"]
    assert kinds == [*first, *hidden, "xnor-linear", "affine"]


@pytest.mark.parametrize("name", ["mlp-8x8x1", "bitconv-8x8x3"])
def test_a_sampled_freeze_is_the_sampled_hard_model(name):
    model = net(name, "binaryconnect-stochastic", "float", scale="mean-abs-per-output")
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, QuantLinear | QuantConv2d):
                module.weight.mul_(5)
    images = images_for(name)
    packed = freeze(model, sample_seed=3)
    assert packed == freeze(model, sample_seed=3)
    assert packed != freeze(model, sample_seed=4)
    assert packed != freeze(model)
    check_close(packed, hard_logits(sampled_model(model, 3), images), images)


def test_a_sample_is_plus_one_with_the_hard_sigmoid_probability():
    layer = QuantLinear(40_000, 3, weight_quantizer=make_quantizer("binaryconnect-stochastic"))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-0.5], [0.2], [1.0]]).expand(3, 40_000))
    sample = sampled_model(nn.Sequential(layer), 0)[0].weight.detach()
    assert set(sample.unique().tolist()) == {-1.0, 1.0}
    # The mean of the sample is the latent weight; 0.02 is over four standard deviations.
    assert torch.allclose(sample.mean(dim=1), torch.tensor([-0.5, 0.2, 1.0]), atol=0.02)


@pytest.mark.parametrize("weights", ["binary", "ternary"])
def test_a_sample_keeps_the_scale_of_the_latent_weights(weights):
    quantizer = make_quantizer(weights, scale="mean-abs-per-output")
    layer = QuantLinear(50, 4, weight_quantizer=quantizer)
    codes, scale = quantizer.codes(layer.weight, torch.Generator().manual_seed(2))
    sampled = sampled_model(nn.Sequential(layer), 2)[0]
    assert torch.equal(sampled.weight_quantizer(sampled.weight), quantizer.levels(codes, scale))


def test_freezing_changes_nothing_of_the_model():
    model = net("smallconv-8x8x1", "binaryconnect-stochastic", "binary")
    model.norm1.eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    random_state = torch.get_rng_state()
    quantizer = model.conv1.weight_quantizer
    first = freeze(model, sample_seed=1)
    assert freeze(model) == freeze(model)
    assert first != freeze(model)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert model.conv1.weight_quantizer is quantizer


def test_a_frozen_file_gives_the_same_logits(tmp_path):
    model = net("bnn-vgg-8x8x3", "binary", "binary")
    packed = freeze(model, metadata={"arch": "bnn-vgg", "classes": "10"})
    save_packed(packed, tmp_path / "model.bnn")
    loaded = load_packed(tmp_path / "model.bnn")
    assert loaded == packed
    assert loaded.metadata == {"arch": "bnn-vgg", "classes": "10"}
    images = images_for("bnn-vgg-8x8x3")
    check_equal(loaded, hard_logits(model, images), images)


def test_sizes_are_those_of_the_numbers_stored():
    model = net("mlp-8x8x1", "binary", "binary")
    weights = 64 * 70 + 70 * 65 + 65 * 10
    channels = 70 + 65 + 10
    assert float_bytes(model) == 4 * (weights + 4 * channels + 2)
    # Rows of 64, 70 and 65 bits; one threshold a unit in the middle, gain and offset elsewhere.
    size = model_size(freeze(model))
    assert size.weights == 8 * (70 * 1 + 65 * 2 + 10 * 2)
    assert size.thresholds == 4 * 65
    assert size.other == 4 * (2 + 2 * 70 + 2 * 10)


class _Unknown(nn.Module):
    pass


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (_Unknown(), "layer of type _Unknown"),
        (nn.BatchNorm2d(2), "layer of type BatchNorm2d"),
        (nn.MaxPool2d(3, stride=2), "square window"),
        (nn.MaxPool2d(2, ceil_mode=True), "square window"),
        (nn.MaxPool2d((2, 3)), "square window"),
        (
            QuantLinear(2, 2, input_quantizer=make_quantizer("binary", scale="mean-abs")),
            "no scale",
        ),
        (
            QuantLinear(
                2, 2, weight_quantizer=Quantizer(type("HexGrid", (BinaryGrid,), {"n_levels": 6})())
            ),
            "weights on HexGrid",
        ),
    ],
)
def test_a_layer_without_packed_form_is_named(module, message):
    with pytest.raises(BnnError, match=f"freeze: .*{message}"):
        freeze(nn.Sequential(Pixels("signed", 1), module))


def test_a_diverged_norm_is_refused():
    model = net("bnn-mlp-28x28x1", "binary", "binary")
    model.norm2.running_var[3] = float("nan")
    with pytest.raises(BnnError, match="diverged"):
        freeze(model)


def test_new_layers_register_their_lowering():
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    lower.register(Twice)(lambda module, layout: lower(nn.ReLU(), layout))
    packed = freeze(nn.Sequential(Pixels("unit", 1), Twice()))
    assert [step.kind for step in packed.steps] == ["pixels", "relu"]
