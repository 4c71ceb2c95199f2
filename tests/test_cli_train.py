"""Training, evaluating and freezing from the command line, on the embedded digits."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bnncli.cli.main import app
from bnncli.data import load_dataset
from bnncli.forms import difference
from bnncli.packed import load_packed
from bnncli.training.history import settings_that_differ
from bnncli.training.runs import Run, find_run, list_runs

TINY = ("--arch", "mlp", "--widths", "16", "--binary", "--epochs", "2")
TIMES = {"seconds", "step_seconds", "validation_seconds"}
ENV = {"COLUMNS": "100", "NO_COLOR": "1", "BNN_SEED": "", "BNN_DEVICE": "cpu"}


class Cli:
    """Run commands on one folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs

    def __call__(self, *args: str, code: int = 0, **env: str):
        given = {**ENV, "BNN_RUNS_DIR": str(self.runs), **env}
        result = CliRunner().invoke(app, list(args), env={k: v or None for k, v in given.items()})
        assert result.exit_code == code, result.output
        return result

    def json(self, *args: str, code: int = 0, **env: str):
        found = json.loads(self(*args, "--json", code=code, **env).stdout)
        assert found["schema"] == 1
        return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train three tiny runs: two seeds, and one with binary activations."""
    cli = Cli(tmp_path_factory.mktemp("trained"))
    for more in (["--seed", "0"], ["--seed", "1"], ["--activations", "binary"]):
        cli("train", *TINY, *more, "-q")
    return cli


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
        (["--device", "gpu0"], "auto, cpu or cuda"),
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


def test_eval_agrees_with_training_and_between_forms(trained):
    for run in list_runs(trained.runs):
        found = trained.json("eval", run.name)
        reached = run.read_json("result.json")
        assert found["n_images"] == len(load_dataset("digits").test)
        assert found["forms"].keys() == {"soft", "hard", "packed"}
        assert found["forms"]["hard"]["accuracy"] == reached["test_hard_accuracy"]
        assert found["forms"]["packed"]["accuracy"] == reached["test_packed_accuracy"]
        assert found["difference"]["n_different"] == 0
        assert found["packed_bytes"] < found["float_bytes"]


def test_eval_takes_the_latest_run_and_prints_each_form(trained):
    text = trained("eval").stdout
    latest = find_run(None, trained.runs)
    assert str(latest.path) in text
    accuracy = latest.read_json("result.json")["test_hard_accuracy"]
    for form in ("soft", "hard", "packed"):
        assert any(line.startswith(f"{form} ") for line in text.splitlines())
    assert text.count(f"{100 * accuracy:.2f} %") >= 2
    assert "differ on 0 of 360 images" in text


def test_a_sampled_network_is_the_same_hard_and_packed(trained):
    run = list_runs(trained.runs)[0]
    first, again, other = (trained.json("eval", run.name, "--sample", s) for s in ("1", "1", "2"))
    for found in (first, other):
        assert found["difference"]["n_different"] == 0
    assert first["forms"]["hard"]["correct"] == again["forms"]["hard"]["correct"]
    signs = trained.json("eval", run.name)
    drawn = {found["forms"]["hard"]["correct"] for found in (first, other)}
    assert drawn != {signs["forms"]["hard"]["correct"]}


def test_difference_counts_and_shows_disagreements():
    hard = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    packed = np.array([[1, 0], [1, 0], [0.5, 0]], np.float32)
    found = difference(hard, packed, np.array([0, 1, 1]))
    assert (found.n_different, found.max_logit_difference) == (1, 1.0)
    (example,) = found.examples
    assert (example.index, example.label, example.hard, example.packed) == (1, 1, 1, 0)


def test_a_packed_file_is_evaluated_without_torch(trained):
    run = list_runs(trained.runs)[0]
    code = (
        f"import sys; sys.argv = {['bnn', 'eval', str(run.packed), '--json']}\n"
        "from bnncli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    reached = run.read_json("result.json")["test_packed_accuracy"]
    assert found["forms"].keys() == {"packed"}
    assert found["forms"]["packed"]["accuracy"] == reached


def test_eval_refuses_what_it_cannot_evaluate(trained, tmp_path):
    damaged = tmp_path / "damaged.bnn"
    content = bytearray(list_runs(trained.runs)[0].packed.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert "damaged" in trained("eval", str(damaged), code=1).stderr
    assert "cannot be read" in trained("eval", "nowhere.bnn", code=1).stderr
    assert "no run 'nowhere'" in trained("eval", "nowhere", code=2).stderr
    shape = trained("eval", "--data", "mnist", code=2).stderr
    assert "(1, 28, 28)" in shape
    frozen = trained("eval", str(list_runs(trained.runs)[0].packed), "--sample", "1", code=2)
    assert "frozen already" in frozen.stderr


def test_eval_without_runs_says_how_to_train(cli):
    assert "bnn train" in cli("eval", code=2).stderr


def test_freeze_keeps_an_existing_file_without_force(trained, tmp_path):
    run = list_runs(trained.runs)[0]
    assert "--force" in trained("freeze", run.name, code=1).stderr
    file = tmp_path / "copy.bnn"
    result = trained("freeze", run.name, "-o", str(file))
    assert result.stdout == f"{file}\n"
    assert file.read_bytes() == run.packed.read_bytes()
    file.write_bytes(b"")
    trained("freeze", run.name, "-o", str(file), code=1)
    trained("freeze", run.name, "-o", str(file), "--force")
    assert file.read_bytes() == run.packed.read_bytes()


def test_a_frozen_sample_says_its_seed(trained, tmp_path):
    run = list_runs(trained.runs)[0]
    file = tmp_path / "sampled.bnn"
    written = trained.json("freeze", run.name, "--sample", "7", "-o", str(file))
    assert written["file_bytes"] == file.stat().st_size
    assert load_packed(file).metadata["sample_seed"] == "7"
    again, sampled = (
        trained.json("eval", str(file)),
        trained.json("eval", run.name, "--sample", "7"),
    )
    assert again["sample_seed"] == 7
    assert again["forms"]["packed"]["correct"] == sampled["forms"]["packed"]["correct"]


def test_runs_are_listed_oldest_first(trained):
    rows = trained.json("runs", "list")["runs"]
    assert [row["name"] for row in rows] == [run.name for run in list_runs(trained.runs)]
    assert all(row["state"] == "finished" and row["epochs_done"] == 2 for row in rows)
    text = trained("runs", "list").stdout
    assert all(row["name"] in text for row in rows)


def test_runs_show_tells_everything_and_plots(trained, tmp_path):
    run = list_runs(trained.runs)[0]
    figure = tmp_path / "curve.png"
    result = trained("runs", "show", run.name, "--plot", str(figure))
    assert figure.read_bytes().startswith(b"\x89PNG")
    for word in ("train.seed", "test_hard_accuracy", "val hard", "kernels", "model.bnn"):
        assert word in result.stdout
    assert len(trained.json("runs", "show", run.name)["epochs"]) == 2
    vector = tmp_path / "curve.svg"
    first, second = list_runs(trained.runs)[:2]
    trained("runs", "compare", first.name, second.name, "--plot", str(vector))
    assert "<svg" in vector.read_text()
    assert ".png" in trained("runs", "show", run.name, "--plot", "curve.bmp", code=2).stderr


def test_runs_compare_names_the_settings_that_differ(trained):
    first, second, third = list_runs(trained.runs)
    found = trained.json("runs", "compare", first.name, second.name)
    assert found["settings_that_differ"] == {"train.seed": [0, 1]}
    assert settings_that_differ(first, third) == {"model.activations": ("float", "binary")}
    assert settings_that_differ(first, first) == {}
    assert "itself" in trained("runs", "compare", first.name, first.name, code=2).stderr


def test_runs_summary_averages_over_seeds_alone(trained):
    summaries = trained.json("runs", "summary")["summaries"]
    assert sorted(len(summary["seeds"]) for summary in summaries) == [1, 2]
    pair = next(summary for summary in summaries if len(summary["seeds"]) == 2)
    values = [
        Run(trained.runs / name).read_json("result.json")["test_hard_accuracy"]
        for name in pair["runs"]
    ]
    assert pair["mean_test_hard_accuracy"] == pytest.approx(np.mean(values))
    assert pair["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert "±" in trained("runs", "summary").stdout


def test_resuming_a_finished_run_says_so(trained):
    run = list_runs(trained.runs)[0]
    before = run.packed.stat().st_mtime_ns
    result = trained("train", "--resume", run.name)
    assert "is finished" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert run.packed.stat().st_mtime_ns == before


INTERRUPTED = (
    *("--arch", "mlp", "--weights", "binaryconnect-stochastic", "--widths", "32"),
    *("--dropout", "0.2", "--augment", "shift:1", "--epochs", "4", "--batch-size", "8"),
)


def start_training(runs: Path) -> subprocess.Popen[str]:
    code = "import sys; from bnncli.cli.main import main; sys.argv[0] = 'bnn'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", *INTERRUPTED],
        env={
            **os.environ,
            **ENV,
            "BNN_SEED": "3",
            "BNN_RUNS_DIR": str(runs),
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_resumes_bit_identically(tmp_path, number):
    whole = Cli(tmp_path / "whole")
    whole("train", *INTERRUPTED, "--seed", "3", "-q")
    (unbroken,) = list_runs(whole.runs)
    halved = Cli(tmp_path / "halved")
    with start_training(halved.runs) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        seen = next(line for line in lines if line.startswith("epoch 2/"))
        assert seen
        time.sleep(0.02)  # somewhere inside an epoch
        process.send_signal(number)
        rest = "".join(lines)
        assert process.wait(timeout=60) == 130
        assert process.stdout is not None
        assert process.stdout.read() == ""
    (run,) = list_runs(halved.runs)
    assert f"bnn train --resume {run.path}" in rest
    assert not run.finished
    state = run.load_checkpoint()
    assert 0 < state["progress"]["step"] < unbroken.load_checkpoint()["progress"]["step"]
    assert "unfinished" in halved("runs", "list").stdout
    torch.set_num_threads(2)
    halved("train", "--resume", str(run.path), "-q")  # goes back to the thread it began with
    starts = run.read_json("env.json")["starts"]
    assert [start["threads"] for start in starts] == [1, 1]
    assert_same(run, unbroken)


def test_a_run_killed_before_its_first_checkpoint_starts_over(trained, tmp_path):
    original = list_runs(trained.runs)[1]
    cli = Cli(tmp_path)
    copy = Run(tmp_path / original.name)
    shutil.copytree(original.path, copy.path)
    for name in ("last.pt", "model.safetensors", "model.bnn", "result.json"):
        (copy.path / name).unlink()
    assert "bnn train --resume" in cli("eval", code=1).stderr
    cli("train", "--resume", copy.name, "-q")
    assert_same(copy, original)


def assert_same(run: Run, other: Run) -> None:
    assert run.name == other.name
    assert run.packed.read_bytes() == other.packed.read_bytes()
    a, b = run.load_checkpoint(), other.load_checkpoint()
    assert_equal(a["model"], b["model"])
    assert_equal(a["best"], b["best"])
    assert_equal(a["optimizer"], b["optimizer"])
    rows, others = (
        [{k: v for k, v in row.items() if k not in TIMES} for row in each.metrics()]
        for each in (run, other)
    )
    assert rows == others


def assert_equal(a, b) -> None:
    """Compare nested states bit by bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_equal(left, right)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


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
