"""The command line apart from training: help, names, exit codes, streams."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bnncli import __version__
from bnncli.cli.console import size_change
from bnncli.cli.main import app
from bnncli.recipes import find_recipe, recipe_names
from bnncli.registries import KINDS, entries

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = [
    [],
    ["train"],
    ["compare"],
    ["eval"],
    ["freeze"],
    ["extract"],
    ["gates"],
    ["play"],
    ["film"],
    ["list"],
    ["info"],
    ["runs"],
    ["runs", "list"],
    ["runs", "show"],
    ["runs", "compare"],
    ["runs", "summary"],
]
LAYOUT_OF = "0.29."
ANSI = re.compile(r"\x1b\[[0-9;]*m")
WIDTH = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}


def invoke(*args: str, **env: str):
    return CliRunner().invoke(app, list(args), env={**WIDTH, **env})


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def program(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return python(
        f"import sys; sys.argv = {['bnn', *args]}; from bnncli.cli.main import main; main()", **env
    )


def check_golden(name: str, text: str) -> None:
    """Compare with a stored text; a missing one is written, and the test fails."""
    path = GOLDEN / name
    text = "\n".join(line.rstrip() for line in ANSI.sub("", text).strip().splitlines()) + "\n"
    if not path.exists():
        path.write_text(text)
        pytest.fail(f"{path.name} was missing and has been written; read it and commit it")
    assert text == path.read_text()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: "-".join(words) or "bnn")
def test_help_is_as_stored(command):
    if not typer.__version__.startswith(LAYOUT_OF):
        pytest.skip(f"stored help has the layout of Typer {LAYOUT_OF}, this is {typer.__version__}")
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    check_golden(f"help_{'_'.join(command) or 'bnn'}.txt", result.stdout)


@pytest.mark.parametrize("command", COMMANDS[1:], ids="-".join)
def test_short_help_is_long_help_and_shows_examples(command):
    assert invoke(*command, "-h").stdout == invoke(*command, "--help").stdout
    assert "Examples" in invoke(*command, "-h").stdout


def test_no_command_shows_help_and_fails_as_usage():
    result = invoke()
    assert result.exit_code == 2
    assert "Usage: bnn" in result.output


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["list", "--help"],
        ["list", "recipes"],
        ["list", "data"],
        ["runs", "--help"],
    ],
)
def test_instant_commands_import_no_torch(args):
    code = (
        f"import sys; sys.argv = {['bnn', *args]}\n"
        "from bnncli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'matplotlib', 'pooch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_version_is_alone_on_the_first_line():
    lines = invoke("--version").stdout.splitlines()
    assert lines[0] == f"bnn {__version__}"
    assert lines[1].startswith("kernels ")
    assert invoke("-V").stdout.splitlines() == lines


def test_mistyped_names_are_answered_with_the_nearest():
    command = invoke("trian")
    assert (command.exit_code, command.stdout) == (2, "")
    assert "Did you mean 'train'?" in command.stderr
    option = invoke("train", "--epoch", "3")
    assert (option.exit_code, option.stdout) == (2, "")
    assert "--epochs" in option.stderr
    kind = invoke("list", "archz")
    assert (kind.exit_code, kind.stdout) == (2, "")
    assert "did you mean 'archs'?" in kind.stderr
    recipe = invoke("train", "digits-smalconv")
    assert recipe.exit_code == 2
    assert "did you mean 'digits-smallconv'?" in recipe.stderr


def test_an_expected_failure_is_one_line_on_stderr():
    result = invoke("list", "archs", "smalconv")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_debug_shows_where_it_failed():
    done = program("--debug", "list", "archz")
    assert done.returncode == 2
    assert "unknown_name" in done.stderr
    assert "did you mean 'archs'?" in done.stderr


def test_list_matches_patterns():
    names = invoke("list", "archs", "bnn-*").stdout.split()
    assert "bnn-mlp" in names
    assert "smallconv" not in names


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_lists_what_it_registers(kind):
    found = json.loads(invoke("list", kind, "--json").stdout)
    assert found["schema"] == 1
    assert [row["name"] for row in found[kind]] == [entry.name for entry in entries(kind)]
    assert all(row["summary"] for row in found[kind])


def test_list_without_a_kind_names_every_kind():
    text = invoke("list").stdout
    assert all(kind in text for kind in KINDS)


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_cut_nothing_off(columns):
    for command in (["list"], ["list", "archs"], ["list", "surrogates"], ["list", "recipes"]):
        assert "…" not in invoke(*command, COLUMNS=str(columns), FORCE_COLOR="1").stdout


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which ``bnn`` is the program."""
    start = f'bnn() {{ {shlex.quote(sys.executable)} -m bnncli.cli.main "$@"; }}; '
    return subprocess.run(
        ["sh", "-c", start + line],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("bnn list archs >&-", 0),
        ("bnn --help >&-", 0),
        ("bnn list archz 2>&-", 2),
        ("bnn list archs <&- >&- 2>&-", 0),
        # The reader is gone before the first word is written.
        ("{ sleep 0.2; bnn --help; echo code $? >&2; } | true", 0),
        ("{ sleep 0.2; bnn list archs; echo code $? >&2; } | true", 0),
    ],
)
def test_a_closed_stream_is_silent(line, code):
    done = shell(line)
    assert done.returncode == code
    assert done.stderr in {"", "code 0\n"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("line", ["bnn list archs", "bnn --help", "bnn list archs --json"])
def test_a_full_disk_is_one_line(line):
    done = shell(f"{line} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == f"error: stdout: {os.strerror(errno.ENOSPC)}\n"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    result = invoke("train", "--epochs", "1", "--runs-dir", str(file / "runs"))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {file}")
    assert "Traceback" not in result.stderr


def test_a_closed_pipe_is_silent():
    code = (
        "import os, sys; sys.argv = ['bnn', 'list', 'data', '--json']\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "from bnncli.cli.main import main; main()"
    )
    assert python(code).stderr == ""


def test_info_as_json_tells_versions_and_kernels():
    found = json.loads(invoke("info", "--json").stdout)
    assert found["schema"] == 1
    assert found["bnn"] == __version__
    assert {"torch", "numpy", "python", "kernels", "cache", "gpus"} <= found.keys()


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_resolve_and_say_what_they_are(name):
    from bnncli.training.experiment import resolve

    recipe = find_recipe(name)
    assert recipe.about
    assert resolve(recipe.settings).recipe == name


@pytest.mark.parametrize(
    ("floats", "packed", "said"),
    [
        (2180, 100, "21.8x smaller than float32"),
        (320, 1340, "4.2x larger than float32"),
        (1000, 1010, "as large as float32"),
        (1010, 1000, "as large as float32"),
    ],
)
def test_sizes_are_compared_the_way_that_makes_sense(floats, packed, said):
    assert size_change(floats, packed) == said
