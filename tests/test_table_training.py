"""Runs on truth tables: they end without error, restart, resume, and refuse what they ignore."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from bnncli.data import load_dataset, rule_table
from bnncli.errors import BnnError, UsageError
from bnncli.freeze import freeze
from bnncli.models.gol import tapered
from bnncli.native import default_backend
from bnncli.recipes import settings_from
from bnncli.training.config import Settings
from bnncli.training.evaluate import model_logits
from bnncli.training.experiment import resolve, run_training
from bnncli.training.runs import new_run
from bnncli.training.tables import STEPS_PER_EPOCH, TableTraining
from tests.command_line import Cli

CPU = torch.device("cpu")
TOO_FEW = {"model": {"widths": [6, 4]}, "data": {"name": "rule:B3/S23"}}


def settings_for(rule: str, **sections: dict) -> Settings:
    base = settings_from("gol").updated(
        {"model": {"widths": [32, 32, 32]}, "data": {"name": f"rule:{rule}"}}
    )
    return resolve(base.updated(sections))


def training_of(settings: Settings) -> TableTraining:
    return TableTraining(settings, load_dataset(settings.data.name), device=CPU)


class Listener:
    """Remember what a training says."""

    def __init__(self) -> None:
        self.records, self.steps, self.best = [], [], []

    def on_step(self, step, steps_per_epoch, loss):
        self.steps.append(step)

    def on_epoch(self, record, is_best):
        self.records.append(record)
        self.best.append(is_best)


@pytest.mark.parametrize("rule", ["W0", "W30", "W110", "W150", "W255"])
def test_a_finished_network_is_the_rule_in_every_form(rule):
    settings = settings_for(rule)
    training = training_of(settings)
    listener = Listener()
    training.reporters = [listener]
    assert training.run()
    found = training.test()
    assert found["hard_errors"] == 0
    assert found["test_hard_accuracy"] == 1
    assert found["steps"] == len(listener.records) * STEPS_PER_EPOCH == listener.steps[-1]
    assert [record.hard_accuracy for record in listener.records[-4:]] == [1, 1, 1, 1]
    assert len(listener.records) == 4 or listener.records[-5].hard_accuracy < 1
    assert listener.best[-1]
    images = load_dataset(settings.data.name).test.images
    hard = model_logits(training.model, torch.from_numpy(images)).argmax(dim=1).numpy()
    packed = freeze(training.model.eval()).plan(default_backend()).predict(images)
    assert np.array_equal(hard, rule_table(rule))
    assert np.array_equal(packed, rule_table(rule))


@pytest.mark.parametrize("parametrization", ["iwp", "softmax"])
def test_the_model_computes_the_loss_that_is_trained(parametrization):
    options = {"parametrization": parametrization, "init": "random", "strength": 1.0}
    settings = settings_for("B36/S23", model={"arch_options": options, "widths": [16, 16]})
    training = training_of(settings)
    data = load_dataset(settings.data.name)
    logits = model_logits(training.model, torch.from_numpy(data.test.images), form="soft")
    bit = logits[:, 1].double() + 0.5
    expected = float((bit - torch.from_numpy(data.test.labels)).square().mean())
    _, loss = training.backend.gradient(training.problem, training.state.logits)
    assert loss == pytest.approx(expected, abs=1e-6)


def test_attempts_share_the_epochs_and_begin_anew():
    """Thirteen gates cannot count neighbours, so that every attempt fails."""
    settings = settings_for("B3/S23", **TOO_FEW, train={"epochs": 11, "restarts": 2})
    training = training_of(settings)
    listener, wirings = Listener(), []
    training.reporters = [listener]

    def note_the_wiring() -> bool:
        wirings.append(training.problem.a.tobytes())
        return False

    training.should_stop = note_the_wiring
    assert training.run()
    found = training.test()
    assert (found["restarts"], found["steps"]) == (2, 11 * STEPS_PER_EPOCH)
    assert found["hard_errors"] > 0
    assert [record.epoch for record in listener.records] == list(range(11))
    changes = [i for i in range(1, 11) if wirings[i] != wirings[i - 1]]
    assert changes == [4, 7]  # 3 + 3 + 5 epochs; the restart comes after the question
    again = training_of(settings)
    again.run()
    assert again.state.logits.tobytes() == training.state.logits.tobytes()


def test_another_seed_trains_another_network():
    logits = []
    for seed in (0, 1):
        training = training_of(
            settings_for("W30", train={"seed": seed, "epochs": 1, "restarts": 0})
        )
        training.run()
        logits.append(training.state.logits.tobytes())
    assert logits[0] != logits[1]


@pytest.mark.parametrize("stop_after", [1, 3, 5, 8])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, stop_after):
    settings = settings_for("B3/S23", **TOO_FEW, train={"epochs": 9, "restarts": 2})
    data = load_dataset(settings.data.name)
    whole = new_run(tmp_path / "whole", settings, force=False)
    run_training(whole, data, device=CPU)
    broken = new_run(tmp_path / "broken", settings, force=False)
    calls = iter(range(1000))
    stopped = run_training(broken, data, device=CPU, should_stop=lambda: next(calls) >= stop_after)
    assert not stopped.finished
    assert run_training(broken, data, device=CPU, resume=True).finished
    one, other = whole.load_checkpoint(), broken.load_checkpoint()
    for part in ("model", "optimizer", "best"):
        for name, value in one[part].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[part][name])), name
    assert one["attempt"] == other["attempt"]
    times = {"seconds", "step_seconds", "validation_seconds"}
    rows = [
        [{k: v for k, v in row.items() if k not in times} for row in run.metrics()]
        for run in (whole, broken)
    ]
    assert rows[0] == rows[1]


def test_epsilon_bounds_the_steps():
    def moved(**train):
        training = training_of(
            settings_for("W30", train={"weight_decay": 0.0, "epochs": 1} | train)
        )
        start = training.state.logits.copy()
        training.run()
        return np.abs(training.state.logits - start)

    usual = moved()
    assert np.array_equal(moved(optimizer_options={"eps": 1e-8}), usual)
    # A step is at most the rate times |m| / epsilon, and no gradient here exceeds 1.
    assert moved(optimizer_options={"eps": 1e9}).max() < 1e-7 < usual.max()
    gone = moved(optimizer_options={"eps": 1e-15})
    assert (gone > 0.1).sum() > (usual > 0.1).sum()


def test_a_loss_that_is_no_number_is_one_line():
    training = training_of(settings_for("W30"))
    training.state.logits[-1] = np.nan
    with pytest.raises(BnnError, match="the loss is nan in epoch 1: training diverged; lower --lr"):
        training.run()


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"train": {"optimizer": "sgd"}}, "train.optimizer='sgd'"),
        ({"train": {"optimizer": "bop"}}, "optimizer bop: .* arch gol is made of gates"),
        ({"train": {"optimizer_options": {"beta2": 0.9}}}, "train.optimizer_options="),
        ({"train": {"optimizer_options": {"eps": 0.0}}}, "eps=0.0: expected a positive number"),
        ({"train": {"batch_size": 77}}, "train.batch_size=77: trainer table takes whole tables"),
        ({"data": {"augment": "shift:1"}}, "data.augment='shift:1'"),
        ({"train": {"label_smoothing": 0.1}}, "train.label_smoothing=0.1"),
        ({"train": {"precision": "bfloat16"}}, "train.precision='bfloat16'"),
        ({"model": {"arch_options": {"parametrization": "walsh"}}}, "parametrization walsh"),
        (
            {"model": {"arch": "mlp", "weights": "float"}, "train": {"trainer": "table"}},
            "--arch gol",
        ),
        ({"data": {"name": "digits"}}, "arch gol: 10 classes"),
        ({"model": {"widths": []}}, "at least one layer"),
        ({"model": {"arch_options": {"wiring": "rings"}}}, "unknown wiring 'rings'"),
    ],
)
def test_what_cannot_be_trained_so_is_one_line(sections, said):
    settings = settings_from("gol")
    if sections.get("model", {}).get("arch") == "mlp":
        settings = Settings().updated({"data": {"name": "rule:W30"}})
    with pytest.raises(UsageError, match=said) as raised:
        training_of(resolve(settings.updated(sections)))
    assert "\n" not in str(raised.value)


def test_images_do_not_start_again(tmp_path):
    cli = Cli(tmp_path / "runs")
    (tmp_path / "more.toml").write_text("[train]\nrestarts = 3\n")
    result = cli("train", "--arch", "mlp", "--config", str(tmp_path / "more.toml"), code=2)
    assert "only trainers table and rollouts start again" in result.stderr


@pytest.mark.parametrize("widths", [[1], [2], [7], [128], [16, 20], [3, 1]])
def test_networks_taper_to_one_gate(widths):
    full = tapered(widths)
    assert full[: len(widths)] == widths
    assert full[-1] == 1
    taper = full[len(widths) - 1 :]
    assert all(b == max(1, a // 2) for a, b in itertools.pairwise(taper))


def test_the_command_line_learns_a_rule(tmp_path):
    cli = Cli(tmp_path / "runs")
    widths = ("--widths", "32,32,32")
    found = cli.json("train", "gol", "--rule", "w30", *widths, "-q")
    assert found["settings"]["data"]["name"] == "rule:W30"
    assert found["result"]["hard_errors"] == 0
    assert found["result"]["test_packed_accuracy"] == 1
    forms = cli.json("eval", found["run"])["forms"]
    assert forms["hard"]["accuracy"] == forms["packed"]["accuracy"] == 1
    shown = cli("train", "gol", "--rule", "W0", *widths)
    assert "hard errors" in shown.stderr
    assert "steps in 1 attempt" in shown.stderr
    assert "attempts" not in shown.stderr
    for wrong, said in (
        (("--rule", "B9/S2"), "rule 'B9/S2': expected B3/S23"),
        (("--rule", "W30", "--data", "digits"), "these contradict"),
        (("--rule", "W30", "--validation", "3"), "whole truth table"),
    ):
        failed = cli("train", "gol", *wrong, code=2)
        assert said in json.dumps(failed.stderr.replace("\n", " "))
