"""Runs that were stopped, killed or damaged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bnncli.training.runs import Run, list_runs
from tests.command_line import ENV, TIMES, Cli, train_three


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
