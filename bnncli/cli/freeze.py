"""``bnn freeze``: a run's weights as a file of packed words."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 (typer reads annotations)
from typing import TYPE_CHECKING, Annotated

from bnncli.cli.console import print_json
from bnncli.cli.options import (
    RUNS,
    AsJson,
    DataDir,
    Force,
    LatestRun,
    Offline,
    RunsDir,
    Sample,
    option,
)

if TYPE_CHECKING:
    import typer

EPILOG = """Examples

[cyan]bnn freeze -o digits.bnn[/]                    # the latest run

[cyan]bnn freeze smallconv --sample 7 -o s7.bnn[/]   # weights drawn at random once"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("freeze", epilog=EPILOG)(freeze)


def freeze(
    run: LatestRun = None,
    output: Annotated[
        Path | None,
        option(
            "--output",
            "Run",
            "File to write. Default: model.bnn in the run, model-sample-SEED.bnn if sampled.",
            "-o",
        ),
    ] = None,
    sample: Sample = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    runs_dir: RunsDir = RUNS,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a run's best weights as a packed model, and print the name of the file."""
    from bnncli.job import write_packed
    from bnncli.training.runs import find_run

    written = write_packed(
        find_run(run, runs_dir),
        output,
        sample_seed=sample,
        force=force,
        data_dir=data_dir,
        download=not offline,
    )
    if as_json:
        print_json(written)
    else:
        sys.stdout.write(f"{written['file']}\n")
