"""What one run does step by step: whom it listens to, what it shows the model, what it keeps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from bnncli.data import ImageData, ImageSplit
from bnncli.errors import BnnError, UsageError
from bnncli.models import Quantization
from bnncli.quantizers import make_quantizer
from bnncli.quantizers.surrogates import Clipped
from bnncli.training import experiment, images, loop
from bnncli.training.batches import Batches
from bnncli.training.building import build
from bnncli.training.config import Settings
from bnncli.training.evaluate import accuracy
from bnncli.training.experiment import load_run_data, load_run_model, resolve, run_training
from bnncli.training.flips import flip_rate, weight_codes
from bnncli.training.limits import RANGES
from bnncli.training.runs import new_run
from bnncli.training.schedules import factors_at
from bnncli.training.trainers import make_trainer

CPU = torch.device("cpu")


def numbered_split(n: int, first: int, classes: int = 2) -> ImageSplit:
    """Make images that carry their own number in the first pixel, with random labels."""
    rng = np.random.default_rng(first)
    images = rng.integers(0, 100, (n, 1, 4, 4), dtype=np.uint8)
    images[:, 0, 0, 0] = first + np.arange(n)
    return ImageSplit(images, rng.integers(0, classes, n).astype(np.int64))


DATA = ImageData(
    "numbered", ("a", "b"), numbered_split(40, 0), numbered_split(20, 100), numbered_split(20, 200)
)


def settings(model=None, data=None, **train) -> Settings:
    values = {
        "model": {"arch": "mlp", "weights": "binary", "widths": [6], **(model or {})},
        "data": data or {},
        "train": {"epochs": 4, "batch_size": 8, "lr": 0.05, **train},
    }
    return resolve(Settings().updated(values))


class Watcher(nn.Module):
    """Stand in front of a network and remember what each training step shows it."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.network, self.optimizer = network, optimizer
        self.images: list[torch.Tensor] = []
        self.seeds: list[int] = []
        self.rates: list[list[tuple[float, float]]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.images.append(images.clone())
            self.seeds.append(torch.initial_seed())
            groups = self.optimizer.param_groups
            self.rates.append([(g["lr"], g["weight_decay"]) for g in groups])
        return self.network(images)


class Listener:
    """Remember every loss, record and state of the weights."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.losses, self.records, self.states, self.codes = [], [], [], []

    def on_step(self, step, steps_per_epoch, loss):
        self.losses.append(float(loss))

    def on_epoch(self, record, is_best):
        self.records.append(record)
        self.states.append({k: v.clone() for k, v in self.model.state_dict().items()})
        self.codes.append(weight_codes(self.model))


def watched(chosen: Settings, augment=None):
    """Run a trainer with a watcher and a listener; give all three."""
    trainer = make_trainer(chosen, DATA, device=CPU)
    listener = Listener(trainer.model)
    trainer.model = watcher = Watcher(trainer.model, trainer.optimizer)
    trainer.reporters = [listener]
    if augment is not None:
        trainer.augment = augment
    trainer.run()
    return trainer, watcher, listener


def test_models_are_chosen_by_validation_and_tested_once_with_the_chosen_weights(
    tmp_path, monkeypatch
):
    scripted = iter([0.5, 0.5, 0.9, 0.9, 0.2, 0.2, 0.8, 0.8])  # hard and soft of four epochs
    judged, tested = [], []

    def judge(model, split, *, form):
        judged.append(split)
        return next(scripted)

    def examine(model, split, *, form):
        tested.append((split, {k: v.clone() for k, v in model.state_dict().items()}))
        return accuracy(model, split, form=form)

    monkeypatch.setattr(loop, "accuracy", judge)
    monkeypatch.setattr(images, "accuracy", examine)
    run = new_run(tmp_path, settings(), force=False)
    listener = None

    class Late(Listener):
        def __init__(self):
            self.losses, self.records, self.states, self.codes = [], [], [], []

    listener = Late()
    make = experiment.make_trainer

    def make_and_listen(*args, **options):
        trainer = make(*args, **options)
        listener.model = trainer.model
        return trainer

    monkeypatch.setattr(experiment, "make_trainer", make_and_listen)
    outcome = run_training(run, DATA, device=CPU, reporters=[listener])
    assert all(split is DATA.validation for split in judged)
    assert outcome.result["best_epoch"] == 1
    assert outcome.result["validation_hard_accuracy"] == 0.9
    ((split, state),) = tested
    assert split is DATA.test
    saved = run.load_weights()
    for name, value in listener.states[1].items():
        assert torch.equal(saved[name], value)
        assert torch.equal(state[name], value)
    assert not torch.equal(listener.states[1]["fc1.weight"], listener.states[3]["fc1.weight"])
    assert outcome.result["test_hard_accuracy"] == accuracy(load_run_model(run, DATA), DATA.test)


def test_each_epoch_shows_every_image_once_in_a_new_order():
    _, watcher, _ = watched(settings(epochs=3))
    numbers = torch.cat([images[:, 0, 0, 0] for images in watcher.images]).view(3, 40).tolist()
    assert all(sorted(epoch) == list(range(40)) for epoch in numbers)
    assert len({tuple(epoch) for epoch in numbers}) == 3
    for seen in watcher.images:
        assert torch.equal(seen, torch.from_numpy(DATA.train.images)[seen[:, 0, 0, 0].long()])


def test_augmented_images_are_what_the_model_sees():
    def brighten(images, generator):
        assert isinstance(generator, torch.Generator)
        return images + 7

    _, watcher, _ = watched(settings(epochs=1), augment=brighten)
    seen = sorted(torch.cat([images[:, 0, 0, 0] for images in watcher.images]).tolist())
    assert seen == [7 + n for n in range(40)]


def test_every_step_draws_from_its_own_seed():
    _, watcher, _ = watched(settings())
    _, other, _ = watched(settings(seed=1))
    assert len(set(watcher.seeds)) == len(watcher.seeds) == 20
    assert not set(watcher.seeds) & set(other.seeds)


@pytest.mark.parametrize("schedule", ["cosine", "two-step"])
def test_steps_follow_the_schedule_of_rate_and_weight_decay(schedule):
    chosen = settings(
        model={"weights": "float"}, schedule=schedule, warmup_epochs=1, weight_decay=0.3
    )
    _, watcher, _ = watched(chosen)
    for step, groups in enumerate(watcher.rates):
        factors = factors_at(schedule, step, 20, 5)
        for (lr, decay), initial in zip(groups, (0.3, 0.0), strict=True):
            assert lr == pytest.approx(0.05 * factors.lr)
            assert decay == pytest.approx(initial * factors.weight_decay)


def test_records_hold_the_means_of_their_own_epoch():
    _, watcher, listener = watched(settings())
    before = weight_codes(build(settings(), DATA))
    for epoch, record in enumerate(listener.records):
        assert record.epoch == epoch
        assert record.loss == pytest.approx(np.mean(listener.losses[5 * epoch : 5 * epoch + 5]))
        codes = {f"network.{k}": v for k, v in listener.codes[epoch].items()}
        earlier = listener.codes[epoch - 1] if epoch else before
        earlier = {f"network.{k}": v for k, v in earlier.items()}
        assert record.flip_rate == flip_rate(earlier, codes)
    assert listener.records[0].flip_rate > 0
    assert len(watcher.images) == 20


def test_train_accuracy_counts_the_steps_predictions():
    trainer, _, listener = watched(settings(epochs=1))
    assert listener.records[0].train_accuracy == pytest.approx(
        (trainer.progress.predicted == trainer.epoch_labels).double().mean().item()
    )
    assert set(trainer.progress.predicted.tolist()) <= {0, 1}


def test_a_loss_that_is_not_finite_ends_the_run_with_one_line():
    trainer = make_trainer(settings(model={"weights": "float"}), DATA, device=CPU)
    with torch.no_grad():
        trainer.model.get_parameter("fc1.weight").fill_(torch.nan)
    with pytest.raises(BnnError, match=r"the loss is (nan|inf) in epoch \d: training diverged"):
        trainer.run()


def test_deterministic_algorithms_are_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: asked[-1:] == [True])
    for number, flag in enumerate([True, False]):
        run = new_run(tmp_path / str(number), settings(epochs=1, deterministic=flag), force=False)
        run_training(run, DATA, device=CPU)
    assert asked == [True, False]


def test_standard_pixels_use_the_training_images_alone():
    chosen = settings(model={"pixels": "standard"})
    images = DATA.train.images.astype(float)
    other = dataclasses.replace(
        DATA,
        validation=ImageSplit(np.zeros_like(DATA.validation.images), DATA.validation.labels),
        test=ImageSplit(np.full_like(DATA.test.images, 255), DATA.test.labels),
    )
    for data in (DATA, other):
        pixels = build(chosen, data).get_submodule("pixels")
        assert pixels.gain.item() == pytest.approx(1 / images.std(), rel=1e-5)
        assert pixels.offset.item() == pytest.approx(-images.mean() / images.std(), rel=1e-5)


def test_the_split_follows_its_own_seed():
    first, again, other = (
        load_run_data(settings(data={"split_seed": seed}), data_dir=None, download=False)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert np.array_equal(first.test.images, other.test.images)


@pytest.mark.parametrize(("arch", "options"), [("mlp", {"widths": [6, 6]}), ("smallconv", {})])
def test_dropout_stands_after_each_hidden_linear_layer(arch, options):
    chosen = settings(model={"arch": arch, "widths": None, "dropout": 0.25, **options})
    drops = [m.p for m in build(chosen, DATA) if isinstance(m, nn.Dropout)]
    assert drops == [0.25] * len(options.get("widths", [1]))


def test_binary_activations_cut_gradients_outside_one_by_default():
    quantizer = Quantization(activations="binary").activation()
    assert quantizer is not None
    assert quantizer.surrogate == Clipped(1.0)


def test_networks_without_norm_get_the_fan_in_scale():
    assert settings(model={"norm": "none"}).model.scale == "fan-in"
    assert settings(model={"norm": "none", "scale": "mean-abs"}).model.scale == "mean-abs"
    assert settings(model={"norm": "none", "weights": "float"}).model.scale is None


def test_all_zero_latents_stay_finite():
    for scale in ("mean-abs", "mean-abs-per-output"):
        quantizer = make_quantizer("ternary", scale=scale)
        assert torch.equal(quantizer(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_stochastic_ternary_samples_are_unbiased():
    quantizer = make_quantizer("ternary", scale="none")
    generator = torch.Generator().manual_seed(0)
    n = 40_000
    for value in (-0.75, -0.2, 0.0, 0.4, 1.0):
        codes = quantizer.codes(torch.full((1, n), value), generator).codes
        # four standard deviations of the mean of n draws
        assert codes.double().mean().item() == pytest.approx(value, abs=4 * 0.5 / n**0.5)


@pytest.mark.parametrize("name", RANGES)
def test_numbers_outside_their_range_are_refused(name):
    section, key = name.split(".")
    limits = RANGES[name]
    whole = isinstance(limits.low, int) and key not in {"dropout", "lr", "width_factor"}
    for value in (limits.low if limits.open_low else limits.low - 1, limits.high * 2 + 1):
        given = int(value) if whole and key in {"widths", "epochs", "batch_size", "seed"} else value
        given = [int(value)] if key == "widths" else given
        if key in {"validation", "split_seed"}:
            given = int(value)
        with pytest.raises(UsageError, match=rf"{name}=.*expected"):
            resolve(Settings().updated({section: {key: given}}))


@pytest.mark.parametrize("epochs", [-1.0, 20.0, 100.0])
def test_warm_up_ends_before_the_run_does(epochs):
    with pytest.raises(UsageError, match=r"warmup_epochs=.*fewer than the 20 epochs"):
        resolve(Settings().updated({"train": {"warmup_epochs": epochs}}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rates_that_are_not_numbers_are_refused(value):
    with pytest.raises(UsageError, match=r"train.lr=(nan|inf)"):
        resolve(Settings().updated({"train": {"lr": value}}))


@pytest.mark.parametrize("n", [1, 7, 40])
def test_batches_are_the_selections_that_the_order_names(n):
    images = torch.from_numpy(DATA.train.images)
    batches = Batches(images, n)
    for order in (torch.randperm(40), torch.arange(40).flip(0)):
        starts = [*range(0, 40 - n + 1, n), 0]  # a run may be resumed anywhere
        for start in starts:
            assert torch.equal(batches.take(order, start), images[order[start : start + n]])
