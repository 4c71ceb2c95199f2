"""Stored weights: moves, ports, copies, files, freezing and training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnncli.data import load_dataset
from bnncli.errors import UsageError
from bnncli.freeze import float_bytes, freeze, sampled_model
from bnncli.layers import Pixels, QuantConv2d, QuantLinear
from bnncli.models import Quantization
from bnncli.native import default_backend
from bnncli.packed import NumpyBackend, load_packed, model_size, save_packed
from bnncli.quantizers import QUANTIZERS, make_quantizer
from bnncli.quantizers.scales import MeanAbs
from bnncli.quantizers.stored import BitQuantizer
from bnncli.training.experiment import load_run_model
from bnncli.training.flips import flip_rate, weight_codes
from bnncli.training.memory import measure_memory
from bnncli.training.runs import list_runs
from tests.command_line import Cli

STORED = {
    "bits": ("bits", {}),
    "swarm": ("swarm", {}),
    "swarm-int8": ("swarm", {"storage": "int8", "size": 9}),
    "swarm-analog": ("swarm", {"readout": "analog", "size": 33}),
    "register": ("register", {}),
    "register-4": ("register", {"bits": 4}),
    "ternary-register": ("ternary-register", {"trits": 3}),
}


def stored(case, shape=(4, 6)):
    name, options = STORED[case]
    torch.manual_seed(0)
    quantizer = make_quantizer(name, options=options)
    return quantizer, quantizer.adopt(nn.Parameter(torch.randn(shape) / 4))


def network(case):
    def quantizer():
        return make_quantizer(STORED[case][0], options=STORED[case][1])

    torch.manual_seed(0)
    return nn.Sequential(
        Pixels("signed", 2),
        QuantConv2d(2, 6, 3, padding=1, weight_quantizer=quantizer(), bias=True),
        nn.ReLU(),
        nn.Flatten(),
        QuantLinear(6 * 5 * 4, 5, weight_quantizer=quantizer()),
    )


def images(n=30):
    return np.random.default_rng(0).integers(0, 256, (n, 2, 5, 4), dtype=np.uint8)


def logits(model, x):
    with torch.inference_mode():
        return copy.deepcopy(model).eval()(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("case", STORED)
@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3, 3)])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), chance=st.sampled_from([0.0, 0.01, 0.3, 1.0]))
def test_a_move_never_goes_away_from_its_direction(case, shape, seed, chance):
    quantizer, port = stored(case, shape)
    torch.manual_seed(seed)
    direction = torch.where(torch.randn(shape) < 0, -1.0, 1.0)
    steps = torch.randint(1, 9, shape).float()
    before = quantizer(port).detach()
    moved = quantizer.move(direction, torch.full(shape, chance), steps)
    change = (quantizer(port).detach() - before) * direction
    assert (change >= 0).all()
    assert moved.shape == torch.Size(shape)
    assert not (change > 0)[~moved].any()
    if chance == 0:
        assert not moved.any()
    # Certain moves of more levels than there are end at the wanted end.
    quantizer.move(direction, torch.ones(shape, dtype=torch.bool), torch.full(shape, 2.0**17))
    assert torch.equal(quantizer.signs(), direction)
    assert not quantizer.move(direction, torch.ones(shape), steps).any()


def test_a_register_moves_by_its_steps_within_the_grid():
    quantizer, _ = stored("register-4", (1, 4))
    quantizer.store.copy_(torch.tensor([[0, 3, 7, -8]]))
    direction, steps = torch.tensor([[-1.0, 1, 1, -1]]), torch.tensor([[3.0, 9, 1, 1]])
    chance = torch.tensor([[True, True, True, True]])
    assert quantizer.move(direction, chance, steps).tolist() == [[True, True, False, False]]
    assert quantizer.store.tolist() == [[-3, 7, 7, -8]]
    assert quantizer.move(direction, chance & False, steps).sum() == 0


@pytest.mark.parametrize("case", STORED)
def test_a_certain_disturbance_is_the_opposite(case):
    quantizer, port = stored(case)
    before = quantizer(port).detach()
    quantizer.disturb(0.0)
    assert torch.equal(quantizer(port), before)
    quantizer.disturb(1.0)
    ties = before == 1 if case == "swarm" else torch.zeros_like(before, dtype=torch.bool)
    torch.testing.assert_close(quantizer(port).detach()[~ties], -before[~ties])


@pytest.mark.parametrize("case", STORED)
def test_the_state_follows_from_the_seed_alone(case):
    def history():
        quantizer, _ = stored(case)
        stores = [quantizer.store.clone()]
        torch.manual_seed(7)
        for _ in range(3):
            direction = torch.where(torch.rand(4, 6) < 0.5, -1.0, 1.0)
            quantizer.move(direction, torch.rand(4, 6))
            quantizer.disturb(0.1)
            stores.append(quantizer.store.clone())
        return torch.stack(stores)

    assert torch.equal(history(), history())


@pytest.mark.parametrize("case", STORED)
def test_codes_are_a_snapshot(case):
    quantizer, port = stored(case)
    taken = quantizer.codes(port).codes
    quantizer.disturb(1.0)
    assert (taken != quantizer.codes(port).codes).double().mean() > 0.5
    model = network(case)
    before = weight_codes(model)
    for layer in (model[1], model[4]):
        layer.weight_quantizer.disturb(1.0)
    assert flip_rate(before, weight_codes(model)) > 0.5


@pytest.mark.parametrize("case", STORED)
def test_a_port_costs_one_number_and_is_never_saved(case):
    model = network(case)
    names = set(model.state_dict())
    for layer in ("1", "4"):
        assert f"{layer}.weight" not in names
        assert f"{layer}.weight_quantizer.store" in names
    for other in (model, copy.deepcopy(model), copy.deepcopy(model).double()):
        for layer in (other[1], other[4]):
            assert layer.weight.untyped_storage().nbytes() == layer.weight.element_size()
            assert (layer.weight == 0).all()
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias", "4.weight"]
    stores = sum(layer.weight_quantizer.store.nbytes for layer in (model[1], model[4]))
    measured = measure_memory(model, torch.optim.SGD([model[1].bias], lr=0.1))
    assert 0 <= measured.parameter_bytes - stores - 4 * 6 <= 3 * 8 + 2 * 8


@pytest.mark.parametrize("case", STORED)
def test_loading_and_moving_keep_the_parameters_that_an_optimizer_holds(case):
    model, other = network(case), network(case)
    for layer in (other[1], other[4]):
        layer.weight_quantizer.disturb(1.0)
    held = list(model.parameters())
    model.load_state_dict(other.state_dict())
    model.to(memory_format=torch.channels_last).to("cpu").train()
    assert all(a is b for a, b in zip(held, model.parameters(), strict=True))
    x = images()
    assert np.array_equal(logits(model, x), logits(other, x))
    model(torch.from_numpy(x)).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in held)
    model.double()
    assert all(p.dtype == p.grad.dtype == torch.float64 for p in model.parameters())


def test_a_model_with_real_weights_cannot_be_loaded_into_a_stored_one():
    real = nn.Sequential(QuantLinear(3, 2))
    with pytest.raises(RuntimeError, match=r"Missing key.*store"):
        nn.Sequential(QuantLinear(3, 2, weight_quantizer=make_quantizer("bits"))).load_state_dict(
            real.state_dict()
        )


@pytest.mark.parametrize("name", [name for name in QUANTIZERS if QUANTIZERS[name].weights_only])
def test_only_weights_are_stored(name):
    with pytest.raises(UsageError, match=f"activations {name}: .*give --activations binary"):
        Quantization(activations=name).activation()
    with pytest.raises(UsageError, match="cannot quantize activations"):
        QuantLinear(3, 2, input_quantizer=make_quantizer(name))
    with pytest.raises(UsageError, match=f"weights {name} have no latent.*--surrogate identity"):
        make_quantizer(name, surrogate="clipped")


@pytest.mark.parametrize("name", ["bits", "swarm", "register", "ternary-register"])
@pytest.mark.parametrize("scale", ["mean-abs", "mean-abs-per-output"])
def test_a_scale_that_needs_a_latent_is_refused(name, scale):
    with pytest.raises(UsageError, match=f"scale {scale} is .*--scale none or --scale fan-in"):
        make_quantizer(name, scale=scale)
    with pytest.raises(UsageError, match="--scale none"):
        BitQuantizer(MeanAbs())


@pytest.mark.parametrize("name", ["swarm", "swarm-float"])
def test_the_log_scaled_readout_brings_its_own_scale(name):
    with pytest.raises(UsageError, match="log-scaled readout has its own"):
        make_quantizer(name, scale="mean-abs", options={"readout": "log-scaled"})


@pytest.mark.parametrize("case", STORED)
def test_freezing_gives_the_hard_logits(case, tmp_path):
    model, x = network(case), images()
    packed = freeze(model)
    hard = logits(model, x)
    for backend in (NumpyBackend(), default_backend()):
        found = packed.logits(x, backend)
        np.testing.assert_allclose(found, hard, atol=2e-5 * np.abs(hard).max(), rtol=0)
    save_packed(packed, tmp_path / "model.bnn")
    assert load_packed(tmp_path / "model.bnn") == packed
    bits = int(np.ceil(model[1].weight_quantizer.bits))
    assert model_size(packed).weights == 8 * bits * (6 * 1 + 5 * 2)  # rows of 18 and of 120
    assert float_bytes(model) == 4 * (6 * 18 + 6 + 5 * 120 + 4)
    assert freeze(model, sample_seed=3) == packed
    assert np.array_equal(logits(sampled_model(model, 3), x), hard)


def test_float_agents_count_as_one_number_of_the_float_network():
    swarm = QuantLinear(30, 4, weight_quantizer=make_quantizer("swarm-float"))
    assert float_bytes(swarm) == 4 * 30 * 4
    assert freeze(nn.Sequential(Pixels("unit", 1), nn.Flatten(), swarm), sample_seed=1) is not None


BAND = {
    "swarm": ("--optimizer", "swarm"),
    "swarm-int8": ("--optimizer", "swarm", "--weight-option", "storage=int8"),
    "register": ("--optimizer", "stochastic-register"),
    "bits": ("--optimizer", "bop"),
}


@pytest.mark.parametrize("case", BAND)
def test_training_reaches_the_same_band_from_the_command_line(case, tmp_path):
    cli = Cli(tmp_path)
    small = ("--arch", "mlp", "--widths", "48", "--epochs", "5", "--batch-size", "32")
    reached = cli.json("train", *small, *BAND[case])["result"]
    assert reached["test_hard_accuracy"] > 0.8
    assert abs(reached["test_hard_accuracy"] - reached["test_packed_accuracy"]) < 0.004
    (run,) = list_runs(tmp_path)
    data = load_dataset("digits")
    model = load_run_model(run, data)
    packed = load_packed(run.packed).logits(data.test.images, default_backend())
    hard = logits(model, data.test.images)
    assert np.abs(packed - hard).max() <= 2e-5 * np.abs(hard).max()
