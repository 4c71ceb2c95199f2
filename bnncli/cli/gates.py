"""``bnn gates``: which functions the gates of a network became, layer by layer."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 (typer reads annotations)
from typing import TYPE_CHECKING, Annotated

from bnncli.cli.console import NARROW, percent, print_json, print_note, stdout
from bnncli.cli.options import RUNS, AsJson, RunsDir, Target, option, packed_file
from bnncli.errors import UsageError

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from bnncli.views import GateLayer, GateView

EPILOG = """Examples

[cyan]bnn gates gol[/]                  # a bar of functions for each layer

[cyan]bnn gates gol --layer 3[/]        # a row for each gate of the third layer

[cyan]bnn gates gol -o gates.png[/]     # the same as a figure"""

BAR = 32
NARROW_BAR = 16


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gates", epilog=EPILOG)(gates)


def gates(
    target: Target = None,
    layer: Annotated[
        int | None,
        option("--layer", "Run", "Show each gate of the N-th layer instead.", metavar="N", min=1),
    ] = None,
    output: Annotated[
        Path | None,
        option(
            "--output", "Run", "Draw the layers to a .png, .svg or .pdf.", "-o", metavar="FIGURE"
        ),
    ] = None,
    runs_dir: RunsDir = RUNS,
    as_json: AsJson = False,
) -> None:
    """Show what the gates of a network compute, how sure they are and how many are live."""
    from bnncli.views import view_file, view_run

    if output is not None:
        from bnncli.views.figure import check_figure_name

        check_figure_name(output)
    file = packed_file(target)
    if file is not None:
        view = view_file(file)
    else:
        from bnncli.training.runs import find_run

        view = view_run(find_run(target, runs_dir))
    shown = None if layer is None else _pick(view, layer)
    if output is not None:
        from bnncli.views.figure import draw_gates

        draw_gates(view, output)
        print_note(f"wrote {output}")
    if as_json:
        print_json(view.to_dict())
    elif shown is not None:
        _print_gates(view, shown)
    else:
        _print_layers(stdout(), view)


def _pick(view: GateView, number: int) -> GateLayer:
    if number > len(view.layers):
        raise UsageError(f"--layer {number}: {view.source} has {len(view.layers)} layers of gates")
    return view.layers[number - 1]


def _print_gates(view: GateView, layer: GateLayer) -> None:
    from bnncli.views.text import gate_rows

    print_note(f"{view.source}, {layer.name}: gate, function, inputs a and b, {_columns(layer)}")
    for row in gate_rows(layer):
        sys.stdout.write(row + "\n")


def _columns(layer: GateLayer) -> str:
    if layer.relaxed is None:
        return "outputs for the inputs 00 10 01 11"
    if layer.relaxed.parametrization == "softmax":
        return "16 logits (█ > 1, ▄ 0 to 1, ▁ < 0) by truth table, confidence"
    return "relaxed outputs for the inputs 00 10 01 11, confidence"


def _print_layers(console: Console, view: GateView) -> None:
    from rich.table import Table

    from bnncli.gates import declared_gates
    from bnncli.views.text import bar, legend

    console.print(
        f"{view.source}: {declared_gates(view.declared)}, {view.live:,} live",
        markup=False,
        soft_wrap=True,
    )
    width = NARROW_BAR if console.width < NARROW else BAR
    relaxed = all(layer.relaxed is not None for layer in view.layers)
    wires = any(layer.relaxed and layer.relaxed.wire_weights is not None for layer in view.layers)
    kind = "declared" if view.in_layers == view.declared else "learned"
    titles = ["layer", "functions", kind, "live", "trivial"]
    titles += ["confidence"] * relaxed + ["wires"] * wires
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, title in enumerate(titles):
        grid.add_column(title, justify="left" if index < 2 else "right", no_wrap=index == 1)
    for layer in view.layers:
        found = layer.to_dict()
        cells = [
            f"{found['gates_in_layer']:,}",
            "–" if found["live_gates"] is None else f"{found['live_gates']:,}",
            percent(found["trivial_share"], 0),
        ]
        if relaxed:
            cells.append(f"{found['mean_confidence']:.3f}")
        if wires:
            weight = found["mean_wire_weight"]
            cells.append("–" if weight is None else f"{weight:.3f}")
        grid.add_row(layer.name, bar(layer, width), *cells)
    console.print(grid)
    for line in legend():
        console.print(line)
