"""Published accuracies: read from text, held against a measured interval."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIGURE = re.compile(
    r"(?:(?P<data>[\w-]+):\s*)?"
    r"(?P<mean>\d{1,3}(?:\.(?P<digits>\d+))?)"
    r"(?:\s*(?:±|\+/-)\s*(?P<sd>\d+(?:\.\d+)?))?\s*%?"
)


@dataclass(frozen=True)
class Published:
    """A published accuracy in percent; ``step`` is one unit of its last printed digit."""

    data: str | None
    mean: float
    sd: float | None
    step: float


def parse_published(text: str) -> tuple[Published, ...]:
    """Read figures like ``94.36 ± 0.76``, ``96.26 %`` or ``mnist: 94.36; cifar10: 71.4``.

    Percent, a point for the decimals, the data set before a colon where there are several. A text
    of any other form gives nothing: it is shown and not compared.
    """
    figures = []
    for part in text.split(";"):
        match = _FIGURE.fullmatch(part.strip())
        if match is None or float(match["mean"]) > 100:
            return ()
        figures.append(
            Published(
                data=match["data"],
                mean=float(match["mean"]),
                sd=None if match["sd"] is None else float(match["sd"]),
                step=10.0 ** -len(match["digits"] or ""),
            )
        )
    return tuple(figures)


def published_on(text: str, data: str, *, only: bool) -> Published | None:
    """Give the figure for a data set; one that names none counts for a method's ``only`` set."""
    for figure in parse_published(text):
        if figure.data == data or (figure.data is None and only):
            return figure
    return None


def shown_on(text: str, data: str) -> str:
    """Give what of a text concerns a data set, without its name; a text that is no figure whole."""
    if not parse_published(text):
        return text
    parts = [part.strip().rpartition(":") for part in text.split(";")]
    return "; ".join(figure.strip() for of, _, figure in parts if of in ("", data))


def verdict_of(
    text: str, low: float | None, high: float | None, *, data: str, only: bool
) -> str | None:
    """Say how measured accuracy stands to the published one, None where that cannot be said.

    ``compatible``: the figure lies in our interval (fractions), give or take half its last digit;
    ``higher`` or ``lower``: our whole interval lies above or below it.
    """
    figure = published_on(text, data, only=only)
    if figure is None or low is None or high is None:
        return None
    slack = figure.step / 2 + 1e-9
    if 100 * low > figure.mean + slack:
        return "higher"
    return "lower" if 100 * high < figure.mean - slack else "compatible"
