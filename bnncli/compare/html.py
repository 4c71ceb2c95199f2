"""The report of a comparison as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from bnncli.compare.sentences import failures, sentences
from bnncli.compare.tables import COLUMNS, LEGEND, PAIR_TITLES, pair_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

    from bnncli.compare.drawing import Drawn
    from bnncli.compare.results import Comparison
    from bnncli.compare.statistics import Analysis, Pair

_OUTSIDE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_NAMESPACE = re.compile(r'\sxmlns(:\w+)?="[^"]*"')
_REFERENCE = re.compile(r'(\sid="|href="#|url\(#)')
_SIZE = re.compile(r'\s(?:width|height)="[^"]*"')
_WIDTH = re.compile(r'\swidth="([\d.]+)pt"')


def html(comparison: Comparison, analyses: Sequence[Analysis], figures: Iterable[Drawn]) -> str:
    """Write the whole report, figures included, without a reference to anything outside."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files("bnncli.compare").joinpath("report.html").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(source).render(
        comparison=comparison,
        analyses=analyses,
        sentences=sentences(comparison, analyses),
        failures=failures(comparison),
        columns=COLUMNS,
        legend=LEGEND,
        pair_titles=PAIR_TITLES,
        pairs=_pairs,
        figures=[
            {"name": drawn.name, "caption": drawn.caption, "svg": inline_svg(drawn)}
            for drawn in figures
        ],
    )


def _pairs(analysis: Analysis) -> Iterable[tuple[Pair, list[str]]]:
    return zip(analysis.pairs, pair_rows(analysis), strict=True)


def inline_svg(drawn: Drawn) -> Markup:
    """Turn a figure's SVG into an element for a page that holds several.

    Identifiers get the figure's name in front, because two figures may use the same ones; the
    size becomes a width that a narrow screen can scale; words for the blind stand at its head.
    """
    from markupsafe import Markup, escape

    text = _OUTSIDE.sub("", drawn.svg.decode("utf-8")).strip()
    text = _TAG.sub(lambda tag: _REFERENCE.sub(rf"\g<1>{drawn.name}-", tag[0]), text)
    root = _TAG.search(text)
    assert root is not None  # matplotlib wrote it
    width = _WIDTH.search(root[0])
    assert width is not None
    style = f'style="max-width: {float(width[1]) * 4 / 3:.0f}px"'
    plain = _SIZE.sub("", _NAMESPACE.sub("", root[0]))
    head = f'{plain[:-1]} role="img" aria-label="{escape(drawn.alt)}" {style}>'
    # Every other source of this text is matplotlib, which escapes the names that it writes.
    return Markup(text[: root.start()] + head + text[root.end() :])
