"""``bnn``: the program, its commands and how it ends."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from bnncli import __version__
from bnncli.cli import (
    bench,
    compare,
    data,
    eval,
    extract,
    film,
    freeze,
    gates,
    info,
    list,
    play,
    runs,
    train,
)
from bnncli.cli.console import print_error
from bnncli.errors import BnnError

CONTEXT = {"help_option_names": ["-h", "--help"]}


class CommandGroup(TyperGroup):
    """The program's commands; an expected failure ends in one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (BnnError, OSError) as error:
            if ctx.params.get("debug"):
                traceback.print_exception(error)
            else:
                print_error(_one_line(error))
            raise typer.Exit(error.exit_code if isinstance(error, BnnError) else 1) from error


def _one_line(error: BnnError | OSError) -> str:
    """Say what failed; of the system's own failures, which file and why."""
    if isinstance(error, OSError) and error.strerror:
        name = error.filename2 or error.filename
        return error.strerror if name is None else f"{os.fsdecode(name)}: {error.strerror}"
    return str(error) or type(error).__name__


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
    """Declare the program's own options; they act by themselves, or where a command fails."""


for _command in (train, compare, eval, freeze, extract, gates, play, film, list, info):
    _command.register(app)
for _group in (runs, data, bench):
    app.add_typer(_group.app, name=_group.__name__.rsplit(".", 1)[1])


class Stream(io.FileIO):
    """Write to a descriptor; once that fails, what is left goes nowhere.

    A reader that closed its end of a pipe is no failure to talk about. Any other failure is raised
    once: Python flushes again at exit, when nobody can catch it.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.says = name

    def write(self, data: Any) -> int:
        """Write bytes; tell how many were taken."""
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                return len(data)
            error.filename = self.says
            raise


def _text_stream(stream: TextIO | None, name: str) -> TextIO:
    if stream is None:  # closed by whoever started the program
        return Path(os.devnull).open("w", encoding="utf-8")
    return io.TextIOWrapper(
        io.BufferedWriter(Stream(stream.fileno(), name)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=name == "stderr" or stream.isatty(),
    )


def main() -> None:
    """Run the program; a failure of its own output is one line too."""
    sys.stdout = _text_stream(sys.stdout, "stdout")
    sys.stderr = _text_stream(sys.stderr, "stderr")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        print_error(_one_line(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
