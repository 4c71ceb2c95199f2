"""Evaluating, freezing and looking back at runs, on the embedded digits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bnncli.data import load_dataset
from bnncli.data.exams import Answers
from bnncli.forms import difference
from bnncli.packed import load_packed
from bnncli.training.history import settings_that_differ
from bnncli.training.runs import Run, find_run, list_runs
from tests.command_line import Cli, train_three


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_three(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path / "runs")


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
    labels = np.array([0, 1, 1])
    found = difference(*(Answers(x, x.argmax(axis=1), labels, {}) for x in (hard, packed)))
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
    before = run.packed.stat().st_mtime_ns
    assert trained("freeze", run.name).stdout == f"{run.packed}\n"  # it holds these bytes already
    assert run.packed.stat().st_mtime_ns == before
    file = tmp_path / "copy.bnn"
    result = trained("freeze", run.name, "-o", str(file))
    assert result.stdout == f"{file}\n"
    assert file.read_bytes() == run.packed.read_bytes()
    file.write_bytes(b"")
    assert "--force" in trained("freeze", run.name, "-o", str(file), code=1).stderr
    trained("freeze", run.name, "-o", str(file), "--force")
    assert file.read_bytes() == run.packed.read_bytes()


def test_a_frozen_sample_says_its_seed(trained, tmp_path):
    run = list_runs(trained.runs)[0]
    file = tmp_path / "sampled.bnn"
    written = trained.json("freeze", run.name, "--sample", "7", "-o", str(file))
    assert written["packed_bytes"] == file.stat().st_size
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


def test_sizes_are_those_of_the_file(trained, tmp_path):
    run = list_runs(trained.runs)[0]
    n_bytes = run.packed.stat().st_size
    assert run.result()["packed_bytes"] == n_bytes
    for target in (run.name, str(run.packed)):
        assert trained.json("eval", target)["packed_bytes"] == n_bytes
    sampled = tmp_path / "sampled.bnn"
    trained("freeze", run.name, "--sample", "3", "-o", str(sampled))
    found = trained.json("eval", run.name, "--sample", "3")
    assert found["packed_bytes"] == sampled.stat().st_size
    ratio = found["float_bytes"] / n_bytes
    assert f"packed is {ratio:.1f}x smaller" in trained("eval", run.name).stdout


def test_a_frozen_file_of_other_bytes_is_kept(trained, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(list_runs(trained.runs)[0].path, run.path)
    run.packed.write_bytes(b"mine")
    assert "--force" in trained("freeze", str(run.path), code=1).stderr
    assert run.packed.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "args",
    [
        ("train", ""),
        ("eval", "--sample", "-1"),
        ("eval", "--sample", str(2**63)),
        ("freeze", "--sample", str(2**63)),
        ("train", "--threads", str(4 * (os.cpu_count() or 1) + 1)),
    ],
)
def test_values_that_can_mean_nothing_are_usage_errors(trained, args):
    before = list_runs(trained.runs)
    assert trained(*args, code=2).stdout == ""
    assert list_runs(trained.runs) == before


@pytest.mark.parametrize("command", ["eval", "freeze", "runs show", "train --resume"])
def test_an_empty_name_is_no_part_of_a_name(trained, command):
    assert "RUN is empty" in trained(*command.split(), "", code=2).stderr


def test_the_largest_seed_draws_weights(trained):
    assert trained.json("eval", "--sample", str(2**63 - 1))["sample_seed"] == 2**63 - 1


@pytest.mark.parametrize("command", [("runs", "list"), ("runs", "show")])
def test_rows_fit_a_narrow_terminal(trained, command):
    narrow = trained(*command, COLUMNS="60", FORCE_COLOR="1", NO_COLOR="1").stdout
    names = [run.name for run in list_runs(trained.runs)]
    if command[-1] == "list":
        rows = [line for line in narrow.splitlines() if any(name in line for name in names)]
        assert len(rows) == len(narrow.splitlines()) - 1 == 3
        assert all(line.rstrip().endswith("%") for line in rows)
    else:
        assert "val hard" in narrow
        assert "val soft" not in narrow
    wide = trained(*command, COLUMNS="120", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert ("weights/acts" if command[-1] == "list" else "val soft") in wide


def test_a_figure_that_cannot_be_written_is_one_line(trained, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    target = file / "curve.png"
    result = trained("runs", "show", "--plot", str(target), code=1)
    assert result.stderr.startswith(f"error: {file}")
    assert len(result.stderr.splitlines()) == 1
