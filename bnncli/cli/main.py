"""``bnn``: the program, its commands and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bnncli import __version__
from bnncli.cli import bench, data, eval, freeze, info, list, runs, train
from bnncli.cli.console import print_error
from bnncli.errors import BnnError

CONTEXT = {"help_option_names": ["-h", "--help"]}


class CommandGroup(TyperGroup):
    """The program's commands; an expected failure ends in one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BnnError as error:
            if ctx.params.get("debug"):
                raise
            print_error(str(error))
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    name="bnn",
    cls=CommandGroup,
    help="1-bit learning from gradient to gates: train, freeze and run networks made of bits.",
    epilog="""Examples

[cyan]bnn train --arch smallconv --binary[/]   # on the embedded digits

[cyan]bnn eval[/]                              # the latest run, packed too

[cyan]bnn list archs[/]                        # what there is to choose from""",
    no_args_is_help=True,
    context_settings=CONTEXT,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from bnncli.native import backend_name

    sys.stdout.write(f"bnn {__version__}\nkernels {backend_name()}\n")
    raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Print the version and the kernel backend.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="BNN_DEBUG", help="Show the traceback of a failure."),
    ] = False,
) -> None:
    pass


for _command in (train, eval, freeze, list, info):
    _command.register(app)
for _group in (runs, data, bench):
    app.add_typer(_group.app, name=_group.__name__.rsplit(".", 1)[1])


def main() -> None:
    """Run the program; a reader that closed its end of a pipe is no failure to talk about."""
    try:
        app()
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes again at exit; what is left must go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
