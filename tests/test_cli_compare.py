"""``bnn compare`` as a program: flags, presets, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnncli.cli.compare import _base, build_matrix, weaknesses
from bnncli.compare.matrix import Budget, find_preset
from bnncli.compare.results import CellResult, Comparison
from bnncli.errors import UsageError
from bnncli.training.runs import Run
from tests.command_line import ENV, Cli

SMALL = ("--arch", "mlp", "--widths", "16", "--epochs", "2")
NOTHING = {"preset": None, "matrix_file": None, "data": None, "seeds": None, "base": {}}
NO_BUDGET = {"epochs": None, "seconds": None, "bits": None}


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path / "runs")


def built(*methods: str, **changes):
    return build_matrix(methods, **{**NOTHING, "budget": NO_BUDGET, **changes})


def test_flags_make_a_matrix():
    found = built("float", "adam-ste", data="digits,mnist", seeds="3,0")
    assert found.data == ("digits", "mnist")
    assert found.seeds == (3, 0)
    assert found.name == found.key
    assert built("float", seeds="4").seeds == (0, 1, 2, 3)
    assert built("float", seeds="4,").seeds == (4,)
    assert built("float", budget={**NO_BUDGET, "seconds": 2.5}).budget == Budget("seconds", 2.5)


def test_flags_over_a_preset_make_another_matrix():
    smoke = find_preset("smoke")
    assert built(preset="smoke") == smoke
    other = built("sgd-ste", "float", preset="smoke", seeds="5", base={"train": {"lr": 0.1}})
    assert other.name == f"smoke-{other.key}"
    assert [method.name for method in other.methods] == ["sgd-ste", "float"]
    assert other.base == {**smoke.base, "train": {"lr": 0.1}}
    assert other.budget == smoke.budget


WRONG = [
    ((), "no method to compare"),
    (("adamste",), "did you mean 'adam-ste'?"),
    (("float", "float"), "given twice"),
    (("--preset", "smok"), "did you mean 'smoke'?"),
    (("--preset", "smoke", "ternary"), "unknown method of smoke 'ternary'"),
    (("--preset", "smoke", "--matrix", "x.toml"), "contradict"),
    (("--matrix", "none.toml"), "cannot be read"),
    (("float", "--seeds", "a"), "--seeds a"),
    (("float", "--widths", "a"), "--widths a"),
    (("float", "--epochs", "2", "--bits", "3"), "--epochs with --bits"),
    (("float", "--epochs", "0"), "epochs=0"),
    (("float", "--set", "lr=1"), "--set lr=1"),
    (("float", "--set", "train..lr=1"), "--set train..lr=1"),
    (("float", "--set", "train.lr=1", "--set", "train.lr.x=1"), "lr is given a value as well"),
    (("float", "--set", "train.lrr=1"), "did you mean 'lr'?"),
    (("float", "--set", "train.lr=often"), "train.lr='often'"),
    (("float", "--set", "train.seed=1"), "seeds = [...]"),
    (("float", "--data", "minst"), "did you mean 'mnist'?"),
    (("float", "--arch", "smallconv", "--widths", "3"), "method 'float' on digits"),
    (("float", "--engine", "spark"), "unknown engine"),
    (("float", "--engine", "dask"), "--scheduler ADDRESS"),
    (("float", "--threads", "100000"), "--threads 100000"),
]


@pytest.mark.parametrize(("args", "says"), WRONG, ids=[" ".join(args) for args, _ in WRONG])
def test_what_cannot_be_compared_is_one_line_and_nothing_is_written(args, says, cli, tmp_path):
    result = cli("compare", *args, "--output", str(tmp_path / "out"), code=2)
    (line,) = result.stderr.splitlines()
    assert says in line
    assert not result.stdout
    assert not list(tmp_path.iterdir())


def test_a_comparison_prints_a_table_and_leaves_a_report(cli, tmp_path):
    out = tmp_path / "out"
    given = ("compare", "float", "adam-ste", *SMALL, "--seeds", "2", "--output", str(out))
    result = cli(*given)
    for name in ("float", "adam-ste"):
        assert any(line.startswith(name) for line in result.stdout.splitlines())
    assert "weak comparison: 2 seeds" in result.stderr
    assert "4 runs (0 reused) took" in result.stderr
    assert str(out / "results.json") in result.stderr
    saved = json.loads((out / "results.json").read_text())
    assert saved["cell_seconds"] <= saved["wall_seconds"]
    # What was run can be run again from its own file.
    again = cli.json(
        "compare", "--matrix", str(out / "matrix.toml"), "--output", str(tmp_path / "again"), "-q"
    )
    assert [cell["reused"] for cell in again["cells"]] == [True] * 4
    assert all(Path(file).exists() for file in again["files"])
    refused = cli(*given, "--seeds", "3", code=1)
    assert "another comparison" in refused.stderr
    assert len(cli(*given, "--seeds", "3", "--force", "-q").stderr) == 0


def test_a_failed_run_makes_exit_code_1_after_everything_is_saved(cli, tmp_path):
    matrix = tmp_path / "mine.toml"
    matrix.write_text(
        'seeds = 1\nmethods = ["float"]\n[base.model]\narch = "mlp"\nwidths = [8]\nnorm = "none"\n'
        "[budget]\nepochs = 1\n[[method]]\nname = 'wild'\n"
        "train = {optimizer = 'sgd', lr = 1e6, weight_decay = 100.0}\n"
    )
    out = tmp_path / "out"
    result = cli("compare", "--matrix", str(matrix), "--output", str(out), code=1)
    assert "failed: wild on digits, seed 0: the loss is" in result.stderr
    states = {
        c["method"]: c["state"] for c in json.loads((out / "results.json").read_text())["cells"]
    }
    assert states == {"float": "finished", "wild": "failed"}


def comparison(*, seeds: int, epochs: tuple[int, int], timed: bool = False) -> Comparison:
    shares = [{"method": f"m{index}", "epochs": number} for index, number in enumerate(epochs)]
    return Comparison(
        name="x",
        about="",
        budget="",
        methods=(),
        cells=tuple(
            CellResult(method="m0", data="d", seed=seed, run="", state="finished")
            for seed in range(seeds)
        ),
        command="",
        shares=tuple({**share, **({"epoch_seconds": 1.0} if timed else {})} for share in shares),
    )


def test_what_makes_a_comparison_weak_is_said():
    assert weaknesses(comparison(seeds=3, epochs=(5, 5))) == []
    assert weaknesses(comparison(seeds=3, epochs=(5, 9), timed=True)) == []
    assert weaknesses(comparison(seeds=1, epochs=(5, 5))) == ["1 seed, give at least 3"]
    (line,) = weaknesses(comparison(seeds=3, epochs=(5, 9)))
    assert line.endswith("different numbers of epochs: 1 for 5, 1 for 9")


def start(*args: str) -> subprocess.Popen[str]:
    code = "import sys; from bnncli.cli.main import main; sys.argv[0] = 'bnn'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "compare", *args],
        env={**os.environ, **ENV, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_workers(folder: Path, number: int, other_than: set[int]) -> set[int]:
    """Give the processes that cells under way are in, once there are so many new ones."""
    ends = time.monotonic() + 100
    while time.monotonic() < ends:
        texts = [mark.read_text().strip() for mark in folder.glob("running/*")]
        found = {int(text) for text in texts if text} - other_than
        if len(found) == number:
            return found
        time.sleep(0.02)
    raise AssertionError("no run began")


def test_a_killed_worker_is_replaced_and_a_signal_to_the_parent_alone_saves_runs(tmp_path):
    out, runs = tmp_path / "out", tmp_path / "runs"
    given = ("float", *SMALL, "--epochs", "100000", "--seeds", "2", "--jobs", "2")
    given += ("--output", str(out), "--runs-dir", str(runs))
    with start(*given) as process:
        first = wait_for_workers(out, 2, set())
        os.kill(min(first), signal.SIGKILL)
        second = wait_for_workers(out, 1, first)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 130, stderr
    assert process.pid not in first | second
    assert "stopped and saved, 2 of 2 runs are left; go on with: bnn compare " in stderr
    command = shlex.split(stderr.split("go on with: ")[1].splitlines()[0])
    assert command == ["bnn", "compare", *given]
    assert "Traceback" not in stderr
    assert "float" in stdout
    saved = json.loads((out / "results.json").read_text())
    assert [cell["state"] for cell in saved["cells"]] == ["stopped", "stopped"]
    assert any(Run(Path(cell["run"])).checkpoint.exists() for cell in saved["cells"])
    assert not (out / "stop").exists()
    assert not (out / "running").exists()


def test_an_option_in_a_table_is_set_by_its_full_name():
    given = ["train.optimizer_options.threshold=1e-6", "model.norm_options.eps=0.5", "train.lr=1"]
    assert _base(None, None, given) == {
        "train": {"optimizer_options": {"threshold": 1e-6}, "lr": 1},
        "model": {"norm_options": {"eps": 0.5}},
    }


def test_a_contradiction_is_found_without_the_program():
    with pytest.raises(UsageError, match="contradict"):
        built(preset="smoke", matrix_file=Path("x.toml"))
