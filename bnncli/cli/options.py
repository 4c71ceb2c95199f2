"""Options that several commands share, and how commands read what they are given."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from bnncli.errors import UsageError


def option(flag: str, panel: str, help_text: str, *short: str, **more: Any) -> Any:
    """Describe an option whose default the help text tells, where there is one."""
    return typer.Option(
        flag, *short, rich_help_panel=panel, help=help_text, show_default=False, **more
    )


Target = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN|FILE",
        help="A run's folder, name or part of its name, or a packed model's file. "
        "Default: the latest run.",
    ),
]
LatestRun = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="A run's folder or name. Default: the latest run."),
]
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


def packed_file(target: str | None) -> Path | None:
    """Give the packed model's file that a target names, None where it names a run."""
    if target is None or not (Path(target).is_file() or target.endswith(".bnn")):
        return None
    return Path(target)


def cores() -> int:
    """Count the cores that this process may use."""
    from bnncli.minimize.search import available_cores

    return available_cores()


def check_threads(threads: int | None) -> None:
    """Refuse many more threads than there are cores."""
    largest = 4 * cores()
    if threads is not None and threads > largest:
        raise UsageError(f"--threads {threads}: this machine takes at most {largest}")


def numbers(flag: str, text: str, such_as: str = "256,256") -> tuple[int, ...]:
    """Read whole numbers between commas; one after the last number is allowed."""
    try:
        return tuple(int(word) for word in text.removesuffix(",").split(","))
    except ValueError as error:
        raise UsageError(f"{flag} {text}: expected whole numbers, such as {such_as}") from error


def toml_value(text: str) -> Any:
    """Read a TOML value; what is none is text as it stands."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
