"""Runs that were stopped, killed or damaged."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import torch

from bnncli import job
from bnncli.training.runs import Run, list_runs
from tests.command_line import ENV, TIMES, TINY, Cli, train_three

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_three(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path / "runs")


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


ANNEALED = (
    *("--arch", "logic-mlp", "--widths", "300,300", "--epochs", "4", "--batch-size", "8"),
    *("--arch-option", "candidates=4", "--arch-option", "final_temperature=0.1"),
    *("--arch-option", "sampling=gumbel-soft", "--arch-option", "learn_thresholds=true"),
)


def start_training(runs: Path, options: tuple[str, ...]) -> subprocess.Popen[str]:
    code = "import sys; from bnncli.cli.main import main; sys.argv[0] = 'bnn'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", *options],
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


@pytest.mark.parametrize(
    ("number", "options"), [(signal.SIGTERM, INTERRUPTED), (signal.SIGINT, ANNEALED)]
)
def test_an_interrupted_run_resumes_bit_identically(tmp_path, number, options):
    whole = Cli(tmp_path / "whole")
    whole("train", *options, "--seed", "3", "-q")
    (unbroken,) = list_runs(whole.runs)
    halved = Cli(tmp_path / "halved")
    with start_training(halved.runs, options) as process:
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
    copy = stopped_early(original, tmp_path)
    cli = Cli(tmp_path)
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


def stopped_early(original: Run, folder: Path) -> Run:
    """Copy a run as it is when its process dies before the first checkpoint."""
    copy = Run(folder / original.name)
    shutil.copytree(original.path, copy.path)
    for name in ("last.pt", "model.safetensors", "model.bnn", "result.json"):
        (copy.path / name).unlink()
    return copy


def test_a_run_stopped_while_it_is_packed_is_finished_by_resuming(trained, tmp_path, monkeypatch):
    original = list_runs(trained.runs)[1]
    cli = Cli(tmp_path / "my runs")
    data_dir = tmp_path / "my data"

    def interrupt(run, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "pack", interrupt)
        given = ("--data-dir", str(data_dir), "--offline", "--seed", "1")
        threads = str(original.starts()[0]["threads"])
        result = cli("train", *TINY, *given, "--threads", threads, "-q", code=130)
    (run,) = list_runs(cli.runs)
    assert not run.finished
    line = result.stderr.splitlines()[-1]
    command = shlex.split(line.split("go on with: ")[1])
    assert command == [
        *("bnn", "train", "--resume", str(run.path)),
        *("--data-dir", str(data_dir), "--offline"),
    ]
    steps = run.load_checkpoint()["progress"]["step"]
    cli(*command[1:], "-q")
    assert run.load_checkpoint()["progress"]["step"] == steps
    assert run.result().keys() == original.result().keys()
    assert_same(run, original)


def test_a_stop_asked_for_after_the_last_step_is_answered(tmp_path, monkeypatch):
    pack = job.pack

    def asked_to_stop(run, data):
        signal.raise_signal(signal.SIGINT)
        return pack(run, data)

    monkeypatch.setattr(job, "pack", asked_to_stop)
    cli = Cli(tmp_path)
    assert "the run is finished" in cli("train", *TINY).stderr
    assert list_runs(cli.runs)[0].finished


def test_resuming_takes_device_and_threads_of_the_first_start(trained, tmp_path, monkeypatch):
    from bnncli.training import building

    run = stopped_early(list_runs(trained.runs)[1], tmp_path)
    (start,) = run.starts()
    later = {**start, "device": "other", "threads": start["threads"] + 1}
    run.write_json("env.json", {"starts": [{**start, "device": "first"}, later]})
    asked = []

    def pick(name):
        asked.append(name)
        return torch.device("cpu")

    monkeypatch.setattr(building, "pick_device", pick)
    cli = Cli(tmp_path)
    shutil.copytree(run.path, tmp_path / "again")
    for more, device in (([], "first"), (["--device", "auto"], "auto")):
        again = run if not more else Run(tmp_path / "again")
        cli("train", "--resume", str(again.path), *more, "-q", BNN_DEVICE="cuda:7")
        assert asked.pop() == device
    assert not asked


def test_printed_commands_can_be_pasted(tmp_path):
    cli = Cli(tmp_path / "a folder; and more")
    done = cli("train", *TINY)
    (run,) = list_runs(cli.runs)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("next"))
    assert shlex.split(line)[1:] == ["bnn", "eval", str(run.path)]
    refused = cli("train", *TINY, code=1).stderr
    assert shlex.quote(str(run.path)) in refused
    resumed = cli("train", "--resume", run.name).stderr
    assert shlex.split(resumed.split("see it with: ")[1]) == ["bnn", "eval", str(run.path)]
    for name in ("result.json", "model.safetensors"):
        (run.path / name).unlink()
    assert f"--resume {shlex.quote(str(run.path))}" in cli("eval", code=1).stderr
    assert f"--resume {shlex.quote(str(run.path))}" in cli("train", *TINY, code=1).stderr
