"""The table of a comparison: for the terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnncli.compare.sentences import FORM, failures, interval, p_text, points, sentences
from bnncli.compare.statistics import analyze

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from bnncli.compare.drawing import Drawn
    from bnncli.compare.results import Comparison
    from bnncli.compare.statistics import Analysis, Estimate, Summary

__all__ = [
    "COLUMNS",
    "Column",
    "markdown",
    "methods_csv",
    "pair_rows",
    "runs_csv",
    "sentences",
    "terminal_table",
]

GAP = 2
FOLDED = 28
"""Names longer than this are folded before a column is left out."""


@dataclass(frozen=True)
class Column:
    """A column: its title, what its cells say, and how much it matters (0 always stays).

    ``value`` gives the number that a sortable table orders by.
    """

    title: str
    text: Callable[[Summary], str]
    rank: int = 0
    value: Callable[[Summary], float | None] = lambda _: None
    left: bool = False


def _mean(value: Estimate | None, digits: int = 2, *, percent: bool = True) -> str:
    if value is None:
        return "–"
    factor = 100 if percent else 1
    mean = f"{factor * value.mean:,.{digits}f}"
    return mean if value.sd is None else f"{mean} ± {factor * value.sd:.{digits}f}"


def _center(value: Estimate | None) -> float | None:
    return None if value is None else value.mean


def _epochs(summary: Summary) -> str:
    low, high = summary.epochs
    return str(high) if low == high else f"{low}–{high}"


def _kib(n_bytes: int | None) -> str:
    return "–" if n_bytes is None else f"{n_bytes / 1024:,.1f}"


def _mib(n_bytes: int | None) -> str:
    return "–" if n_bytes is None else f"{n_bytes / 1024**2:,.1f}"


def _flips(value: Estimate | None) -> str:
    return "–" if value is None else f"{100 * value.mean:.3g}"


COLUMNS = (
    Column("method", lambda s: s.method, left=True),
    Column("hard (%)", lambda s: _mean(s.hard), value=lambda s: s.hard.mean),
    Column("95 % interval", lambda s: interval(s.hard), 2, lambda s: s.hard.low),
    Column("packed (%)", lambda s: _mean(s.packed), 7, lambda s: _center(s.packed)),
    Column("seeds", lambda s: str(s.hard.n), 1, lambda s: s.hard.n),
    Column("published (%)", lambda s: s.published or "–", 3),
    Column("ours is", lambda s: s.verdict or "–", 4),
    Column("epochs", _epochs, 9, lambda s: s.epochs[1]),
    Column(
        "seconds",
        lambda s: _mean(s.seconds, 1, percent=False),
        5,
        lambda s: _center(s.seconds),
    ),
    Column("param. KiB", lambda s: _kib(s.parameter_bytes), 10, lambda s: s.parameter_bytes),
    Column("grad. KiB", lambda s: _kib(s.gradient_bytes), 12, lambda s: s.gradient_bytes),
    Column("optim. KiB", lambda s: _kib(s.optimizer_bytes), 6, lambda s: s.optimizer_bytes),
    Column("peak MiB", lambda s: _mib(s.peak_resident_bytes), 11, lambda s: s.peak_resident_bytes),
    Column("last flips (%)", lambda s: _flips(s.flip_rate), 8, lambda s: _center(s.flip_rate)),
)
"""The columns of the table of methods."""
LEGEND = (
    f"{FORM}; mean ± standard deviation over the seeds, and the 95 % interval of the mean. Bytes are "
    "those of the tensors held while training (parameters, gradients, optimizer state); peak is "
    "the resident memory of the whole process; last flips is the share of weights that changed in "
    "the last epoch."
)


@dataclass(frozen=True)
class TerminalTable:
    """The tables of all data sets; a narrow terminal gets fewer columns, and no cell is cut."""

    comparison: Comparison
    analyses: tuple[Analysis, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for the width at hand."""
        from rich.text import Text

        for analysis in self.analyses:
            columns = fitting(analysis.summaries, options.max_width)
            yield Text(f"{analysis.data}: test accuracy, hard form; epoch chosen on validation")
            yield _grid(columns, analysis.summaries)
            gone = [column.title for column in COLUMNS if column not in columns]
            if gone:
                yield Text(f"wider terminals also show: {', '.join(gone)}", style="dim")
            yield Text("")
        for line in failures(self.comparison):
            yield Text(line, style="red", overflow="fold")


def terminal_table(
    comparison: Comparison, analyses: tuple[Analysis, ...] | None = None
) -> TerminalTable:
    """Give the tables as something that a rich console prints."""
    return TerminalTable(comparison, analyze(comparison) if analyses is None else analyses)


def fitting(summaries: Sequence[Summary], width: int) -> list[Column]:
    """Choose the columns that fit a width, leaving out first what matters least.

    The method's name is the first column, and always there.
    """
    from rich.cells import cell_len

    chosen = list(COLUMNS)
    while any(column.rank for column in chosen):
        widths = [
            max(cell_len(column.title), *(cell_len(column.text(s)) for s in summaries))
            for column in chosen
        ]
        widths[0] = min(widths[0], FOLDED)
        if sum(widths) + GAP * (len(widths) - 1) <= width:
            break
        chosen.remove(max(chosen, key=lambda column: column.rank))
    return chosen


def _grid(columns: Sequence[Column], summaries: Iterable[Summary]) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for column in columns:
        justify: Any = "left" if column.left else "right"
        # Only the name may fold: a number broken over two lines is read as two numbers.
        grid.add_column(column.title, justify=justify, overflow="fold", no_wrap=not column.left)
    for summary in summaries:
        grid.add_row(*(Text(column.text(summary)) for column in columns))
    return grid


def pair_rows(analysis: Analysis) -> list[list[str]]:
    """Give the rows of the pairwise table: names, difference, interval, seeds, p, corrected p."""
    rows = []
    for pair in analysis.pairs:
        difference = pair.difference
        rows.append(
            [
                pair.better,
                pair.other,
                "–" if difference is None else points(difference.mean),
                "–" if difference is None else interval(difference),
                str(len(pair.seeds)),
                p_text(pair.p),
                p_text(pair.corrected),
            ]
        )
    return rows


PAIR_TITLES = (
    "method",
    "against",
    "difference (points)",
    "95 % interval",
    "common seeds",
    "p",
    "p after Holm",
)


def markdown(
    comparison: Comparison,
    analyses: Sequence[Analysis] | None = None,
    figures: Iterable[Drawn] = (),
) -> str:
    """Write the comparison as Markdown: budget, sentences, tables, figures, failures, command."""
    analyses = analyze(comparison) if analyses is None else analyses
    found = sentences(comparison, analyses)
    parts = [f"# {comparison.name}", comparison.about, f"Budget: {comparison.budget}"]
    parts += ["## Findings", _list(found or ["No run has finished: there is nothing to compare."])]
    for analysis in analyses:
        parts += _markdown_results(analysis)
    images = [f"![{f.alt}](figures/{f.name}.svg)\n\n{f.caption}" for f in figures]
    parts += ["## Figures", *images] if images else []
    failed = failures(comparison)
    parts += ["## Runs that are not in the means", _list(failed)] if failed else []
    rows = [[m.name, m.about, m.published or "–", m.note] for m in comparison.methods]
    titles = ("method", "what it is", "published (%)", "form and source of the figure")
    made = [f"{key}: {value}" for key, value in comparison.environment.items()]
    parts += [
        "## Methods",
        _markdown_table(titles, rows, [True] * len(titles)),
        "## How it was made",
        "\n".join(f"    {line}" for line in comparison.command.splitlines()),
        _list([f"wall time: {comparison.wall_seconds:,.1f} s", *made]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _markdown_results(analysis: Analysis) -> list[str]:
    rows = [[column.text(summary) for column in COLUMNS] for summary in analysis.summaries]
    left = [column.left for column in COLUMNS]
    table = _markdown_table([column.title for column in COLUMNS], rows, left)
    parts = [f"## Results on {analysis.data}", LEGEND, table]
    if analysis.pairs:
        pairs = [row for row in pair_rows(analysis) if row[0] == analysis.best.method]
        table = _markdown_table(PAIR_TITLES, pairs, [True, True])
        parts += [f"Against {analysis.best.method} (all pairs: `results.json`):", table]
    return parts


def _markdown_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[bool]
) -> str:
    def line(cells: Iterable[str]) -> str:
        # A bar or a line break inside a cell would end it.
        return "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in cells) + " |"

    rule = ["---" if index < len(left) and left[index] else "---:" for index in range(len(titles))]
    return "\n".join([line(titles), line(rule), *(line(row) for row in rows)])


RUN_FIELDS = (
    "validation_hard_accuracy",
    "test_hard_accuracy",
    "test_packed_accuracy",
    "best_epoch",
    "train_seconds",
    "step_seconds",
    "validation_seconds",
    "packed_bytes",
)
MEMORY_FIELDS = (
    "parameter_bytes",
    "buffer_bytes",
    "gradient_bytes",
    "optimizer_bytes",
    "peak_resident_bytes",
)


def runs_csv(comparison: Comparison) -> str:
    """Write one line for each run; accuracies are fractions, absent values empty."""
    own = ("method", "data", "seed", "run", "state", "error", "reused", "wall_seconds")
    last = ("epochs", "last_flip_rate")
    rows = []
    for cell in comparison.cells:
        memory = cell.result.get("memory") or {}
        rows.append(
            [
                *(getattr(cell, name) for name in own),
                *(cell.result.get(name) for name in RUN_FIELDS),
                *(memory.get(name) for name in MEMORY_FIELDS),
                len(cell.epochs),
                cell.epochs[-1].get("flip_rate") if cell.epochs else None,
            ]
        )
    return _csv([*own, *RUN_FIELDS, *MEMORY_FIELDS, *last], rows)


def methods_csv(analyses: Iterable[Analysis]) -> str:
    """Write one line for each method on each data set; accuracies are fractions."""
    estimates = ("hard", "packed", "validation", "seconds", "flip_rate")
    parts = ("n", "mean", "sd", "low", "high")
    plain = (
        *("parameter_bytes", "gradient_bytes", "optimizer_bytes", "state_bytes"),
        *("peak_resident_bytes", "published", "verdict"),
    )
    titles = ["data", "method", *(f"{name}_{part}" for name in estimates for part in parts)]
    rows: list[list[Any]] = []
    for analysis in analyses:
        for summary in analysis.summaries:
            values = [
                getattr(getattr(summary, name), part, None) for name in estimates for part in parts
            ]
            more = [getattr(summary, name) for name in plain]
            rows.append([analysis.data, summary.method, *values, *summary.epochs, *more])
    return _csv([*titles, "epochs_least", "epochs_most", *plain], rows)


def _csv(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return out.getvalue()
