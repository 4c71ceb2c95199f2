"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="BNN_DATA_DIR",
        help="Folder searched first, before the user's cache.",
        show_default=False,
        rich_help_panel="Data",
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Never download; fail if it is not here.", rich_help_panel="Data"
    ),
]
RunsDir = Annotated[
    Path,
    typer.Option(
        "--runs-dir", envvar="BNN_RUNS_DIR", help="Folder of the runs.", rich_help_panel="Run"
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="BNN_DEVICE",
        help="auto (a GPU where there is one), cpu or cuda.",
        rich_help_panel="Run",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object to stdout.", rich_help_panel="Run"),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what is there.", rich_help_panel="Run")
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say nothing on stderr.", rich_help_panel="Run"),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="SEED",
        min=0,
        max=2**63 - 1,
        help="Draw the weights at random once with this seed (BinaryConnect).",
        rich_help_panel="Run",
        show_default=False,
    ),
]
RUNS = Path("runs")
"""Generators take a seed of 64 bits with a sign."""
