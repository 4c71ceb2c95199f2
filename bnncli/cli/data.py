"""``bnn data``: which data sets there are, where they lie, and fetching them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bnncli.cli.console import print_json, print_note
from bnncli.cli.options import AsJson, DataDir  # noqa: TC001 (typer reads annotations)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.data.catalog import Entry

app = typer.Typer(
    name="data",
    help="List, fetch and locate the data sets.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("list", epilog="Examples\n\n[cyan]bnn data list[/]\n\n[cyan]bnn data list --json[/]")
def list_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the data sets: sizes, licence and where each was found."""
    from bnncli.data.catalog import catalog

    entries = catalog(data_dir)
    if as_json:
        _print_json(entries)
    else:
        _print_table(entries)
        print_note("Also any rule of a cellular automaton, computed: rule:B3/S23, rule:W110.")


@app.command("fetch", epilog="Examples\n\n[cyan]bnn data fetch mnist cifar10[/]")
def fetch_command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Data sets to fetch.")],
    as_json: AsJson = False,
) -> None:
    """Make data sets ready: download into the cache unless found, verify, decode once."""
    from bnncli.data.catalog import prepare

    entries = prepare(names)
    if as_json:
        _print_json(entries)
        return
    for item in entries:
        sys.stdout.write(f"{item.name} {item.path or item.state}\n")


@app.command("path", epilog="Examples\n\n[cyan]ls $(bnn data path mnist)[/]")
def path_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set to locate.")],
    data_dir: DataDir = None,
) -> None:
    """Print the folder or file that a data set is read from."""
    from bnncli.data.catalog import data_path

    sys.stdout.write(f"{data_path(name, data_dir)}\n")


def _print_json(entries: Sequence[Entry]) -> None:
    rows = [{**asdict(item), "path": item.path and str(item.path)} for item in entries]
    print_json({"data_sets": rows})


def _where(item: Entry) -> str:
    return {
        "embedded": "embedded",
        "computed": "computed",
        "found": f"found at {item.path}",
        "decoded": f"decoded at {item.path}",
        "absent": "not here",
    }[item.state]


def _print_table(entries: Sequence[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=400)  # whole paths, for whoever reads the pipe
    table = Table(box=None, pad_edge=False)
    for title in ("name", "train", "test", "image", "classes", "where", "licence"):
        table.add_column(title, overflow="fold")
    for item in entries:
        image = "x".join(map(str, item.image_shape))
        counts = (f"{item.n_train:,}", f"{item.n_test:,}", image, str(len(item.classes)))
        table.add_row(item.name, *counts, _where(item), item.licence)
    console.print(table)
