"""``bnn compare``: methods × data sets × seeds under one budget, as one resumable command."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnncli.cli.console import print_json, print_note, stderr, stdout
from bnncli.cli.options import (
    RUNS,
    AsJson,
    DataDir,
    Device,
    Offline,
    Quiet,
    RunsDir,
    check_threads,
    cores,
    numbers,
    option,
    toml_value,
)
from bnncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bnncli.compare.comparison import Watcher
    from bnncli.compare.engine import Engine
    from bnncli.compare.matrix import Matrix
    from bnncli.compare.results import CellResult, Comparison
    from bnncli.compare.runner import Conditions

MATRIX, BUDGET, WORKERS, RUN = "Matrix", "Budget (one of them)", "Workers", "Run"
COMPARISONS = Path("comparisons")
FEW_SEEDS = 3
STOPPED = 130

EPILOG = """Examples

[cyan]bnn compare adam-ste sgd-ste --data mnist --arch mlp --epochs 5[/]

[cyan]bnn compare float ternary --seeds 5 --seconds 30 --jobs 4[/]

[cyan]bnn compare --preset smoke[/]             # bnn list comparisons

[cyan]bnn compare --matrix mine.toml --engine dask --scheduler tcp://host:8786[/]

The same command again goes on where it was stopped; finished runs are reused."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", epilog=EPILOG)(compare_methods)


def compare_methods(
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="METHOD",
            help="Names from bnn list methods; of a preset or matrix, the methods to keep.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None, option("--preset", MATRIX, "A comparison from bnn list comparisons.")
    ] = None,
    matrix_file: Annotated[
        Path | None, option("--matrix", MATRIX, "A TOML file.", metavar="FILE")
    ] = None,
    data: Annotated[
        str | None, option("--data", MATRIX, "Data sets. Default: digits.", metavar="NAME,…")
    ] = None,
    seeds: Annotated[
        str | None,
        option("--seeds", MATRIX, "How many, or which: 5 or 0,3,7. Default: 3.", metavar="N|N,…"),
    ] = None,
    arch: Annotated[str | None, option("--arch", MATRIX, "Architecture of all methods.")] = None,
    widths: Annotated[
        str | None, option("--widths", MATRIX, "Hidden layer sizes of all.", metavar="N,…")
    ] = None,
    given: Annotated[
        list[str] | None,
        option(
            "--set",
            MATRIX,
            "A setting under all methods, such as train.lr=0.01; may be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    epochs: Annotated[
        int | None, option("--epochs", BUDGET, "As many epochs for every run.")
    ] = None,
    seconds: Annotated[
        float | None, option("--seconds", BUDGET, "As many seconds of training for every run.")
    ] = None,
    bits: Annotated[
        int | None,
        option("--bits", BUDGET, "As many stored bits of weights; hidden widths change to fit."),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", rich_help_panel=WORKERS, min=1, help="Runs at once here.")
    ] = 1,
    threads: Annotated[
        int | None,
        option("--threads", WORKERS, "Threads of each run. Default: cores / jobs.", min=1),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", rich_help_panel=WORKERS, help="local, dask or ray.")
    ] = "local",
    scheduler: Annotated[
        str | None,
        option("--scheduler", WORKERS, "Of dask or ray; all see the same folders.", metavar="URL"),
    ] = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    device: Device = "auto",
    runs_dir: RunsDir = RUNS,
    output: Annotated[
        Path | None,
        option("--output", RUN, "Folder of the report. Default: comparisons/NAME.", metavar="DIR"),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", rich_help_panel=RUN, help="Replace another comparison's report."),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare training methods on data sets with several seeds, under one budget."""
    matrix = build_matrix(
        methods or [],
        preset=preset,
        matrix_file=matrix_file,
        data=data,
        seeds=seeds,
        base=_base(arch, widths, given or []),
        budget={"epochs": epochs, "seconds": seconds, "bits": bits},
    )
    from bnncli.compare.engine import Engine

    workers = Engine(name=engine, jobs=jobs, scheduler=scheduler)
    folder = COMPARISONS / matrix.name if output is None else output
    # Workers elsewhere have another current folder.
    where = Path.absolute if workers.name != "local" else Path
    from bnncli.compare.runner import Conditions

    conditions = Conditions(
        folder=where(folder),
        runs_dir=where(runs_dir),
        data_dir=data_dir and where(data_dir),
        download=not offline,
        device=device,
        threads=_threads(threads, workers),
        command=shlex.join(["bnn", *sys.argv[1:]]),
        in_worker=workers.in_workers,
    )
    _compare(matrix, conditions, workers, force=force, as_json=as_json, quiet=quiet)


def _threads(given: int | None, engine: Engine) -> int | None:
    """Divide the cores among the jobs; alone or elsewhere, torch knows best."""
    if engine.name == "local":
        check_threads(given)
    if given is not None:
        return given
    return max(1, cores() // engine.jobs) if engine.jobs > 1 else None


def _base(arch: str | None, widths: str | None, given: Sequence[str]) -> dict[str, Any]:
    """Read the settings that lie under all methods."""
    base: dict[str, dict[str, Any]] = {}
    if arch is not None:
        base.setdefault("model", {})["arch"] = arch
    if widths is not None:
        base.setdefault("model", {})["widths"] = list(numbers("--widths", widths))
    for text in given:
        name, equals, value = text.partition("=")
        path = name.split(".")
        if len(path) < 2 or not all(path) or not equals:
            raise UsageError(f"--set {text}: expected NAME=VALUE, such as train.lr=0.01")
        table: Any = base
        for part in path[:-1]:  # also tables of options, such as train.optimizer_options.momentum
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {text}: {part} is given a value as well; give one of them")
        table[path[-1]] = toml_value(value)
    return base


def build_matrix(
    methods: Sequence[str],
    *,
    preset: str | None,
    matrix_file: Path | None,
    data: str | None,
    seeds: str | None,
    base: dict[str, Any],
    budget: dict[str, float | None],
) -> Matrix:
    """Read the matrix that flags describe; laid over a preset or file they make another one."""
    from bnncli.compare.matrix import Budget, Matrix, find_preset, parse_seeds, read_matrix
    from bnncli.compare.methods import check_partial, find_method, laid_over

    if preset is not None and matrix_file is not None:
        raise UsageError("--preset with --matrix: these contradict; give one of them")
    check_partial(base, "flags")
    changes: dict[str, Any] = {}
    if data is not None:
        changes["data"] = tuple(data.split(","))
    if seeds is not None:
        listed = numbers("--seeds", seeds, "0,3,7")
        changes["seeds"] = listed if "," in seeds else parse_seeds(listed[0])
    limits = {kind: amount for kind, amount in budget.items() if amount is not None}
    if len(limits) > 1:
        raise UsageError(f"--{' with --'.join(limits)}: these contradict; give one of them")
    if limits:
        changes["budget"] = Budget(*next(iter(limits.items())))
    if preset is None and matrix_file is None:
        chosen = tuple(find_method(name) for name in methods)
        matrix = Matrix(name="flags", methods=chosen, base=base, **changes)
        return replace(matrix, name=matrix.key)
    original = find_preset(preset) if preset is not None else read_matrix(Path(matrix_file or ""))
    matrix = replace(original, base=laid_over(original.base, base), **changes)
    matrix = matrix.select(methods) if methods else matrix
    return matrix if matrix == original else replace(matrix, name=f"{matrix.name}-{matrix.key}")


def _compare(
    matrix: Matrix,
    conditions: Conditions,
    engine: Engine,
    *,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from bnncli.compare.comparison import compare
    from bnncli.compare.folder import Folder

    again = f"go on with: {conditions.command}"
    began = time.perf_counter()
    try:
        with _watched(quiet=quiet) as watcher:
            comparison = compare(
                matrix, Folder(conditions.folder), conditions, engine, force=force, watcher=watcher
            )
    except KeyboardInterrupt as error:
        print_note(f"interrupted; {again}")
        raise typer.Exit(STOPPED) from error
    _report(comparison, conditions.folder, began, as_json=as_json, quiet=quiet)
    states = {cell.state for cell in comparison.cells}
    if "stopped" in states:
        # Said even when quiet: without it the checkpoints would go unnoticed.
        left = sum(cell.state == "stopped" for cell in comparison.cells)
        print_note(f"stopped and saved, {left} of {len(comparison.cells)} runs are left; {again}")
        raise typer.Exit(STOPPED)
    if "failed" in states:
        raise typer.Exit(1)


def _report(
    comparison: Comparison, folder: Path, began: float, *, as_json: bool, quiet: bool
) -> None:
    from bnncli.compare.report import to_dict, write_report
    from bnncli.compare.sentences import sentences
    from bnncli.compare.tables import terminal_table

    files = write_report(comparison, folder)
    if as_json:
        values = {**to_dict(comparison), "files": [str(file) for file in files]}
        print_json(values)
    else:
        console = stdout()
        console.print(terminal_table(comparison))
        for sentence in sentences(comparison):
            console.print(sentence, markup=False)
    if not quiet:
        for line in notes(comparison, time.perf_counter() - began):
            print_note(line)
        print_note(f"report {files[0]}, data {folder / 'results.json'}")


def notes(comparison: Comparison, seconds: float) -> list[str]:
    """Say what makes the comparison weak, and what it took besides its runs."""
    lines = []
    weak = weaknesses(comparison)
    if weak:
        lines.append(f"weak comparison: {'; '.join(weak)}")
    runs, reused = len(comparison.cells), sum(cell.reused for cell in comparison.cells)
    took = f"{runs} run{'s' * (runs != 1)} ({reused} reused) took {comparison.cell_seconds:.1f} s"
    jobs = comparison.environment["jobs"]
    if jobs > 1:
        took += f", up to {jobs} at a time"
    took += f"; with everything else {seconds:.1f} s"
    if jobs == 1 and reused < runs and comparison.cell_seconds:
        took += f", {100 * (seconds / comparison.cell_seconds - 1):.1f} % more"
    return [*lines, took]


def weaknesses(comparison: Comparison) -> list[str]:
    """List what makes a comparison unfair or weak."""
    found = []
    seeds = len({cell.seed for cell in comparison.cells})
    if seeds < FEW_SEEDS:
        found.append(f"{seeds} seed{'s' * (seeds > 1)}, give at least {FEW_SEEDS}")
    timed = any("epoch_seconds" in share for share in comparison.shares)
    epochs = {share["method"]: share["epochs"] for share in comparison.shares}
    if not timed and len(set(epochs.values())) > 1:
        counts = sorted(Counter(epochs.values()).items())
        listed = ", ".join(f"{many} for {number}" for number, many in counts)
        found.append(f"methods train for different numbers of epochs: {listed}")
    return found


@contextmanager
def _watched(*, quiet: bool) -> Iterator[Watcher]:
    """Show a bar on stderr where that is a terminal, and each failure as it happens."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from bnncli.compare.comparison import Watcher

    console = stderr()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    shown = console.is_terminal and not quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("checking", total=None)

        def on_result(result: CellResult) -> None:
            label = f"{result.method} on {result.data}, seed {result.seed}"
            bar.update(task, advance=1, description=label)
            if result.state == "failed" and not quiet:
                print_note(f"failed: {label}: {result.error}", bar.console)

        yield Watcher(
            on_plan=lambda total: bar.update(task, total=total, description=""),
            on_start=lambda cell: bar.update(
                task, description=f"{cell.method} on {cell.data}, seed {cell.seed}"
            ),
            on_result=on_result,
        )
