"""``bnn runs``: what past runs were and what they reached."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003 (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnncli.cli.console import NARROW, percent, print_json, print_note, stdout, table
from bnncli.cli.options import RUNS, AsJson, LatestRun, RunsDir
from bnncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.training.history import RunRow
    from bnncli.training.runs import Run

SHOWN_EPOCHS = 10

app = typer.Typer(
    help="List, show, plot, compare and summarize runs.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Examples

[cyan]bnn runs list[/]

[cyan]bnn runs show smallconv --plot curve.png[/]""",
)


@app.command("list", epilog="Examples\n\n[cyan]bnn runs list[/]\n\n[cyan]bnn runs list --json[/]")
def list_command(runs_dir: RunsDir = RUNS, as_json: AsJson = False) -> None:
    """List the runs, oldest first."""
    from bnncli.training.history import run_row
    from bnncli.training.runs import list_runs

    rows = [run_row(run) for run in list_runs(runs_dir)]
    if as_json:
        print_json({"runs": [row.to_dict() for row in rows]})
        return
    if not rows:
        print_note(f"no runs in {runs_dir}; train one: bnn train --arch smallconv --binary")
        return
    console = stdout()
    columns = [0, 3, 4, 5] if console.width < NARROW else range(len(LIST_TITLES))
    cells = [_list_cells(row) for row in rows]
    titles = [LIST_TITLES[i] for i in columns]
    console.print(
        table(titles, [[row[i] for i in columns] for row in cells], left=2 - (len(columns) < 6))
    )
    _print_problems(rows)


LIST_TITLES = ("run", "weights/acts", "seed", "epochs", "val hard", "test hard")


def _list_cells(row: RunRow) -> tuple[str, ...]:
    if row.problem is not None:
        return (row.name, "–", "–", "–", "–", row.state)
    return (
        row.name,
        f"{row.weights}/{row.activations}",
        str(row.seed),
        f"{row.epochs_done}/{row.epochs}",
        percent(row.validation_hard_accuracy),
        row.state if row.test_hard_accuracy is None else percent(row.test_hard_accuracy),
    )


def _print_problems(rows: Sequence[RunRow]) -> None:
    for row in rows:
        if row.problem is not None:
            print_note(f"{row.state}: {row.problem}")


@app.command(
    "show",
    epilog="Examples\n\n[cyan]bnn runs show[/]\n\n[cyan]bnn runs show smallconv --plot curve.png[/]",
)
def show_command(
    run: LatestRun = None,
    runs_dir: RunsDir = RUNS,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw loss and hard accuracy to a .png, .svg or .pdf.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: settings, result, last epochs, environment and files."""
    from bnncli.training.runs import find_run

    found = find_run(run, runs_dir)
    if plot is not None:
        from bnncli.training.curves import plot_curves

        plot_curves({found.name: found.metrics()}, plot)
        print_note(f"wrote {plot}")
    values = description(found)
    if as_json:
        print_json(values)
    else:
        _print_description(values)


def description(run: Run) -> dict[str, Any]:
    """Collect everything a run's directory says."""
    from bnncli.training.history import flat_settings, run_row

    return {
        "run": str(run.path),
        "state": run_row(run).state,
        "settings": flat_settings(run),
        "result": run.result(),
        "epochs": run.metrics(),
        "starts": run.starts(),
        "files": {
            path.name: path.stat().st_size for path in sorted(run.path.iterdir()) if path.is_file()
        },
    }


def _print_description(values: dict[str, Any]) -> None:
    from bnncli.cli.progress import TITLES, epoch_cells, fitting
    from bnncli.training.records import EpochRecord

    console = stdout()
    console.print(f"{values['run']}: {values['state']}", markup=False, soft_wrap=True)
    for title, pairs in (("setting", values["settings"]), ("result", values["result"])):
        if pairs:
            console.print()
            rows = [(name, _shown(value)) for name, value in pairs.items()]
            console.print(table((title, "value"), rows, left=2))
    records = [EpochRecord(**row) for row in values["epochs"]]
    if records:
        # Of equals the later one, as in training.
        best = max(records, key=lambda record: (record.hard_accuracy, record.epoch)).epoch
        console.print()
        cells = [
            fitting(epoch_cells(record, record.epoch == best), console.width)
            for record in records[-SHOWN_EPOCHS:]
        ]
        console.print(table(fitting(TITLES, console.width), cells, left=0))
    for start in values["starts"]:
        console.print()
        rows = [(name, str(value)) for name, value in start.items()]
        console.print(table(("environment", "value"), rows, left=2))
    console.print()
    rows = [(name, f"{n_bytes:,}") for name, n_bytes in values["files"].items()]
    console.print(table(("file", "bytes"), rows))


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@app.command("compare", epilog="Examples\n\n[cyan]bnn runs compare smallconv bnn-mlp[/]")
def compare_command(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder or name.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The other one.")],
    runs_dir: RunsDir = RUNS,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw both curves.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs: the settings that differ, and the results side by side."""
    from bnncli.training.history import settings_that_differ
    from bnncli.training.runs import find_run

    pair = find_run(first, runs_dir), find_run(second, runs_dir)
    if pair[0].path == pair[1].path:
        raise UsageError(f"{pair[0].path} compared with itself; give two different runs")
    if plot is not None:
        from bnncli.training.curves import plot_curves

        plot_curves({run.name: run.metrics() for run in pair}, plot)
        print_note(f"wrote {plot}")
    differ = settings_that_differ(*pair)
    results = [run.result() for run in pair]
    if as_json:
        names = [str(run.path) for run in pair]
        print_json({"runs": names, "settings_that_differ": differ, "results": results})
        return
    console = stdout()
    titles = ("", *(run.name for run in pair))
    rows = [
        (name, *("–" if v is None else _shown(v) for v in both)) for name, both in differ.items()
    ]
    keys = [*results[0], *(key for key in results[1] if key not in results[0])]
    rows += [(key, *(_shown(result.get(key, "–")) for result in results)) for key in keys]
    console.print(table(titles, rows))


@app.command(
    "summary",
    epilog="Examples\n\n[cyan]bnn runs summary[/]\n\n[cyan]bnn runs summary 'smallconv-*' --json[/]",
)
def summary_command(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Runs to take; * and ? are wildcards.")
    ] = "*",
    runs_dir: RunsDir = RUNS,
    as_json: AsJson = False,
) -> None:
    """Average finished runs that differ in their seed alone."""
    from bnncli.training.history import summarize_seeds
    from bnncli.training.runs import list_runs

    found, unreadable = summarize_seeds(list_runs(runs_dir), pattern)
    if as_json:
        summaries = [asdict(summary) for summary in found]
        print_json({"summaries": summaries, "unreadable": [row.to_dict() for row in unreadable]})
        return
    _print_problems(unreadable)
    if not found:
        print_note(f"no finished runs in {runs_dir} match {pattern}")
        return
    rows = [
        (
            summary.label,
            str(len(summary.seeds)),
            _plus_minus(summary.mean_test_hard_accuracy, summary.deviation),
            f"{summary.mean_train_seconds:.1f}",
        )
        for summary in found
    ]
    stdout().print(table(("recipe or first run", "seeds", "test hard", "train s"), rows))


def _plus_minus(mean: float, deviation: float | None) -> str:
    spread = "" if deviation is None else f" ± {100 * deviation:.2f}"
    return f"{100 * mean:.2f}{spread} %"
