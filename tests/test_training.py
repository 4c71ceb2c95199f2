"""Training: settings, schedules, seeds, the loop, checkpoints and resuming."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnncli.data import ImageData, ImageSplit
from bnncli.errors import BnnError, UsageError
from bnncli.training.building import build, pick_device, pixel_statistics, uses_bfloat16
from bnncli.training.config import Settings, read_settings
from bnncli.training.curves import plot_curves
from bnncli.training.evaluate import accuracy, model_logits
from bnncli.training.experiment import load_run_model, resolve, run_training
from bnncli.training.runs import find_run, list_runs, new_run, settings_hash
from bnncli.training.schedules import SCHEDULES, factors_at
from bnncli.training.seeds import mix

CPU = torch.device("cpu")
TIMES = {"seconds", "step_seconds", "validation_seconds"}


def toy_data(n: int = 96) -> ImageData:
    """Make images whose class is the bright half."""
    rng = np.random.default_rng(0)

    def split(count: int) -> ImageSplit:
        labels = rng.integers(0, 2, count)
        images = rng.integers(0, 100, (count, 1, 8, 8), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:, 4 * label : 4 * label + 4] += 100
        return ImageSplit(images, labels.astype(np.int64))

    return ImageData("toy", ("top", "bottom"), split(n), split(32), split(32))


def toy_settings(weights: str = "binaryconnect-stochastic", **train) -> Settings:
    values = {
        "model": {
            "arch": "mlp",
            "weights": weights,
            "widths": [12],
            "dropout": 0.1,
        },
        "data": {"augment": "shift:1"},
        "train": {"epochs": 3, "batch_size": 16, "lr": 0.01, **train},
    }
    return resolve(Settings().updated(values))


def rows_without_times(run):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in run.metrics()]


@pytest.mark.parametrize("name", SCHEDULES)
@given(total=st.integers(1, 500), warmup=st.integers(0, 50))
def test_schedules_start_at_the_full_rate_and_stay_in_range(name, total, warmup):
    warmup = min(warmup, total - 1)
    rates = [factors_at(name, i, total, warmup).lr for i in range(total)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[warmup] == 1.0
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_two_step_schedule_switches_weight_decay_off_half_way():
    assert factors_at("two-step", 0, 100, 0).weight_decay == 1
    assert factors_at("two-step", 49, 100, 0).lr == pytest.approx(0.6733, abs=1e-3)
    assert factors_at("two-step", 50, 100, 0) == pytest.approx((2 / 3, 0.0))
    assert factors_at("two-step", 99, 100, 0).lr == pytest.approx(0.0133, abs=1e-3)


def test_step_schedule_divides_by_ten_twice():
    rates = [factors_at("step", i, 8, 0).lr for i in range(8)]
    assert rates == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)


def test_seeds_of_streams_and_steps_differ():
    seen = {mix(seed, stream, i) for seed in (0, 1) for stream in "ab" for i in range(100)}
    assert len(seen) == 400
    assert all(0 <= value < 2**32 for value in seen)


def test_settings_survive_a_round_trip_through_toml(tmp_path):
    settings = toy_settings()
    path = tmp_path / "config.toml"
    path.write_text(settings.to_toml())
    assert read_settings(path) == settings
    assert settings_hash(read_settings(path)) == settings_hash(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[modle]\narch='mlp'", "unknown section of settings 'modle'; did you mean 'model'"),
        ("[train]\nepoch=3", r"unknown setting in \[train\] 'epoch'; did you mean 'epochs'"),
        ("[train]\nepochs='three'", "setting train.epochs='three': expected int"),
        ("[train]\nlr='big'", "setting train.lr='big': expected float"),
        ("[model]\nwidths=[1,'a']", "setting model.widths='a': expected int"),
        ("[train\n", "not valid TOML"),
    ],
)
def test_bad_settings_say_what_and_where(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_settings(path)


def test_resolve_fills_in_what_the_architecture_decides():
    model = resolve(Settings().updated({"model": {"arch": "bitconv"}})).model
    assert (model.weights, model.activations, model.scale) == (
        "binary",
        "float",
        "mean-abs-per-output",
    )
    model = resolve(Settings().updated({"model": {"arch": "bnn-mlp", "weights": "ternary"}})).model
    assert (model.weights, model.activations, model.scale) == ("ternary", "binary", None)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "schedule", "cosin"),
        ("train", "precision", "float16"),
        ("train", "epochs", 0),
        ("data", "augment", "shft:1"),
        ("model", "arch", "mlpp"),
    ],
)
def test_resolve_refuses_unknown_names_before_any_data_is_read(section, key, value):
    with pytest.raises(UsageError):
        resolve(Settings().updated({section: {key: value}}))


def test_training_learns_and_keeps_the_best_epoch(tmp_path):
    data = toy_data()
    run = new_run(tmp_path, toy_settings("binary", epochs=12), force=False)
    outcome = run_training(run, data, device=CPU)
    rows = run.metrics()
    best = max(row["hard_accuracy"] for row in rows)
    assert outcome.finished
    assert [row["epoch"] for row in rows] == list(range(12))
    assert outcome.result["validation_hard_accuracy"] == best
    last_best = max(row["epoch"] for row in rows if row["hard_accuracy"] == best)
    assert outcome.result["best_epoch"] == last_best
    model = load_run_model(run, data)
    assert accuracy(model, data.validation) == best
    assert accuracy(model, data.test) == outcome.result["test_hard_accuracy"] > 0.9
    assert 0 < rows[0]["flip_rate"] < 1


def test_same_settings_give_the_same_bits_and_another_seed_does_not(tmp_path):
    data = toy_data()
    runs = []
    for number, seed in enumerate([0, 0, 1]):
        run = new_run(tmp_path / str(number), toy_settings(seed=seed), force=False)
        run_training(run, data, device=CPU)
        runs.append(run)
    first, again, other = (run.load_checkpoint()["model"] for run in runs)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)
    assert rows_without_times(runs[0]) == rows_without_times(runs[1])


@pytest.mark.parametrize("stop_after", [0, 1, 5, 6, 7, 17])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, stop_after, optimizer):
    data = toy_data()
    settings = toy_settings(optimizer=optimizer)
    whole = new_run(tmp_path / "whole", settings, force=False)
    run_training(whole, data, device=CPU)

    broken = new_run(tmp_path / "broken", settings, force=False)
    calls = iter(range(10_000))
    stopped = run_training(broken, data, device=CPU, should_stop=lambda: next(calls) >= stop_after)
    assert not stopped.finished
    assert not broken.finished
    torch.manual_seed(999)  # whatever the process did in between must not matter
    resumed = run_training(broken, data, device=CPU, resume=True)
    assert resumed.finished

    a, b = whole.load_checkpoint(), broken.load_checkpoint()
    for part in ("model", "best"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])
    for left, right in zip(
        a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True
    ):
        assert all(
            torch.equal(left[k], right[k]) for k in left if isinstance(left[k], torch.Tensor)
        )
    assert rows_without_times(whole) == rows_without_times(broken)
    weights = [(run.path / "model.safetensors").read_bytes() for run in (whole, broken)]
    assert weights[0].replace(whole.name.encode(), b"") == weights[1].replace(
        broken.name.encode(), b""
    )


def test_metrics_beyond_the_checkpoint_are_dropped_on_resume(tmp_path):
    """A killed process may have logged epochs that its last checkpoint does not hold."""
    data = toy_data()
    run = new_run(tmp_path, toy_settings(), force=False)
    calls = iter(range(10_000))
    run_training(run, data, device=CPU, should_stop=lambda: next(calls) >= 8)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**run.metrics()[0], "epoch": 1}) + "\n")
    run_training(run, data, device=CPU, resume=True)
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2]


def test_existing_runs_are_kept_unless_forced(tmp_path):
    data, settings = toy_data(), toy_settings(epochs=1)
    run = new_run(tmp_path, settings, force=False)
    with pytest.raises(BnnError, match=r"unfinished run with these settings.*--resume"):
        new_run(tmp_path, settings, force=False)
    run.write_json("result.json", run_training(run, data, device=CPU).result)
    with pytest.raises(BnnError, match=r"finished run with these settings.*bnn eval"):
        new_run(tmp_path, settings, force=False)
    assert new_run(tmp_path, settings, force=True).metrics() == []
    assert not run.finished


def test_runs_are_found_by_path_name_and_part(tmp_path):
    with pytest.raises(UsageError, match="no runs in"):
        find_run(None, tmp_path)
    first = new_run(tmp_path, toy_settings(seed=1), force=False)
    second = new_run(tmp_path, toy_settings(seed=2), force=False)
    assert [run.name for run in list_runs(tmp_path)] == [first.name, second.name]
    assert find_run(None, tmp_path).name == second.name
    assert find_run(first.name, tmp_path).name == first.name
    assert find_run(first.name[-4:], tmp_path).name == first.name
    assert find_run(str(first.path), tmp_path / "elsewhere").name == first.name
    with pytest.raises(UsageError, match="could be any of 2"):
        find_run("mlp", tmp_path)
    with pytest.raises(UsageError, match="no run 'nothing'"):
        find_run("nothing", tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_damaged_checkpoints_are_one_clear_line(tmp_path, damage):
    run = new_run(tmp_path, toy_settings(), force=False)
    if damage is not None:
        run.checkpoint.write_bytes(damage)
    with pytest.raises(BnnError, match=r"last\.pt: (damaged|no) checkpoint.*--force"):
        run.load_checkpoint()


def test_checkpoints_with_code_in_them_are_refused(tmp_path):
    run = new_run(tmp_path, toy_settings(), force=False)
    torch.save({"format": 1, "model": Settings}, run.checkpoint)
    with pytest.raises(BnnError, match="damaged checkpoint"):
        run.load_checkpoint()


def test_a_batch_larger_than_the_data_is_a_usage_error(tmp_path):
    run = new_run(tmp_path, toy_settings(batch_size=1000), force=False)
    with pytest.raises(UsageError, match="batch_size=1000 but toy has 96 training images"):
        run_training(run, toy_data(), device=CPU)


def test_soft_and_hard_forms_are_what_they_say():
    data = toy_data()
    settings = toy_settings()
    model = build(dataclasses.replace(settings), data)
    images = torch.from_numpy(data.test.images)
    hard, soft = model_logits(model, images), model_logits(model, images, form="soft")
    assert not torch.equal(hard, soft)
    assert model.training  # evaluation gave the model back as it was
    with pytest.raises(UsageError, match="form='packed'"):
        model_logits(model, images, form="packed")


def test_the_whole_split_is_evaluated_across_batches(monkeypatch):
    data = toy_data()
    model = build(toy_settings(), data)
    whole = model_logits(model, torch.from_numpy(data.test.images))
    monkeypatch.setattr("bnncli.training.evaluate.EVALUATION_BATCH", 5)
    torch.testing.assert_close(model_logits(model, torch.from_numpy(data.test.images)), whole)


def test_pixel_statistics_are_those_of_the_pixels():
    split = toy_data().train
    mean, std = pixel_statistics(split)
    assert mean == pytest.approx([split.images.astype(float).mean()])
    assert std == pytest.approx([split.images.astype(float).std()])


def test_devices_that_are_not_here_are_usage_errors():
    assert pick_device("auto").type in {"cpu", "cuda"}
    for name in ("warp", "meta", "cpu:3"):
        with pytest.raises(UsageError, match=f"device '{name}': expected auto, cpu, cuda"):
            pick_device(name)
    with pytest.raises(UsageError, match="device 'cuda:99' cannot be used here"):
        pick_device("cuda:99")


def test_precision_auto_is_one_of_the_two():
    assert not uses_bfloat16("float32", CPU)
    assert uses_bfloat16("bfloat16", CPU)
    assert uses_bfloat16("auto", CPU) in {True, False}


def test_bfloat16_changes_training_but_not_the_type_of_the_weights(tmp_path):
    weights = []
    for precision in ("float32", "bfloat16"):
        run = new_run(tmp_path, toy_settings(precision=precision, epochs=1), force=False)
        run_training(run, toy_data(), device=CPU)
        weights.append(run.load_checkpoint()["model"])
    assert all(w.dtype == weights[0][k].dtype for k, w in weights[1].items())
    assert not torch.equal(weights[0]["fc1.weight"], weights[1]["fc1.weight"])


def test_label_smoothing_and_weight_decay_change_training(tmp_path):
    losses = []
    for number, extra in enumerate([{}, {"label_smoothing": 0.2}]):
        run = new_run(tmp_path / str(number), toy_settings(epochs=1, **extra), force=False)
        run_training(run, toy_data(), device=CPU)
        losses.append(run.metrics()[0]["loss"])
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_equal_curves_give_equal_files(tmp_path, suffix):
    rows = [{"epoch": e, "loss": 1 / (e + 1), "hard_accuracy": e / 4} for e in range(4)]
    files = [tmp_path / f"{n}{suffix}" for n in range(2)]
    for file in files:
        plot_curves({"one": rows, "two": rows[:2]}, file)
    assert files[0].read_bytes() == files[1].read_bytes()
