"""The README's Python runs, and its commands exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bnncli.cli.main import app

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"\bbnn ((?:[a-z]+)(?: (?:list|show|compare|summary))?)", README)))


def test_the_python_example_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    example = tmp_path / "example.py"
    example.write_text(code)
    assert runpy.run_path(str(example))["logits"].shape == (360, 10)


@pytest.mark.parametrize("words", COMMANDS)
def test_named_commands_have_help(words):
    result = CliRunner().invoke(app, [*words.split(), "--help"])
    assert result.exit_code == 0, result.output


def test_flags_named_in_the_readme_exist():
    known = set()
    for words in ["", *COMMANDS]:
        known |= set(
            re.findall(r"--[a-z][a-z-]+", CliRunner().invoke(app, [*words.split(), "-h"]).output)
        )
    foreign = {"--no-cache-dir", "--force-reinstall", "--no-deps", "--torch-backend"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known | foreign


def test_linked_files_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not (Path(__file__).parents[1] / t).exists()] == []
