"""Run directories whose files are damaged, and JSON that everybody can read."""

from __future__ import annotations

import json
import math
import shutil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bnncli.errors import BnnError
from bnncli.jsontext import to_json
from bnncli.training.runs import Run, list_runs
from tests.command_line import TINY, Cli


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Train one run that the tests copy."""
    cli = Cli(tmp_path_factory.mktemp("original"))
    cli("train", *TINY, "-q")
    (run,) = list_runs(cli.runs)
    return run


@pytest.fixture
def pair(original, tmp_path):
    """Give a folder with a whole run and one to be damaged."""
    for name in ("good", "bad"):
        shutil.copytree(original.path, tmp_path / name)
    return Cli(tmp_path)


DAMAGES = [
    ("model.safetensors", b"", "eval"),
    ("model.safetensors", b"\x40", "freeze"),
    ("model.safetensors", slice(40), "eval"),
    ("model.bnn", b"", "eval"),
    ("result.json", b"", "runs show"),
    ("result.json", slice(20), "runs show"),
    ("result.json", b"[]", "runs show"),
    ("result.json", b'{"best_epoch": 1}', "runs show"),
    ("result.json", b"\xff", "train --json --resume"),
    ("env.json", b"{", "runs show"),
    ("env.json", b'{"starts": 3}', "runs show"),
    ("env.json", b'{"starts": [{"device": "cpu"}]}', "runs show"),
    ("metrics.jsonl", slice(-20), "runs show"),
    ("metrics.jsonl", b'{"epoch": 0, "loss": 1.5}\n', "runs show"),
    ("metrics.jsonl", b"3\n", "runs show"),
    ("config.toml", b"", "eval"),
    ("config.toml", b"[model]\narch = 'mlp'\nweights = 'float'\n", "eval"),
    ("config.toml", b"[model\n", "eval"),
    ("config.toml", b"\xff\xfe", "eval"),
    ("config.toml", b"[train]\nepoch = 3\n", "runs show"),
]
LISTED = {"result.json", "metrics.jsonl"}


@pytest.mark.parametrize(("name", "content", "command"), DAMAGES)
def test_a_damaged_file_is_one_line_that_names_it(pair, name, content, command):
    path = pair.runs / "bad" / name
    path.write_bytes(path.read_bytes()[content] if isinstance(content, slice) else content)
    result = pair(*command.split(), str(path.parent), code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert str(path) in result.stderr
    states = {row["name"]: row["state"] for row in pair.json("runs", "list")["runs"]}
    assert states["good"] == "finished"
    summary = pair.json("runs", "summary")
    assert "good" in summary["summaries"][0]["runs"]
    if name in LISTED:
        assert states["bad"] == "unreadable"
        assert [row["name"] for row in summary["unreadable"]] == ["bad"]
        listed = pair("runs", "list")
        assert "unreadable" in listed.stdout
        assert str(path) in listed.stderr
        assert str(path) in pair("runs", "summary").stderr


def test_weights_of_another_network_are_refused(pair):
    config = pair.runs / "bad" / "config.toml"
    config.write_text(config.read_text().replace("16", "17"))
    for command in ("eval", "freeze"):
        assert "does not fit" in pair(command, "bad", code=1).stderr


@pytest.mark.parametrize("name", ["result.json", "env.json", "metrics.jsonl", "config.toml"])
@given(content=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(original, name, content):
    """Whatever a file holds, reading it gives its values or the one error."""
    path = original.path / name
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        for read in (original.settings, original.metrics, original.result, original.starts):
            try:
                read()
            except BnnError as error:
                assert name in str(error)  # noqa: PT017 (the others must still be read)
    finally:
        path.write_bytes(before)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(plain)
@example({"loss": math.nan})
@example([{"epochs": (1, -math.inf)}])
def test_json_has_no_numbers_that_json_lacks(value):
    def refuse(word):
        pytest.fail(f"not JSON: {word}")

    def expected(value):
        if isinstance(value, dict):
            return {key: expected(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [expected(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    assert json.loads(to_json(value), parse_constant=refuse) == expected(value)


def test_a_loss_that_is_not_finite_is_null_and_reads_as_nan(original, tmp_path):
    shutil.copytree(original.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    rows = run.metrics()
    rows[1]["loss"] = math.nan
    run.write_text("metrics.jsonl", "".join(to_json(row, indent=None) + "\n" for row in rows))
    assert "null" in (run.path / "metrics.jsonl").read_text()
    assert math.isnan(run.metrics()[1]["loss"])
    assert Cli(tmp_path).json("runs", "show", "run")["epochs"][1]["loss"] is None
    run.write_json("other.json", {"loss": math.inf})
    assert run.read_json("other.json") == {"loss": None}
