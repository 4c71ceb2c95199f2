"""``bnn extract``: what goes to stdout and to stderr, what is refused, what is kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import reduce

import numpy as np
import pytest

from bnncli.circuit import Builder, Circuit, from_text, to_text, truth_tables
from bnncli.data import rule_table
from bnncli.native.compile import find_compiler
from bnncli.packed import save_packed
from bnncli.prove import Verdict
from tests.automata import rule_model
from tests.command_line import Cli

QUICK = ("--budget", "0.2", "--jobs", "1")


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path / "cache"))
    return Cli(tmp_path / "runs")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "life.bnn"
    save_packed(rule_model("B3/S23"), path)
    return path


def test_a_recipe_is_trained_minimized_and_kept(cli, tmp_path):
    result = cli("extract", "gol", "--format", "text", *QUICK)
    circuit = from_text(result.stdout)
    np.testing.assert_array_equal(truth_tables(circuit)[0], rule_table("B3/S23"))
    for line in (
        "no finished run of gol",
        "minimizing gol: 1,151 declared gates, -O3, up to 0.2 s; Ctrl-C",
        "1,151 declared",
        "minimized and declared circuit are equal on all 512 inputs (exhaustive)",
        "answers as the packed model on all 512 test images of rule:B3/S23",
    ):
        assert line in result.stderr
    again = cli("extract", "gol", "--format", "text", *QUICK)
    assert again.stdout == result.stdout
    assert "training" not in again.stderr
    assert "taken from the cache" in again.stderr


def test_a_known_run_is_extracted_without_torch(cli, tmp_path):
    cli("extract", "gol", "-O1", "-q")
    code = (
        "import sys; sys.argv = ['bnn', 'extract', 'gol', '-O1', '-q']\n"
        "from bnncli.cli.main import app\n"
        "try: app()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    env = {"BNN_RUNS_DIR": str(cli.runs), "BNN_CACHE_DIR": str(tmp_path / "cache")}
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(b"/* gol")


def test_other_rules_and_the_long_name(cli):
    result = cli("extract-circuit", "gol", "--rule", "w110", "--format", "text", "-O2", "-q")
    assert result.stderr == ""
    table = truth_tables(from_text(result.stdout))[0]
    np.testing.assert_array_equal(table, rule_table("W110")[np.arange(512) >> 3 & 7])


def test_a_file_is_extracted_to_a_file(cli, model, tmp_path):
    out = tmp_path / "life.txt"
    found = cli.json("extract", str(model), "-o", str(out), "--format", "text", *QUICK)
    circuit = from_text(out.read_text())
    assert found["file"] == str(out)
    assert found["minimized_gates"] == circuit.size < found["declared_gates"]
    assert found["verdict"]["kind"] == "exhaustive"
    assert found["verdict"]["proved"]
    assert found["passes"][0]["name"] == "rebuild"
    assert found["agreement"] == {"data": "rule:B3/S23", "n_images": 512, "n_equal": 512}
    refused = cli("extract", str(model), "-o", str(out), code=1)
    assert "exists already; give --force" in refused.stderr
    cli("extract", str(model), "-o", str(out), "-O0", "--format", "text", "--force", "-q")
    assert from_text(out.read_text()).n_gates == found["declared_gates"]
    netlist = cli("extract", str(out), "--format", "text", "-O2", "-q").stdout
    assert from_text(netlist).size <= circuit.size + found["declared_gates"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_the_program_steps_as_the_rule(cli, model, tmp_path):
    source = tmp_path / "gate.c"
    source.write_text(cli("extract", str(model), "-O2", "-q").stdout)
    program = tmp_path / "gate"
    options = ["-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", str(source), *options, "-o", str(program)], check=True)
    checked = subprocess.run(
        [str(program), "--check", "--steps", "3"], check=True, text=True, capture_output=True
    )
    assert "3 steps, 0 of " in checked.stdout


def test_c_of_an_automaton_counts_what_cells_share(cli, model, tmp_path):
    out = str(tmp_path / "life")
    shared = cli.json("extract", str(model), "-O2", "-o", out)
    assert shared["cost"] == "shared operations"
    assert shared["shared_operations"] <= shared["minimized_gates"]
    for options in (("--no-shared",), ("--format", "text")):
        alone = cli.json("extract", str(model), "-O2", "-o", out, "--force", *options)
        assert alone["cost"] == "gates"
        assert alone["passes"][-1]["after"] == alone["minimized_gates"]
    rest = ("--layer", "1", "--shared", "--format", "text")
    assert "is no cellular automaton" in cli("extract", str(model), *rest, code=2).stderr


def test_two_circuits_are_compared(cli, model, tmp_path):
    text = tmp_path / "life.txt"
    cli("extract", str(model), "-O2", "--format", "text", "-o", str(text), "-q")
    same = cli("extract", "--check", str(model), str(text))
    assert same.stdout == f"{model} and {text}: equal on all 512 inputs (exhaustive)\n"
    other = tmp_path / "other.bnn"
    save_packed(rule_model("B36/S23"), other)
    different = cli("extract", "--check", str(text), str(other), code=1)
    assert "differ: output 0" in different.stdout
    found = json.loads(cli("extract", "--check", str(text), str(other), "--json", code=1).stdout)
    case = sum(bit << i for i, bit in enumerate(found["counterexample"]))
    assert rule_table("B3/S23")[case] != rule_table("B36/S23")[case]


@pytest.fixture
def wide_pair(tmp_path, monkeypatch):
    """Give two circuits, equal but unlike in structure, that only sampling compares."""
    monkeypatch.setattr("bnncli.prove.comparison.have", lambda name: False)
    paths = []
    for name, forwards in (("up", True), ("down", False)):
        build = Builder(40)
        inputs = build.inputs()
        parity = reduce(build.xor, inputs if forwards else reversed(inputs))
        path = tmp_path / f"{name}.txt"
        path.write_text(to_text(build.build([parity])))
        paths.append(str(path))
    return paths


def test_sampled_equality_is_told_from_a_proof(cli, wide_pair, model):
    sampled = cli("extract", "--check", *wide_pair)
    assert "not a proof" in sampled.stdout
    assert "sampled, not proved" in sampled.stderr
    strict = cli("extract", "--check", *wide_pair, "--require-proof", code=1)
    assert strict.stdout == sampled.stdout
    found = cli.json("extract", "--check", *wide_pair, "--require-proof", code=1)
    assert (found["equal"], found["proved"]) == (True, False)
    proved = cli("extract", "--check", str(model), str(model), "--require-proof")
    assert "sampled" not in proved.stderr


def test_extracting_with_a_required_proof_writes_nothing_without_one(
    cli, wide_pair, model, tmp_path, monkeypatch
):
    out = tmp_path / "out.txt"
    text = ("--format", "text", "-o", str(out), "--require-proof", "-q")
    cli("extract", str(model), "-O1", *text)
    written = out.read_text()
    doubted = Verdict(equal=True, kind="sampled", cases=64, seed=0)
    monkeypatch.setattr("bnncli.minimize.levels.compare_designs", lambda *_, **__: doubted)
    refused = cli("extract", wide_pair[0], "-O1", *text, "--force", code=1)
    assert "--require-proof: the circuits are equal on 64 sampled inputs" in refused.stderr
    assert out.read_text() == written


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("--format", "verilg"), "unknown format 'verilg'; did you mean 'verilog'?", 2),
        (("--json",), "give it a file with -o FILE", 2),
        (("--rule", "W30"), "is a file; give a recipe such as gol", 2),
        (("--neuron", "1"), "--neuron 1: give its layer too", 2),
        (("--layer", "99"), "--layer 99: life has layers 1 to", 2),
        (("--inexact-on", "digits"), "are bits, not pixels of images", 2),
        (("--check", "a", "b"), "give it alone", 2),
    ],
)
def test_what_is_refused_is_one_line(cli, model, options, says, code):
    result = cli("extract", str(model), *options, code=code)
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bnn-circuit 1\ninputs 2\n4 = 8(2, 5)\noutputs 4\n", "signal 5, expected 0 to 3"),
        ("bnn-circuit 1\ninputs 2\n4 = 8(2)\noutputs 4\n", "line 3: '4 = 8(2)' given"),
        ("\0\1", "neither a circuit's text nor JSON, AIGER or BLIF"),
    ],
)
def test_malformed_netlists_are_one_line(cli, tmp_path, text, says):
    path = tmp_path / "wrong.txt"
    path.write_text(text)
    result = cli("extract", str(path), code=1)
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_a_damaged_model_and_an_unknown_run_are_one_line(cli, tmp_path):
    path = tmp_path / "broken.bnn"
    path.write_bytes(b"BNNPACK\0and no more")
    assert "broken.bnn" in cli("extract", str(path), code=1).stderr
    missing = cli("extract", "--check", "a.blif", "b.blif", code=1).stderr
    assert "a.blif: no such file; give a packed model" in missing
    missing = cli("extract", "--check", "a.blif", "b.blif", code=1).stderr
    assert "a.blif: no such file; give a packed model" in missing
    assert "no run 'nothing'" in cli("extract", "nothing", code=2).stderr
    assert "no runs in" in cli("extract", code=2).stderr


def test_eval_knows_the_compiled_form(cli, model):
    if find_compiler() is None:
        pytest.skip("needs a C compiler")
    found = cli.json("eval", str(model), "--compiled")
    assert list(found["forms"]) == ["packed", "compiled"]
    assert found["forms"]["compiled"]["accuracy"] == 1.0
    assert found["compiled_differs"] == 0
    text = cli("eval", str(model), "--compiled").stdout
    assert "compiled and packed predictions differ on 0 of 512 images" in text
    assert cli.json("eval", str(model))["compiled_differs"] is None


def test_what_is_no_file_is_never_replaced(cli, tmp_path):
    save_packed(rule_model("B3/S23"), tmp_path / "life.bnn")
    target = tmp_path / "folder"
    target.mkdir()
    answer = cli("extract", str(tmp_path / "life.bnn"), "-o", str(target), "--force", code=2)
    assert "is no file; give a file, or leave -o out" in answer.stderr
    assert target.is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_interrupted_search_gives_its_best(tmp_path):
    save_packed(rule_model("B3/S23"), tmp_path / "life.bnn")
    arguments = ["extract", "life.bnn", "--budget", "600", "--format", "text", "-j", "1"]
    code = f"import sys; sys.argv = {['bnn', *arguments]}; from bnncli.cli.main import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "BNN_CACHE_DIR": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        assert "up to 600 s; Ctrl-C" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        text, notes = running.communicate()
    assert running.returncode == 130
    np.testing.assert_array_equal(truth_tables(from_text(text))[0], rule_table("B3/S23"))
    assert "stopped: this is the best so far" in notes
    assert not (tmp_path / "cache" / "circuits").exists()


def test_a_network_of_signs_on_digits_is_a_circuit_on_the_whole_test_set(cli, tmp_path):
    cli("train", "--arch", "bnn-mlp", "--widths", "32", "--epochs", "1", "-q")
    out = tmp_path / "digits.json"
    options = ("-O1", "--format", "json", "-o", str(out))
    found = cli.json("extract", "bnn-mlp", *options)
    assert found["inputs"] == 8 * 64
    assert found["verdict"]["proved"]
    assert found["agreement"] == {"data": "digits", "n_images": 360, "n_equal": 360}
    # The file holds the pixels and sums too: read back, it has the same scores for all images.
    same = cli("extract", "--check", str(out), "bnn-mlp").stdout
    assert "equal scores (structure" in same
    merged = cli.json("extract", "bnn-mlp", *options, "--inexact-on", "digits", "--force")
    assert merged["declared_gates"] == found["declared_gates"]
    assert merged["minimized_gates"] < found["minimized_gates"]
    assert merged["inexact"].startswith("inexact: signals equal on the 1,257 training images")
    assert "inexact" in out.read_text()
    assert "minimized and merged circuit are equal scores" in out.read_text()


def test_pure_logic_ends_in_the_class(cli, tmp_path):
    cli("train", "--arch", "logic-mlp", "--widths", "60,40", "--epochs", "1", "-q")
    refused = cli("extract", "--format", "text", code=1)
    assert "extract with --pure" in refused.stderr
    result = cli("extract", "--pure", "--format", "text", "-O2")
    circuit = from_text(result.stdout)
    assert circuit.output_names == ("class0", "class1", "class2", "class3")
    assert "answers as the packed model on all 360 test images of digits" in result.stderr


def test_a_budget_bounds_all_passes_that_may_take_long(cli, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text(to_text(Circuit.of_gates(30, [(6, k, k + 1) for k in range(2, 60)], [89])))
    options = (str(path), "-O", "3", "--format", "text", "-o", str(tmp_path / "out.txt"), "--force")
    steps = cli.json("extract", *options, "--budget", "0")["passes"]
    assert {step["name"]: step["skipped"] for step in steps} == {
        "rebuild": "",
        "merge_functional": "no time was left",
        "resubstitute": "no time was left",
        "search": "no time was left",
    }
    ample = cli.json("extract", *options, "--budget", "600")["passes"]
    assert not any("time" in step["skipped"] or step["cut"] for step in ample)


def test_names_that_a_format_cannot_hold_are_refused_before_any_work(cli, tmp_path):
    path = tmp_path / "wire.aag"
    path.write_text("aag 1 1 0 1 0\n2\n2\ni0 a\no0 b c\n")
    result = cli("extract", str(path), "--format", "text", code=1)
    assert "the name 'b c' has blanks" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_more_threads_than_a_machine_can_start_are_refused(cli, model):
    assert "1024" in cli("extract", str(model), "--jobs", "100000", code=2).stderr
