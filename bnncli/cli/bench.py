"""``bnn bench``: what this machine makes of kernels, packed models and training steps."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnncli.bench.suites import SUITES
from bnncli.cli.console import kib, print_json, print_note, stderr, stdout, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bnncli.bench.harness import Spread
    from bnncli.bench.report import Report
    from bnncli.bench.suites import Suite

app = typer.Typer(
    name="bench",
    help="Time kernels, packed models and training steps, side by side in one process.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Filter = Annotated[
    str,
    typer.Option(
        "--filter",
        "-k",
        metavar="PATTERN",
        help="Only cases whose name contains this; * and ? are wildcards.",
        show_default=False,
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option("--seconds", help="Time for all cases together; each gets a few rounds at least."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of torch; the kernels use one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Also write the JSON object here."),
]


def _add(suite: Suite) -> None:
    threads = "torch's own number" if suite.threads is None else str(suite.threads)
    text = f"{suite.summary}\n\nBy default {suite.seconds:g} seconds, torch threads: {threads}."

    def command(
        pattern: Filter = "",
        seconds: Seconds = None,
        threads: Threads = None,
        as_json: AsJson = False,
        output: Output = None,
    ) -> None:
        _run(suite, pattern, seconds, threads, as_json, output)

    app.command(suite.name, help=text, epilog=f"Example: bnn bench {suite.name} --json")(command)


for _suite in SUITES.values():
    _add(_suite)


def _run(
    suite: Suite,
    pattern: str,
    seconds: float | None,
    threads: int | None,
    as_json: bool,
    output: Path | None,
) -> None:
    # Read when numpy loads; its idle threads would spin beside the contender after it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from bnncli.bench.report import run_suite, write_report

    with _progress() as progress:
        report = run_suite(
            suite, pattern=pattern, seconds=seconds, threads=threads, progress=progress
        )
    if output is not None:
        write_report(report, output)
    if as_json:
        print_json(report.to_dict())
        return
    _print_report(report)
    if output is not None:
        print_note(f"wrote {output}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on stderr where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = stderr()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, name: bar.update(
            task, completed=done, total=total, description=name
        )


def _fact(value: float | str) -> str:
    """Show counts as they are and measures in four digits."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _print_report(report: Report) -> None:
    console = stdout()
    titles, rows = report_rows(report)
    if rows:
        console.print(table(titles, rows, left=2))
    facts = [
        (result.case, name, _fact(value))
        for result in report.results
        for name, value in result.facts.items()
    ]
    if facts:
        console.print(table(("case", "observed", "value"), facts, left=2))
    machine = report.machine
    loads = " → ".join(f"{load[0]:.1f}" for load in (report.load_before, report.load_after) if load)
    print_note(
        f"{machine['cpu']}, {machine['cpus']} CPUs, load {loads or 'unknown'} · kernels "
        f"{machine['kernels']} (1 thread) · torch {machine['torch']} ({report.threads} threads) · "
        f"bnn {machine['bnn']} {machine['revision'] or ''}\n"
        "Medians with the quartiles around them; × is how often a contender's time fits into that "
        "of the fastest baseline (1.00 ×), cost the other way round.",
        console,
    )


def report_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Lay timings out: titles and rows, without the columns that no row fills."""
    from bnncli.bench.report import rates

    peak = report.float_peak
    titles = ["case", "contender", "time", "quartiles", "rounds", "×", "quartiles", "cost"]
    titles += [title for title, _, _ in RATE_COLUMNS] + ["× peak", "size"]
    rows = []
    for result in report.results:
        for timing in result.timings:
            row = [result.case, timing.contender, duration(timing.seconds.median)]
            row += [_quartiles(timing.seconds, duration), str(timing.rounds)]
            row += [f"{timing.ratio.median:.2f}", _quartiles(timing.ratio, "{:.2f}".format)]
            row.append(f"{1 / timing.ratio.median:.3f}" if result.work.steps else "")
            reached = rates(result.work, timing)
            row += [
                f"{reached[rate] / unit:,.4g}" if rate in reached else ""
                for _, rate, unit in RATE_COLUMNS
            ]
            operations = reached.get("operations_per_second")
            row.append(f"{operations / peak:.2f}" if operations and peak else "")
            row.append("" if timing.size_bytes is None else kib(timing.size_bytes))
            rows.append(row)
    filled = [i for i in range(len(titles)) if any(row[i] for row in rows)]
    return [titles[i] for i in filled], [[row[i] for i in filled] for row in rows]


RATE_COLUMNS = (
    ("Gop/s", "operations_per_second", 1e9),
    ("GB/s", "bytes_per_second", 1e9),
    ("images/s", "images_per_second", 1),
    ("steps/s", "steps_per_second", 1),
    ("Ggate/s", "gates_per_second", 1e9),
    ("Gcell/s", "cells_per_second", 1e9),
)
"""Title, name and unit of each rate."""


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it, with four digits.

    >>> duration(0.0000123456)
    '12.35 µs'
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.4g} {unit}"
    return f"{seconds / 1e-6:.4g} µs"


def _quartiles(spread: Spread, text: Callable[[float], str]) -> str:
    return f"{text(spread.low)} – {text(spread.high)}"
