"""Tables that a notebook shows as HTML and a terminal as text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from bnncli.compare.tables import COLUMNS
from bnncli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.compare.statistics import Analysis

GAP = "  "
TOP = "caption-side: top; text-align: left"
CELL = "padding: 0.2rem 0.5rem; white-space: nowrap; text-align: "


@dataclass(frozen=True, repr=False)
class Table:
    """A caption, a title for each column and rows of text; a row's first cell is its head.

    ``words`` are the columns, counted from 0, that are aligned to the left; numbers stand to the
    right. As HTML the caption, the scope of every head and the name of the scrolling region are
    there for readers who do not see it.
    """

    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.titles):
                raise UsageError(
                    f"Table: a row of {len(row)} cells under {len(self.titles)} titles "
                    f"({' | '.join(row)}); give one cell for each title"
                )

    def __str__(self) -> str:
        """Write the caption, the titles and the rows in columns of equal width."""
        lines = [self.titles, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = [GAP.join(self._aligned(line, widths)).rstrip() for line in lines]
        return "\n".join([self.caption, *texts])

    __repr__ = __str__

    def _aligned(self, cells: Sequence[str], widths: Sequence[int]) -> list[str]:
        return [
            cell.ljust(width) if index in self.words else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]

    def _repr_html_(self) -> str:
        caption = escape(self.caption, quote=True)
        head = "".join(self._cell("th", "col", i, text) for i, text in enumerate(self.titles))
        rows = "".join(
            f"<tr>{''.join(self._cell('td', 'row', i, text) for i, text in enumerate(row))}</tr>\n"
            for row in self.rows
        )
        return (
            f'<div role="region" aria-label="{caption}" tabindex="0" style="overflow-x: auto">\n'
            f'<table style="font-size: 0.85rem">\n<caption style="{TOP}">{caption}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>"
        )

    def _cell(self, tag: str, scope: str, index: int, text: str) -> str:
        heads = scope == "col" or index == 0
        name = f'th scope="{scope}"' if heads else tag
        side = "left" if index in self.words else "right"
        return f'<{name} style="{CELL}{side}">{escape(text)}</{"th" if heads else tag}>'


def methods_table(analysis: Analysis, caption: str, columns: Sequence[str] = ()) -> Table:
    """Tabulate the methods of one data set, best mean first, in columns of ``bnn compare``.

    ``columns`` are titles of :data:`bnncli.compare.tables.COLUMNS`; without any, all of them.
    """
    known = {column.title: column for column in COLUMNS}
    for title in columns:
        if title not in known:
            raise unknown_name("column", title, list(known))
    chosen = [known[title] for title in columns or known]
    return Table(
        caption=caption,
        titles=tuple(column.title for column in chosen),
        rows=tuple(tuple(c.text(summary) for c in chosen) for summary in analysis.summaries),
        words=tuple(index for index, column in enumerate(chosen) if column.left),
    )
