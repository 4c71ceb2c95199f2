"""Patterns of two-state cellular automata in run-length encoded (RLE) text.

    #N Glider                     comments: lines that begin with #, #N is the name
    x = 3, y = 3, rule = B3/S23   width, height and perhaps the rule
    bob$2bo$3o!                   runs: b dead, o alive, $ end of row, ! end of pattern

A number before b, o or $ repeats it; dead cells at the end of a row may be left out; what follows
the ``!`` is a comment. The format is that of the collections of patterns for Conway's Life.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from bnncli.data.rules import canonical_rule
from bnncli.errors import BnnError, UsageError, unknown_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "patterns"
MAX_CELLS = 2**24
LINE_WIDTH = 70
"""Characters of a line that other programs are sure to read."""

_HEADER = re.compile(
    r"x\s*=\s*(?P<x>\d{1,9})\s*,\s*y\s*=\s*(?P<y>\d{1,9})\s*(?:,\s*rule\s*=\s*(?P<rule>.*\S))?",
    re.IGNORECASE,
)
_RUN = re.compile(r"\s*(\d*)\s*(\S?)")


@dataclass(frozen=True, eq=False)
class Pattern:
    """Cells with a name; the rule, where the file names one, in its one spelling.

    Shape: cells (height, width) uint8, 0 dead, 1 alive.
    """

    name: str
    cells: NDArray[np.uint8]
    rule: str | None = None


def pattern_names() -> list[str]:
    """List the patterns that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.rle"))


def load_pattern(name_or_path: str) -> Pattern:
    """Read a pattern by name, or from an RLE file by its path."""
    path = Path(name_or_path)
    if name_or_path in pattern_names():
        path = FOLDER / f"{name_or_path}.rle"
    elif not path.suffix and not path.is_file():
        raise unknown_name("pattern", name_or_path, pattern_names())
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BnnError(f"{path}: not UTF-8 text; give a pattern as RLE text") from error
    return read_rle(text, str(path), name=path.stem)


def read_rle(text: str, source: str = "pattern", *, name: str = "") -> Pattern:
    """Parse RLE text; ``source`` stands in messages, ``name`` for a pattern that has none."""
    lines = text.split("\n")
    at = 0
    while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith("#")):
        if lines[at].lstrip().startswith("#N"):
            name = lines[at].lstrip()[2:].strip() or name
        at += 1
    header = _HEADER.fullmatch(lines[at].strip()) if at < len(lines) else None
    if header is None:
        found = repr(lines[at].strip()[:40]) if at < len(lines) else "the end"
        raise BnnError(
            f"{source}:{min(at, len(lines) - 1) + 1}: found {found}, expected a header such as "
            f"x = 3, y = 3, rule = B3/S23"
        )
    width, height = int(header["x"]), int(header["y"])
    if not 0 < width * height <= MAX_CELLS:
        raise BnnError(
            f"{source}:{at + 1}: {width} by {height} cells, expected at least 1 by 1 and at most "
            f"{MAX_CELLS:,} cells"
        )
    rule = None if header["rule"] is None else _rule(header["rule"], f"{source}:{at + 1}")
    body = _Body("\n".join(lines[at + 1 :]), source, at + 2)
    return Pattern(name, body.cells(height, width), rule)


def write_rle(pattern: Pattern) -> str:
    """Give the RLE text of a pattern, in lines of at most 70 characters."""
    height, width = pattern.cells.shape
    runs = []
    blank = 0  # rows that ended without a $ written yet
    for row in pattern.cells:
        alive = np.flatnonzero(row)
        if len(alive):
            if blank:
                runs.append(_run(blank, "$"))
            ends = np.flatnonzero(np.diff(row[: alive[-1] + 1])) + 1
            bounds = [0, *ends.tolist(), int(alive[-1]) + 1]
            pairs = itertools.pairwise(bounds)
            runs += [_run(end - start, "bo"[row[start]]) for start, end in pairs]
            blank = 0
        blank += 1
    body = [""]
    for run in [*runs, "!"]:
        if len(body[-1]) + len(run) > LINE_WIDTH:
            body.append("")
        body[-1] += run
    rule = "" if pattern.rule is None else f", rule = {pattern.rule}"
    comment = [f"#N {pattern.name}"] if pattern.name else []
    return "\n".join([*comment, f"x = {width}, y = {height}{rule}", *body]) + "\n"


def _run(count: int, tag: str) -> str:
    return tag if count == 1 else f"{count}{tag}"


def _rule(text: str, where: str) -> str:
    # A bounded grid may follow the rule: B3/S23:T100,100 is a torus.
    try:
        return canonical_rule(text.partition(":")[0])
    except UsageError as error:
        raise BnnError(f"{where}: {error}") from error


class _Body:
    """The runs after the header, and where each stands."""

    def __init__(self, text: str, source: str, first_line: int) -> None:
        self.text, self.source, self.first_line = text, source, first_line

    def fail(self, at: int, what: str) -> NoReturn:
        """Refuse what stands at a position."""
        before = self.text[:at]
        line = self.first_line + before.count("\n")
        column = at - before.rfind("\n")
        raise BnnError(f"{self.source}:{line}:{column}: {what}")

    def cells(self, height: int, width: int) -> NDArray[np.uint8]:
        """Lay the runs out."""
        cells = np.zeros((height, width), np.uint8)
        row = column = at = 0
        while True:
            found = _RUN.match(self.text, at)
            assert found is not None  # every part of the expression may be empty
            digits, tag = found.groups()
            start = found.start(1) if digits else found.start(2)
            if len(digits) > 9 or (digits and int(digits) == 0):
                self.fail(start, f"count {digits[:12]}, expected 1 to 999999999")
            count = int(digits or 1)
            if tag == "!" and not digits:
                return cells
            if tag == "$":
                row, column = row + count, 0
            elif tag in {"b", "o"}:
                if column + count > width or row >= height:
                    self.fail(start, f"cell outside the {width} by {height} of the header")
                cells[row, column : column + count] = tag == "o"
                column += count
            else:
                found_text = repr(tag) if tag else "the end"
                self.fail(found.start(2), f"found {found_text}, expected b, o, $ or !")
            at = found.end()
