"""Architectures: shapes follow the data set, quantizers land where they are asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnncli.errors import BnnError, UsageError
from bnncli.layers import Pixels, QuantConv2d, QuantLinear
from bnncli.models import ARCHS, Quantization, build_model, quantized_weights
from bnncli.optim import claim_once, group_parameters, make_optimizer

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]
GATES = [name for name, arch in ARCHS.items() if arch.defaults.get("weights") == "gates"]
WEIGHTED = [name for name in ARCHS if name not in GATES]
SMALL = {"bnn-vgg": {"width_factor": 0.1}, "bnn-mlp": {"widths": (33, 20)}}


def small(arch: str, shape=(1, 8, 8), weights="binary", activations="float", **options):
    return build_model(
        arch,
        image_shape=shape,
        n_classes=10,
        quantization=Quantization(weights=weights, activations=activations),
        pixels=Pixels("signed", shape[0]),
        **{**SMALL.get(arch, {}), **options},
    )


@pytest.mark.parametrize("arch", WEIGHTED)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activations", ["float", "binary"])
def test_every_arch_maps_bytes_to_logits(arch, shape, activations):
    model = small(arch, shape, activations=activations)
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    assert model(images).shape == (3, 10)


@pytest.mark.parametrize("arch", WEIGHTED)
def test_binary_weights_are_binary_in_every_layer(arch):
    model = small(arch)
    layers = [m for m in model if isinstance(m, QuantConv2d | QuantLinear)]
    assert len(quantized_weights(model)) == len(layers)
    for _, weight, quantizer in quantized_weights(model):
        assert set(quantizer(weight).unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("arch", WEIGHTED)
def test_binary_activations_feed_every_layer_but_the_first(arch):
    model = small(arch, activations="binary")
    layers = [m for m in model if isinstance(m, QuantConv2d | QuantLinear)]
    assert [m.input_quantizer is not None for m in layers] == [False] + [True] * (len(layers) - 1)
    assert not any(isinstance(m, nn.ReLU) for m in model)


@pytest.mark.parametrize("arch", WEIGHTED)
def test_float_weights_leave_no_quantizer(arch):
    assert quantized_weights(small(arch, weights="float")) == []


@pytest.mark.parametrize("weights", ["binary", "float"])
@pytest.mark.parametrize("arch", GATES)
def test_networks_of_gates_refuse_quantizers(arch, weights):
    with pytest.raises(UsageError, match=f"weights {weights} given, but it is made of gates"):
        small(arch, weights=weights)


def test_smallconv_has_the_sizes_of_its_name():
    model = small("smallconv", (3, 32, 32))
    shapes = [tuple(m.weight.shape) for m in model if isinstance(m, QuantConv2d | QuantLinear)]
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (256, 64 * 8 * 8), (10, 256)]


def test_vgg_small_has_the_published_widths():
    model = small("bnn-vgg", (3, 32, 32), width_factor=1.0)
    channels = [m.out_channels for m in model if isinstance(m, QuantConv2d)]
    assert channels == [128, 128, 256, 256, 512, 512]
    assert model.get_submodule("fc7").in_features == 512 * 4 * 4


def test_networks_without_norm_have_biases():
    assert all(m.bias is not None for m in small("mlp", norm="none") if isinstance(m, QuantLinear))
    assert all(m.bias is None for m in small("mlp") if isinstance(m, QuantLinear))


def test_errors_name_what_is_known():
    with pytest.raises(UsageError, match="did you mean 'smallconv'"):
        small("smalconv")
    with pytest.raises(UsageError, match="arch smallconv has no option 'widths'; its options are"):
        small("smallconv", widths=(3,))
    with pytest.raises(UsageError, match="too small"):
        small("bnn-vgg", (1, 4, 4))
    with pytest.raises(UsageError, match="positive layer sizes"):
        small("mlp", widths=(0,))


@pytest.mark.parametrize("arch", WEIGHTED)
@pytest.mark.parametrize("weights", ["binary", "float"])
def test_each_parameter_is_claimed_once(arch, weights):
    model = small(arch, weights=weights)
    groups = group_parameters(model)
    claimed = [name for group in vars(groups).values() for name, _ in group]
    assert sorted(claimed) == sorted(name for name, _ in model.named_parameters())
    assert bool(groups.latent) == (weights == "binary")


def test_double_and_missing_claims_name_the_parameter():
    model = small("mlp")
    named = list(model.named_parameters())
    with pytest.raises(BnnError, match=r"fc1\.weight is claimed by groups 'a' and 'b'"):
        claim_once(model, [("a", named), ("b", named[:1])])
    with pytest.raises(BnnError, match=r"fc1\.weight is claimed by no group"):
        claim_once(model, [("a", named[1:])])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_latents_are_clipped_after_the_step(optimizer):
    model = small("mlp")
    steps = make_optimizer(model, optimizer, lr=1e5, latent_clip=0.25)
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    model(images).square().sum().backward()
    steps.step()
    bounds = [weight.abs().max().item() for _, weight, _ in quantized_weights(model)]
    assert bounds == [0.25, 0.25]


def test_weight_decay_reaches_real_weights_alone():
    model = small("mlp", weights="float")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    steps = make_optimizer(model, "sgd", lr=0.1, options={"momentum": 0.0}, weight_decay=0.5)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    steps.step()
    for name, p in model.named_parameters():
        kept = 0.95 if p.dim() > 1 else 1.0
        torch.testing.assert_close(p.detach(), before[name] * kept)
    binary = make_optimizer(small("mlp"), "sgd", weight_decay=0.5)
    assert all(group["weight_decay"] == 0 for group in binary.param_groups)


def test_momentum_belongs_to_sgd():
    with pytest.raises(UsageError, match="adam has no option 'momentum'"):
        make_optimizer(small("mlp"), "adam", options={"momentum": 0.9})
    with pytest.raises(UsageError, match="unknown optimizer 'adm'"):
        make_optimizer(small("mlp"), "adm")
