"""``bnn list``: the names that options take."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bnncli.cli.console import print_json, stdout, table
from bnncli.cli.options import AsJson  # noqa: TC001 (typer reads annotations)
from bnncli.registries import KINDS, entries

EPILOG = """Examples

[cyan]bnn list[/]                  # every kind and its names

[cyan]bnn list archs[/]

[cyan]bnn list archs 'bnn-*'[/]    # names that match a pattern

[cyan]bnn list recipes --json[/]"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list", epilog=EPILOG)(list_names)


def list_names(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help=f"{', '.join(KINDS)}. Default: all.",
        ),
    ] = None,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Names to show; * and ? are wildcards.")
    ] = "*",
    as_json: AsJson = False,
) -> None:
    """List what there is to choose from."""
    found = {name: entries(name, pattern) for name in ([kind] if kind else KINDS)}
    if as_json:
        print_json({name: [asdict(entry) for entry in rows] for name, rows in found.items()})
        return
    console = stdout()
    if kind is None:
        rows = [(name, ", ".join(entry.name for entry in rows)) for name, rows in found.items()]
        console.print(table(("kind", "names"), rows, left=2))
        return
    cells = [(entry.name, entry.summary) for entry in found[kind]]
    console.print(table(("name", "what it is"), cells, left=2))
