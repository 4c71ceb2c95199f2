"""Run the command line in this process on a folder of runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from bnncli.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

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


def train_three(folder: Path) -> Cli:
    """Train three tiny runs: two seeds, and one with binary activations."""
    cli = Cli(folder)
    for more in (["--seed", "0"], ["--seed", "1"], ["--activations", "binary"]):
        cli("train", *TINY, *more, "-q")
    return cli
