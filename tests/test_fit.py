"""Training in memory gives what a run directory would hold."""

from __future__ import annotations

import pytest
import torch

from bnncli.data import load_dataset
from bnncli.errors import BnnError, UsageError
from bnncli.recipes import find_recipe
from bnncli.training.evaluate import accuracy
from bnncli.training.experiment import run_training
from bnncli.training.fit import fit
from bnncli.training.runs import new_run

SMALL = {"model": {"arch": "mlp", "weights": "binary", "widths": [16]}, "train": {"epochs": 4}}


DEEP = {"arch": "mlp", "weights": "float", "norm": "none", "widths": [16, 16, 16]}


def test_it_trains_to_the_weights_that_a_run_keeps(tmp_path):
    fitted = fit(SMALL)
    run = new_run(tmp_path, fitted.settings, force=False)
    outcome = run_training(run, fitted.data, device=torch.device("cpu"))
    kept = run.load_weights()
    state = fitted.model.state_dict()
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[name], state[name]) for name in kept)
    assert outcome.result["best_epoch"] == fitted.best_epoch
    assert outcome.result["test_hard_accuracy"] == fitted.test()["test_hard_accuracy"]
    assert len(run.metrics()) == len(fitted.records) == 4


def test_the_model_is_that_of_the_best_epoch():
    fitted = fit({**SMALL, "train": {"epochs": 3, "lr": 0.5, "seed": 3, "schedule": "constant"}})
    best = max(record.hard_accuracy for record in fitted.records)
    assert not fitted.model.training
    assert accuracy(fitted.model, fitted.data.validation) == best
    assert fitted.records[fitted.best_epoch].hard_accuracy == best


def test_it_takes_data_a_recipe_and_listeners():
    heard, started = [], []

    class Listener:
        def on_step(self, step, steps_per_epoch, loss):
            heard.append(step)

        def on_epoch(self, record, is_best):
            heard.append(record.epoch)

    fitted = fit(find_recipe("gol").settings, reporters=[Listener()], on_start=started.append)
    assert fitted.test()["test_hard_accuracy"] == 1
    assert heard
    assert started == [fitted.trainer]
    data = load_dataset("digits", validation=100)
    assert fit({**SMALL, "train": {"epochs": 1}}, data=data).data is data


def test_settings_that_cannot_be_trained_are_one_clear_line():
    with pytest.raises(UsageError, match="optimizer"):
        fit({"train": {"optimizer": "adamm"}})
    with pytest.raises(BnnError, match="diverged"):
        fit(
            {
                "train": {"epochs": 2, "optimizer": "sgd", "lr": 1e6, "latent_clip": 0.0},
                "model": DEEP,
            }
        )
