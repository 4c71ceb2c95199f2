"""Options of registered things: names and types are checked, integers may stand for reals."""

from __future__ import annotations

import tomllib

import pytest
import torch

from bnncli.cli.train import parse_options
from bnncli.data import load_dataset
from bnncli.errors import UsageError
from bnncli.options import check_options, options_of
from bnncli.training.config import Settings
from bnncli.training.experiment import load_run_data, resolve
from bnncli.training.runs import settings_hash
from bnncli.training.trainers import make_trainer


def thing(size, *, rate: float = 0.5, count: int = 3, name: str = "a", on: bool = False):
    return size, rate, count, name, on


def test_options_are_keyword_only_parameters_with_a_default():
    assert options_of(thing) == {"rate": 0.5, "count": 3, "name": "a", "on": False}


def test_an_integer_becomes_a_real_number_and_nothing_else_is_converted():
    assert check_options("x", thing, {"rate": 2, "count": 4}) == {"rate": 2.0, "count": 4}
    assert isinstance(check_options("x", thing, {"rate": 2})["rate"], float)
    for wrong in ({"count": 1.5}, {"name": 1}, {"on": 1}, {"count": True}):
        with pytest.raises(UsageError, match="expected"):
            check_options("x", thing, wrong)


def test_an_unknown_option_names_the_known_ones():
    with pytest.raises(UsageError, match=r"x has no option 'rat'; its options are: count, name"):
        check_options("x", thing, {"rat": 1})


def test_options_from_the_command_line_are_toml_values_or_text():
    pairs = ["a=1", "b=0.5", "c=true", "d=majority", 'e="7"']
    expected = {"a": 1, "b": 0.5, "c": True, "d": "majority", "e": "7"}
    assert parse_options("--x", pairs) == expected
    for wrong in ("a", "=1", "a="):
        with pytest.raises(UsageError, match="expected NAME=VALUE"):
            parse_options("--x", [wrong])


def test_options_are_laid_over_one_another_and_kept_in_toml():
    base = Settings().updated({"train": {"optimizer_options": {"threshold": 1e-7}}})
    both = base.updated({"train": {"optimizer_options": {"momentum": 0.5}}})
    assert both.train.optimizer_options == {"threshold": 1e-7, "momentum": 0.5}
    assert "[train.optimizer_options]" in both.to_toml()


def test_an_optimizer_without_latents_brings_its_weights():
    given = {"model": {"arch": "bitconv"}, "train": {"optimizer": "bop"}}
    settings = resolve(Settings().updated(given))
    assert (settings.model.weights, settings.model.scale) == ("bits", None)
    asked = {"model": {"weights": "ternary"}, "train": {"optimizer": "bop"}}
    assert resolve(Settings().updated(asked)).model.weights == "ternary"  # refused when built


def test_a_run_is_the_same_however_its_options_are_written():
    def key(text: str) -> str:
        train = {"optimizer": "integer-voting", **tomllib.loads(text)}
        return settings_hash(resolve(Settings().updated({"train": train})))

    lif = 'optimizer = "lif"\noptimizer_options = '
    written = [lif + "{threshold = 6, decay = 0.5}", lif + "{decay = 0.5, threshold = 6.0}"]
    assert len({key(text) for text in written}) == 1
    assert key(lif + "{threshold = 7}") != key(written[0])
    whole = resolve(
        Settings().updated(
            {"train": tomllib.loads("optimizer = 'integer-voting'\noptimizer_options.limit = 60")}
        )
    )
    assert type(whole.train.optimizer_options["limit"]) is int


def test_momentum_is_given_once():
    given = {"optimizer": "swarm", "momentum": 0.9, "optimizer_options": {"momentum": 0.5}}
    settings = resolve(Settings().updated({"model": {"arch": "mlp"}, "train": given}))
    data = load_run_data(settings, data_dir=None, download=False)
    with pytest.raises(UsageError, match=r"train\.momentum with an option momentum"):
        make_trainer(settings, data, device=torch.device("cpu"))
    real = {"model": {"weights": "float"}, "train": {"optimizer": "bop"}}
    assert resolve(Settings().updated(real)).model.weights == "float"  # refused likewise


def test_the_plain_optimizer_takes_options_of_its_own():
    train = {"optimizer": "bop", "plain_optimizer": "sgd", "plain_options": {"momentum": 0}}
    settings = resolve(Settings().updated({"model": {"arch": "mlp"}, "train": train}))
    assert settings.train.plain_options == {"momentum": 0.0}
    trainer = make_trainer(settings, load_dataset("digits"), device=torch.device("cpu"))
    momenta = [group["momentum"] for group in trainer.optimizer.param_groups if "momentum" in group]
    assert momenta == [0.0]
    wrong = settings.updated({"train": {"plain_optimizer": "adam"}})
    with pytest.raises(UsageError, match="plain optimizer adam has no option 'momentum'"):
        make_trainer(wrong, load_dataset("digits"), device=torch.device("cpu"))
