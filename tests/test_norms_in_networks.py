"""Networks with norms without division: their fan-in, their frozen form, their training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from bnncli.data import load_dataset
from bnncli.freeze import freeze
from bnncli.layers import Pixels, QuantLinear
from bnncli.models import Quantization, build_model
from bnncli.native import default_backend
from bnncli.norms import SHIFTS, HomeostaticScaleShift, make_norm
from bnncli.packed import NumpyBackend
from bnncli.quantizers import make_quantizer
from bnncli.registries import KINDS
from bnncli.training.config import Settings, read_settings
from bnncli.training.experiment import resolve, run_training
from bnncli.training.runs import list_runs, new_run
from tests.command_line import TINY, Cli
from tests.test_norms import NEW, randomize, same

CPU = torch.device("cpu")
# Chance is 0.1; five seeds gave at least 0.03 more than these.
FLOOR = {"threshold": 0.8, "mean-threshold": 0.78, "centering": 0.8, "scale-shift": 0.87}
BACKENDS = {backend.name: backend for backend in (NumpyBackend(), default_backend())}


def net(name: str, options: dict, arch: str, activations: str, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    extra = {"width_factor": 0.1} if arch == "bnn-vgg" else {}
    model = build_model(
        arch,
        image_shape=(2, 8, 8),
        n_classes=10,
        quantization=Quantization(weights="binary", activations=activations),
        pixels=Pixels("signed", 2),
        norm=name,
        norm_options=options,
        **extra,
    )
    randomize(model, seed)
    return model


def hard_logits(model: nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return copy.deepcopy(model).eval()(torch.from_numpy(images)).numpy()


IMAGES = np.random.default_rng(5).integers(0, 256, (60, 2, 8, 8), dtype=np.uint8)
FROZEN = [
    *[(name, {}) for name in NEW],
    ("scale-shift", {"gain": "frozen"}),
    ("scale-shift", {"gain": "power-of-two"}),
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("arch", ["mlp", "smallconv", "bnn-vgg"])
@pytest.mark.parametrize(("name", "options"), FROZEN)
def test_frozen_binary_networks_give_the_same_bits(name, options, arch, seed):
    model = net(name, options, arch, "binary", seed)
    hard, packed = hard_logits(model, IMAGES), freeze(model)
    for backend in BACKENDS.values():
        assert np.array_equal(packed.logits(IMAGES, backend), hard)
    if arch == "bnn-vgg":
        assert "threshold-conv2d" in [step.kind for step in packed.steps]


@pytest.mark.parametrize("arch", ["mlp", "smallconv"])
@pytest.mark.parametrize(("name", "options"), FROZEN)
def test_frozen_float_networks_agree_within_rounding(name, options, arch):
    model = net(name, options, arch, "float", 0)
    hard, packed = hard_logits(model, IMAGES), freeze(model)
    for backend in BACKENDS.values():
        assert np.abs(packed.logits(IMAGES, backend) - hard).max() <= 2e-5 * np.abs(hard).max()


@pytest.mark.parametrize(("name", "options"), FROZEN)
def test_a_norm_after_flatten_follows_the_packed_order(name, options):
    torch.manual_seed(0)
    binary = make_quantizer("binary")
    model = nn.Sequential(
        Pixels("signed", 2),
        nn.Flatten(),
        make_norm(name, 2 * 8 * 8, fan_in=1, **options),
        QuantLinear(2 * 8 * 8, 6, weight_quantizer=binary, input_quantizer=binary),
    )
    randomize(model, 3)
    for backend in BACKENDS.values():
        assert np.array_equal(freeze(model).logits(IMAGES, backend), hard_logits(model, IMAGES))


@pytest.mark.parametrize("arch", ["mlp", "smallconv"])
def test_networks_tell_the_norm_its_fan_in(arch):
    model = build_model(
        arch,
        image_shape=(3, 8, 8),
        n_classes=10,
        quantization=Quantization(weights="binary"),
        pixels=Pixels("signed", 3),
        norm="scale-shift",
    )
    layers = [m for m in model if hasattr(m, "weight_quantizer")]
    norms = [m for m in model if isinstance(m, HomeostaticScaleShift)]
    assert len(layers) == len(norms) > 1
    for layer, norm in zip(layers, norms, strict=True):
        fan_in = layer.weight[0].numel()
        assert torch.allclose(norm.gain, torch.full_like(norm.gain, fan_in**-0.5))


def settings(norm: str, **train) -> Settings:
    model = {"arch": "mlp", "weights": "binary", "widths": [32], "norm": norm}
    values = {"model": model, "train": {"epochs": 6, "batch_size": 32, "lr": 0.005, **train}}
    return resolve(Settings().updated(values))


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.mark.parametrize("name", NEW)
def test_digits_are_learned_with_each_norm(tmp_path, digits, name):
    run = new_run(tmp_path, settings(name), force=False)
    result = run_training(run, digits, device=CPU).result
    assert result["test_hard_accuracy"] > FLOOR[name]


@pytest.mark.parametrize("name", ["threshold", "scale-shift"])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, digits, name):
    chosen = settings(name, epochs=2)
    whole = new_run(tmp_path / "whole", chosen, force=False)
    run_training(whole, digits, device=CPU)
    broken = new_run(tmp_path / "broken", chosen, force=False)
    calls = iter(range(10_000))
    run_training(broken, digits, device=CPU, should_stop=lambda: next(calls) >= 50)
    run_training(broken, digits, device=CPU, resume=True)
    a, b = whole.load_checkpoint(), broken.load_checkpoint()
    assert same(a["model"], b["model"])
    assert same(a["best"], b["best"])


OPTIONS = ("--norm-option", "gain=power-of-two", "--norm-option", "eta=0.05")


def test_norm_options_go_from_the_flag_to_the_file_to_the_norm(tmp_path):
    cli = Cli(tmp_path / "runs")
    cli("train", *TINY, "--norm", "scale-shift", *OPTIONS, "-q")
    (run,) = list_runs(cli.runs)
    assert run.settings().model.norm_options == {"gain": "power-of-two", "eta": 0.05}
    assert run.settings() == read_settings(run.path / "config.toml")
    assert float(run.load_checkpoint()["model"]["norm1.rate"]) == pytest.approx(0.05)
    assert "norm1.log2_gain" in run.load_checkpoint()["model"]


def test_an_unknown_norm_option_is_one_line(tmp_path):
    cli = Cli(tmp_path / "runs")
    result = cli("train", *TINY, "--norm", "scale-shift", "--norm-option", "gian=frozen", code=2)
    assert result.stderr.strip().endswith(
        "norm scale-shift has no option 'gian'; its options are: anneal_steps, centered_gradient, "
        "eta, eta_end, gain, gain_init, learn_threshold"
    )
    assert not list_runs(cli.runs)


@pytest.mark.parametrize("name", sorted(SHIFTS))
def test_norms_that_only_shift_get_the_fan_in_scale(name):
    values = {"arch": "mlp", "weights": "binary", "norm": name}
    assert resolve(Settings().updated({"model": values})).model.scale == "fan-in"
    own = resolve(Settings().updated({"model": {**values, "scale": "none"}}))
    assert own.model.scale == "none"


def test_every_norm_is_listed_with_its_first_line():
    listed = {entry.name: entry.summary for entry in KINDS["norms"]()}
    assert set(NEW) <= set(listed)
    assert listed["scale-shift"].startswith("Subtract a threshold that follows the mean")
    options = {entry.name: entry.summary for entry in KINDS["options"]()}
    assert "anneal_steps=0" in options["norm scale-shift"]
