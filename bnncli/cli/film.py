"""``bnn film``: a learned cellular automaton as an animation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bnncli.cli.console import print_json
from bnncli.cli.options import RUNS, AsJson, Force, RunsDir, Target, option, packed_file
from bnncli.errors import UsageError

EPILOG = """Examples

[cyan]bnn film dlca-board -o board.gif[/]               # from random states to the pattern

[cyan]bnn film dlca-board -o heals.gif --damage 7[/]    # and a block erased after that

[cyan]bnn film dlca-board -o epochs.gif --training[/]   # what training made of one board"""

FILM = "Film"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("film", epilog=EPILOG)(film)


def film(
    target: Target = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="GIF to write.", rich_help_panel=FILM)
    ] = Path("automaton.gif"),
    training: Annotated[
        bool,
        typer.Option("--training", help="Show past epochs, not steps.", rich_help_panel=FILM),
    ] = False,
    damage: Annotated[
        int | None,
        option(
            "--damage",
            FILM,
            "Erase a square with sides of this length at the end, and run on.",
            metavar="CELLS",
        ),
    ] = None,
    size: Annotated[
        int | None, option("--size", FILM, "Side of the board. Default: as in training.")
    ] = None,
    steps: Annotated[
        int | None, option("--steps", FILM, "Default: as in training, more on a larger board.")
    ] = None,
    scale: Annotated[
        int,
        typer.Option("--scale", help="Pixels of a cell.", min=1, max=64, rich_help_panel=FILM),
    ] = 12,
    seconds: Annotated[
        float | None,
        option("--seconds", FILM, "Of a frame. Default: 0.12, of an epoch 0.7.", min=0.02, max=10),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Draws the first board.", min=0, rich_help_panel=FILM)
    ] = 0,
    runs_dir: RunsDir = RUNS,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Film a learned cellular automaton, in its packed form, and print the name of the file."""
    from bnncli.views.film import Shot, film_packed, film_run, film_training, write_gif

    shot = Shot(steps=steps, size=size, damage=damage, seed=seed)
    file = packed_file(target)
    if file is not None:
        if training:
            raise UsageError(f"--training: {target} holds no epochs; give its run instead")
        frames = film_packed(file, shot)
    else:
        from bnncli.training.runs import find_run

        run = find_run(target, runs_dir)
        frames = film_training(run, shot) if training else film_run(run, shot)
    write_gif(
        frames,
        output,
        scale=scale,
        seconds=seconds or (0.7 if training else 0.12),
        force=force,
    )
    if as_json:
        last = frames[-1]
        wrong = int(last.wrong.sum())
        print_json({"file": str(output), "frames": len(frames), "wrong_cells_at_the_end": wrong})
    else:
        sys.stdout.write(f"{output}\n")
