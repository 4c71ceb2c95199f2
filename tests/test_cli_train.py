"""Training from the command line, on the embedded digits."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bnncli.cli.main import app
from bnncli.training.runs import Run, list_runs
from tests.command_line import ENV, TINY, Cli


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path / "runs")


def test_training_writes_nothing_to_stdout_and_a_whole_run(cli):
    result = cli("train", *TINY)
    assert result.stdout == ""
    assert result.stderr.count("epoch 1/2") == 1
    (run,) = list_runs(cli.runs)
    assert f"bnn eval {run.path}" in result.stderr
    reached = run.read_json("result.json")
    for form in ("hard", "packed"):
        line = f"test {form}".ljust(17) + f"{100 * reached[f'test_{form}_accuracy']:.2f} %"
        assert line in result.stderr
    assert {path.name for path in run.path.iterdir()} == {
        "config.toml",
        "env.json",
        "metrics.jsonl",
        "last.pt",
        "model.safetensors",
        "model.bnn",
        "result.json",
    }
    (start,) = run.read_json("env.json")["starts"]
    assert {"started", "command", "device", "kernels", "torch"} <= start.keys()


def test_json_is_one_object_on_stdout(cli):
    result = cli("train", *TINY, "--epochs", "1", "--json")
    found = json.loads(result.stdout)
    assert found["schema"] == 1
    assert found["finished"] is True
    assert found["settings"]["model"]["weights"] == "binary"
    assert found["result"] == Run(Path(found["run"])).read_json("result.json")


def test_quiet_training_says_nothing(cli):
    result = cli("train", *TINY, "--epochs", "1", "--quiet")
    assert (result.stdout, result.stderr) == ("", "")


def test_an_existing_run_is_kept_without_force(cli):
    short = (*TINY, "--epochs", "1")
    cli("train", *short, "-q")
    (run,) = list_runs(cli.runs)
    before = run.packed.read_bytes()
    refused = cli("train", *short, "-q", code=1)
    assert "--force" in refused.stderr
    assert run.packed.read_bytes() == before
    cli("train", *short, "-q", "--force")
    assert len(list_runs(cli.runs)) == 1


def test_precedence_is_flag_environment_file_default(cli, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nseed = 5\nepochs = 7\nlr = 0.01\n[model]\narch = 'mlp'\n")

    def seed(*args: str, **env: str) -> int:
        return tomllib.loads(cli("train", *args, "--print-config", **env).stdout)["train"]["seed"]

    assert seed() == 0
    assert seed(str(file)) == 5
    assert seed(str(file), BNN_SEED="6") == 6
    assert seed(str(file), "--seed", "8", BNN_SEED="6") == 8
    over = tmp_path / "over.toml"
    over.write_text("[train]\nseed = 9\n")
    printed = cli("train", str(file), "--config", str(over), "--print-config").stdout
    assert tomllib.loads(printed)["train"]["seed"] == 9
    assert tomllib.loads(printed)["train"]["epochs"] == 7


def test_printed_settings_read_back_to_themselves(cli, tmp_path):
    args = ("train", *TINY, "--augment", "shift:1", "--lr", "0.003", "--print-config")
    printed = cli(*args).stdout
    file = tmp_path / "printed.toml"
    file.write_text(printed)
    assert cli("train", str(file), "--print-config").stdout == printed
    assert not cli.runs.exists()
    settings = cli.json(*args)["settings"]
    assert settings == tomllib.loads(printed)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--binary", "--weights", "ternary"], "contradict"),
        (["--arch", "smalconv"], "did you mean 'smallconv'?"),
        (["--weights", "binery"], "did you mean 'binary'?"),
        (["--data", "digit"], "did you mean 'digits'?"),
        (["--optimizer", "adamm"], "did you mean 'adam'?"),
        (["--schedule", "cosin"], "did you mean 'cosine'?"),
        (["--augment", "shif:2"], "did you mean 'shift'?"),
        (["--widths", "12,x"], "--widths 12,x"),
        (["--arch", "smallconv", "--widths", "3"], "widths"),
        (["--momentum", "0.9"], "momentum"),
        (["--epochs", "0"], "epochs=0"),
        (["--batch-size", "100000"], "smaller --batch-size"),
        (["--validation", "0"], "validation=0"),
        (["--device", "gpu0"], "auto, cpu"),
        (["--resume", "x", "--epochs", "3"], "--resume with --epochs"),
        (["mine", "--resume", "x"], "--resume with RECIPE"),
        (["missing.toml"], "missing.toml: cannot be read"),
        (["no-such-recipe"], "unknown recipe"),
    ],
)
def test_bad_requests_are_one_line_and_leave_nothing(cli, args, words):
    result = cli("train", *args, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not cli.runs.exists() or not list(cli.runs.iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train\n", "not valid TOML"),
        ("[train]\nepochs = 'three'\n", "train.epochs='three': expected int"),
        ("[train]\nepoch = 3\n", "did you mean 'epochs'?"),
        ("[trian]\nepochs = 3\n", "did you mean 'train'?"),
        ("train = 3\n", "train=3: expected a section [train]"),
        ("recipe = 3\n", "recipe=3: expected text"),
    ],
)
def test_bad_files_are_one_line(cli, tmp_path, text, words):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    result = cli("train", str(file), code=2)
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_wrong_types_on_the_command_line_are_usage_errors(cli):
    assert "--epochs" in cli("train", "--epochs", "many", code=2).stderr
    assert "BNN_SEED" in cli("train", BNN_SEED="many", code=2).stderr


def test_data_that_is_not_here_is_not_fetched_offline(cli, tmp_path):
    result = cli(
        *("train", "--data", "mnist", "--offline", "--data-dir", str(tmp_path)),
        code=1,
        BNN_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert "bnn data fetch mnist" in result.stderr
    assert not cli.runs.exists()


def test_tensorboard_that_is_not_installed_is_named(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = cli("train", *TINY, "--tensorboard", code=2)
    assert "pip install 'bnncli[tensorboard]'" in result.stderr
    assert not cli.runs.exists()


EXAMPLES = (
    *("train", "freeze", "eval", "list", "info"),
    *("runs", "runs list", "runs show", "runs compare", "runs summary"),
)


def examples(command: str) -> list[str]:
    """Give the command lines that a command's help ends with."""
    text = CliRunner().invoke(app, [*command.split(), "--help"], env=ENV).stdout
    lines = text.split("Examples")[-1].splitlines()
    return [line.split("#")[0].strip() for line in lines if line.strip().startswith("bnn ")]


def test_every_example_runs_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = Cli(Path("runs"))
    shown = [line for command in EXAMPLES for line in examples(command)]
    assert len(shown) > len(EXAMPLES)
    for line in shown:
        words, *file = line.split(" > ")
        args = shlex.split(words)[1:]
        if args[0] == "train" and "--print-config" not in args:
            # Long trainings are cut short; data that may not be here is not loaded.
            args += ["--print-config"] if "mnist" in args else ["--epochs", "1"]
        result = cli(*args, BNN_RUNS_DIR="")
        for name in file:
            Path(name).write_text(result.stdout)
