"""Layers, norms and pixel scalings."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bnncli.errors import UsageError
from bnncli.layers import Pixels, QuantConv2d, QuantLinear
from bnncli.norms import BatchNorm, RMSNorm, make_norm
from bnncli.quantizers import make_quantizer


def test_layers_without_quantizers_are_torchs_own():
    torch.manual_seed(0)
    x, image = torch.randn(4, 7), torch.randn(2, 3, 6, 6)
    linear, conv = QuantLinear(7, 5, bias=True), QuantConv2d(3, 4, 3, padding=1, bias=True)
    assert torch.equal(linear(x), F.linear(x, linear.weight, linear.bias))
    assert torch.equal(conv(image), F.conv2d(image, conv.weight, conv.bias, padding=1))


@pytest.mark.parametrize("weights", ["binary", "ternary"])
@pytest.mark.parametrize("scale", ["none", "mean-abs", "mean-abs-per-output", "fan-in"])
@pytest.mark.parametrize("activations", [None, "binary"])
def test_quantized_layers_use_the_quantized_weights(weights, scale, activations):
    torch.manual_seed(1)
    quantizers = {
        "weight_quantizer": make_quantizer(weights, scale=scale),
        "input_quantizer": None if activations is None else make_quantizer(activations),
    }
    linear = QuantLinear(9, 5, bias=True, **quantizers)
    conv = QuantConv2d(3, 4, 3, padding=1, bias=True, **quantizers)
    for layer, x, function in [
        (linear, torch.randn(4, 9), F.linear),
        (conv, torch.randn(2, 3, 6, 6), lambda x, w, b: F.conv2d(x, w, b, padding=1)),
    ]:
        quantized = x if activations is None else make_quantizer(activations)(x)
        weight = layer.weight_quantizer(layer.weight)
        torch.testing.assert_close(layer(x), function(quantized, weight, layer.bias))


@pytest.mark.parametrize(
    ("weights", "options"),
    [
        ("bits", {}),
        ("swarm", {}),
        ("swarm", {"readout": "analog", "size": 5}),
        ("swarm-float", {}),
        ("register", {}),
        ("ternary-register", {"trits": 2}),
    ],
)
@pytest.mark.parametrize("scale", ["none", "fan-in"])
def test_layers_with_adopted_weights_are_those_of_their_levels(weights, options, scale):
    torch.manual_seed(1)

    def quantizer():
        return make_quantizer(weights, scale=scale, options=options)

    linear = QuantLinear(9, 5, bias=True, weight_quantizer=quantizer())
    conv = QuantConv2d(3, 4, 3, padding=1, bias=True, weight_quantizer=quantizer())
    for layer, x, function, shape in [
        (linear, torch.randn(4, 9), F.linear, (5, 9)),
        (conv, torch.randn(2, 3, 6, 6), lambda x, w, b: F.conv2d(x, w, b, padding=1), (4, 3, 3, 3)),
    ]:
        levels = layer.weight_quantizer(layer.weight)
        assert levels.shape == shape
        for training in (True, False):
            layer.train(training).zero_grad()
            out = layer(x)
            torch.testing.assert_close(out, function(x, levels, layer.bias))
            out.square().sum().backward()
            twin = levels.detach().requires_grad_()
            function(x, twin, layer.bias.detach()).square().sum().backward()
            expected = twin.grad
            if weights == "swarm-float":
                expected = (twin.grad / 32).reshape(len(twin), -1, 1).expand(layer.weight.shape)
            torch.testing.assert_close(layer.weight.grad, expected, rtol=1e-4, atol=1e-4)


def test_sums_of_binary_inputs_are_integers_before_the_scale():
    layer = QuantLinear(
        65,
        3,
        weight_quantizer=make_quantizer("binary", scale="mean-abs-per-output"),
        input_quantizer=make_quantizer("binary"),
    ).eval()
    _, scale = layer.weight_quantizer.factored(layer.weight)
    sums = (layer(torch.randn(10, 65)) / scale.T).double()
    assert torch.allclose(sums, sums.round(), atol=1e-4)
    assert (sums.round().remainder(2) == 1).all()  # 65 odd terms of ±1


@pytest.mark.parametrize("scale", ["none", "mean-abs", "mean-abs-per-output", "fan-in"])
@pytest.mark.parametrize(
    "make", [lambda **q: QuantLinear(9, 5, **q), lambda **q: QuantConv2d(9, 5, 1, **q)]
)
def test_weight_gradients_do_not_depend_on_an_input_quantizer(scale, make):
    """Inputs that are ±1 already: quantizing them again must change nothing."""
    torch.manual_seed(0)
    plain = make(weight_quantizer=make_quantizer("binary", scale=scale))
    both = make(
        weight_quantizer=make_quantizer("binary", scale=scale),
        input_quantizer=make_quantizer("binary"),
    )
    both.load_state_dict(plain.state_dict())
    x = torch.where(torch.randn(4, 9) < 0, -1.0, 1.0)
    x = x if isinstance(plain, QuantLinear) else x[:, :, None, None]
    for layer in (plain, both):
        layer(x).square().sum().backward()
    assert torch.equal(plain.weight.grad, both.weight.grad)
    in_training = plain.weight.grad.clone()
    plain.zero_grad()
    plain.eval()(x).square().sum().backward()
    torch.testing.assert_close(plain.weight.grad, in_training)


def test_gradient_reaches_latent_weights_and_inputs():
    layer = QuantLinear(
        8, 2, weight_quantizer=make_quantizer("binary"), input_quantizer=make_quantizer("binary")
    )
    x = torch.randn(3, 8, requires_grad=True)
    layer(x).sum().backward()
    signs = torch.where(x.detach() < 0, -1.0, 1.0)
    assert torch.equal(layer.weight.grad, signs.sum(dim=0).expand(2, 8))
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("layer", [QuantLinear(4, 2), QuantConv2d(3, 2, 3)])
def test_wrong_input_shapes_name_layer_shape_and_remedy(layer):
    with pytest.raises(UsageError, match=type(layer).__name__ + r": in_\w+=\d but input has shape"):
        layer(torch.zeros(5, 7))


def test_in_place_binarization_of_latents_loses_them():
    """The notebook's mistake: after overwriting p.data, small steps never change a sign."""
    torch.manual_seed(0)
    x = torch.randn(256, 16)
    y = (x @ torch.where(torch.randn(16) < 0, -1.0, 1.0) > 0).float()

    def train(overwrite: bool) -> float:
        torch.manual_seed(1)
        layer = QuantLinear(16, 1, weight_quantizer=make_quantizer("binary", scale="fan-in"))
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
        for _ in range(200):
            if overwrite:
                layer.weight.data = torch.where(layer.weight.data < 0, -1.0, 1.0)
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(layer(x)[:, 0], y).backward()
            optimizer.step()
        return ((layer(x)[:, 0] > 0) == (y > 0)).double().mean().item()

    kept, overwritten = train(overwrite=False), train(overwrite=True)
    assert kept > 0.95
    assert overwritten < kept - 0.1


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3, 5)])
def test_batch_norm_agrees_with_torch(shape):
    torch.manual_seed(0)
    ours, theirs = (
        BatchNorm(4),
        torch.nn.BatchNorm2d(4) if len(shape) == 4 else torch.nn.BatchNorm1d(4),
    )
    for norm in (ours, theirs):
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, -2.0, 0.0, 0.5]))
            norm.bias.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    for _ in range(3):
        x = torch.randn(shape)
        assert torch.equal(ours(x), theirs(x))
    ours.eval(), theirs.eval()
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x))


def test_batch_norm_evaluation_does_not_depend_on_the_layout():
    norm = BatchNorm(5).eval()
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.1, 2)
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(2, 5, 7, 9)
    whole = norm(x)
    assert torch.equal(whole, norm(x.contiguous(memory_format=torch.channels_last)))
    assert torch.equal(whole[:, :, 3, 4], norm(x[:, :, 3, 4]))


def test_rms_norm_divides_by_the_root_mean_square():
    norm = RMSNorm(4)
    x = torch.randn(3, 4, 5, 5)
    out = norm(x)
    torch.testing.assert_close(out.square().mean(dim=1), torch.ones(3, 5, 5), atol=1e-3, rtol=0)
    torch.testing.assert_close(norm(3 * x), out, atol=1e-4, rtol=1e-4)


def test_unknown_norm_is_a_usage_error():
    with pytest.raises(UsageError, match="unknown norm 'bach'; did you mean 'batch'"):
        make_norm("bach", 3)


def test_signed_pixels_are_exact_multiples_of_one_256th():
    pixels = Pixels("signed", 1)
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = pixels(every).double()
    assert torch.equal(x.view(-1) * 256, 2 * torch.arange(256.0, dtype=torch.float64) - 255)


def test_signed_pixel_sums_are_exact_in_any_order():
    """Why an XNOR net's first layer agrees bit for bit however its sum is arranged."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 1, 200, 300), generator=generator, dtype=torch.uint8)
    x = Pixels("signed", 1)(image).flatten()
    signs = torch.where(torch.rand(x.shape, generator=generator) < 0.5, -1.0, 1.0)
    exact = (x.double() * signs.double()).sum()
    order = torch.randperm(len(x), generator=generator)
    assert (x * signs).sum().double() == exact
    assert (x * signs)[order].cumsum(0)[-1].double() == exact


def test_standard_pixels_have_zero_mean_and_unit_deviation():
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    values = images.double()
    mean, std = values.mean(dim=(0, 2, 3)).tolist(), values.std(dim=(0, 2, 3)).tolist()
    out = Pixels("standard", 3, lambda: (mean, std))(images)
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


def test_standard_pixels_without_statistics_say_so():
    with pytest.raises(UsageError, match="needs the mean and std"):
        Pixels("standard", 1)
