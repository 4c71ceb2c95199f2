"""``bnn play``: a learned cellular automaton in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 (typer reads annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from bnncli.cli.console import print_json, print_note
from bnncli.cli.options import RUNS, AsJson, RunsDir, option, packed_file
from bnncli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from bnncli.play import Automaton, Game
    from bnncli.training.runs import Run

EPILOG = """Keys

[cyan]space[/] run or pause, [cyan]s[/] or [cyan]→[/] step, [cyan]r[/] random, [cyan]c[/] clear,
[cyan]e[/] edit (arrows move, space sets a cell), [cyan]d[/] erase a block, [cyan]h[/] packed or soft,
[cyan]p[/] next pattern, [cyan]o[/] open a pattern, [cyan]+[/] and [cyan]-[/] speed, [cyan]q[/] quit

Examples

[cyan]bnn play gol[/]                                 # trained first, where that was not done

[cyan]bnn play gol --pattern gun --size 60x100[/]

[cyan]bnn play gol --pattern glider --size 8x8 --steps 4[/]   # as text"""

DEFAULT = "gol"
FORMS = ("packed", "soft", "hard")
TEXT_SIZE = (24, 48)
BOARD = "Board"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("play", epilog=EPILOG)(play)


def play(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|RUN|FILE",
            help="A recipe of an automaton (trained where that was not done), a run's folder, name or "
            "part of its name, or a packed model's file.",
        ),
    ] = DEFAULT,
    size: Annotated[
        str | None,
        option(
            "--size",
            BOARD,
            "Rows by columns of the board. Default: what the terminal holds, else "
            f"{TEXT_SIZE[0]}x{TEXT_SIZE[1]}.",
            metavar="HxW",
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        option(
            "--pattern",
            BOARD,
            "Begin with a pattern: acorn, beacon, glider, gun, lwss, pentadecathlon, pulsar, "
            "r-pentomino, toad, or an RLE file. Default: random cells.",
            metavar="NAME|FILE",
        ),
    ] = None,
    density: Annotated[
        float | None,
        option(
            "--density",
            BOARD,
            "Share of ones on a random board. Default: 0.3, for a task on boards 0.5.",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, help="Seed of random boards.", rich_help_panel=BOARD),
    ] = 0,
    form: Annotated[
        str,
        typer.Option("--form", help="packed, soft or hard.", rich_help_panel="Run"),
    ] = "packed",
    fps: Annotated[
        int,
        typer.Option("--fps", min=1, max=1000, help="Steps a second.", rich_help_panel="Run"),
    ] = 10,
    steps: Annotated[
        int | None,
        option(
            "--steps",
            "Run",
            "Print N steps as text and end; needs no terminal.",
            metavar="N",
            min=0,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS,
    as_json: AsJson = False,
) -> None:
    """Watch a learned circuit run a board, checked against its true rule or its goal."""
    from bnncli.data.rle import load_pattern
    from bnncli.play import Game
    from bnncli.play.game import parse_size
    from bnncli.play.terminal import board_size
    from bnncli.play.terminal import play as play_in_terminal

    in_terminal = steps is None and not as_json
    if in_terminal and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("play needs a terminal; give --steps N to print boards as text")
    if as_json and steps is None:
        raise UsageError("--json needs --steps N: how far to go")
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    given = None if size is None else parse_size(size)
    shown = None if pattern is None else load_pattern(pattern)
    automaton = _open(target, runs_dir)
    task = automaton.world.task
    extent = given or (board_size(sys.stdout) if in_terminal else TEXT_SIZE)
    if given is None and task is not None:
        extent = task.size, task.size
    if density is None:
        density = 0.3 if task is None else 0.5
    game = Game(automaton, extent, form=form, seed=seed, density=density, speed=fps)
    if shown is not None:
        game.show(shown)
    if not in_terminal:
        _print_steps(game, steps or 0, as_json=as_json)
        return
    try:
        play_in_terminal(game)
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    finally:
        print_note(_summary(game))


def _open(target: str, runs_dir: Path) -> Automaton:
    from bnncli.play import open_file, open_run

    file = packed_file(target)
    if file is not None:
        return open_file(file)

    from bnncli.recipes import recipe_names
    from bnncli.training.runs import find_run

    if target in recipe_names():
        return open_run(recipe_run(target, runs_dir))
    return open_run(find_run(target, runs_dir))


def recipe_run(name: str, runs_dir: Path) -> Run:
    """Give the finished run of a rule's recipe as it stands; train it where there is none."""
    from bnncli.cli.training import Manner, trained
    from bnncli.data import boards, rules
    from bnncli.recipes import settings_from

    settings = settings_from(name)
    if not settings.data.name.startswith((boards.PREFIX, rules.PREFIX)):
        raise UsageError(
            f"recipe {name}: learns {settings.data.name}, expected a cellular automaton, such as gol"
        )
    return trained(settings, name, Manner.plain(runs_dir))


def _print_steps(game: Game, steps: int, *, as_json: bool) -> None:
    from bnncli.play.screen import text_rows

    populations = [game.population]
    if not as_json:
        _print_board(game)
    for _ in range(steps):
        game.advance()
        populations.append(game.population)
        if not as_json:
            _print_board(game)
    if not as_json:
        print_note(_summary(game))
        return
    goal = game.goal
    known = game.table is not None
    print_json(
        {
            "source": game.automaton.source,
            "learned": game.world.name,
            "form": game.form,
            "size": list(game.size),
            "steps": game.generation,
            "populations": populations,
            "cells_compared": game.compared if known else None,
            "cells_that_differed": game.differed if known else None,
            "cells_unlike_the_goal": None
            if goal is None
            else int(((game.cells >= 0.5) != goal).sum()),
            "board": text_rows(game.cells),
        }
    )


def _print_board(game: Game) -> None:
    """Print the board under its generation; of a rule on a line just the row, as its history."""
    from bnncli.play.screen import text_rows

    rows = text_rows(game.present[0])
    if not game.is_history:
        rows = [f"generation {game.generation}, population {game.population}", *rows, ""]
    sys.stdout.write("\n".join(rows) + "\n")


def _summary(game: Game) -> str:
    from bnncli.play.screen import agreement_line

    return (
        f"{game.automaton.source}, {game.form}, {game.generation:,} generations of "
        f"{game.world.name}: {agreement_line(game)}"
    )
