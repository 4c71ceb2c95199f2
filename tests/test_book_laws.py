"""Laws of a chapter: what it claims is asserted, printed, shown, described and exercised."""

from __future__ import annotations

import json
import re

import pytest

from tests.test_book import BOOK, CODE, NOTEBOOKS, cells, code_of, every_notebook, outputs

CHAPTERS = [path for path in NOTEBOOKS if path.name[:2].isdigit()]
# An excerpt of prose: "97.5", "1,437", "12 %". Numbers with letters around them are names.
NUMBER = re.compile(r"(?<![\w.,/])(\d[\d,]*(?:\.\d+)?)(?![\w/]|\.\d)(\s?%)?")
ANY_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]*(?:\n[^$\n]+)?\$", re.DOTALL)
LINKED = re.compile(r"!?\[[^\]]*\]\([^)]*\)")
WIDEST = 90
MEGABYTE = 2**20

every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)


def value(text):
    return float(text.replace(",", "").rstrip("."))


def claimed_numbers(prose):
    """Give the numbers of prose that have a decimal point or a percent sign, as (value, places).

    Paragraphs and rows of tables that cite a work, or begin with "Published", are its own claims.
    """
    text = MATHS.sub(" ", CODE.sub(" ", prose))
    for line in re.split(r"\n(?=\||\s*[-*] )|\n\s*\n", text):
        if re.search(r"arxiv\.org|doi\.org|^\*\*Published", line.strip()):
            continue
        for number, percent in NUMBER.findall(LINKED.sub(" ", line)):
            if "." in number or percent:
                yield value(number), len(number.partition(".")[2]), bool(percent)


def shown_numbers(path):
    """Give the numbers of a chapter's code and text outputs, and of the tables of book/data."""
    texts = [code_of(cell) for cell in cells(path, "code")]
    for output in outputs(path):
        data = [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
        texts += ["".join(part) for part in [output.get("text", ""), *data]]
    text = "\n".join(texts)
    for table in (BOOK / "data").glob("*.csv"):
        if table.name in text:
            text += "\n" + table.read_text(encoding="utf-8")
    return {value(number) for number in ANY_NUMBER.findall(text)}


def is_shown(number, places, percent, shown):
    """Say whether a number is one of those shown, or one of them rounded."""
    near = 0.5 * 10**-places + 1e-9
    scales = (1, 100) if percent else (1,)
    return any(abs(scale * one - number) <= near for one in shown for scale in scales)


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("It reaches 97.5 % of 1,437 digits.", [(97.5, 1, True)]),
        ("Half of them, 50 %, and 0.03 a step", [(50.0, 0, True), (0.03, 2, False)]),
        ("by $0.5\\,x$ and `0.25` in [2.5](a.md) of Python 3.11.2, 4 and 8.", []),
        ("[Ann 2015](https://arxiv.org/abs/1511.00363) reports 1.2 %.", []),
        ("| a | 1.5 |\n| b | 2.5 |", [(1.5, 1, False), (2.5, 1, False)]),
    ],
)
def test_numbers_of_prose_are_recognized(prose, found):
    assert list(claimed_numbers(prose)) == found


@pytest.mark.parametrize(
    ("number", "shown", "fits"),
    [
        ((97.5, 1, True), {0.9748}, True),
        ((97.5, 1, True), {97.46}, True),
        ((97.5, 1, True), {97.6}, False),
        ((0.03, 2, False), {0.03}, True),
        ((0.03, 2, False), {3.0}, False),
    ],
)
def test_a_number_is_shown_as_it_is_or_with_more_places(number, shown, fits):
    assert is_shown(*number, shown) is fits


@every_notebook
def test_every_number_of_the_prose_is_printed_or_asserted(path):
    shown = shown_numbers(path)
    prose = [code_of(cell) for cell in cells(path, "markdown")]
    missing = [
        number for text in prose for number in claimed_numbers(text) if not is_shown(*number, shown)
    ]
    assert [f"{n} %" if percent else n for n, _, percent in missing] == []


@every_notebook
def test_code_fits_the_page(path):
    lines = [line for cell in cells(path, "code") for line in code_of(cell).split("\n")]
    assert [line for line in lines if len(line) > WIDEST] == []


@every_chapter
def test_chapters_close_with_what_was_shown_exercises_and_what_to_try(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))["cells"]
    heads = {code_of(c).split("\n")[0]: i for i, c in enumerate(notebook) if is_prose(c)}
    assert "## What was shown" in heads
    assert "## Exercises" in heads
    assert max(heads, key=heads.get) == "## What to try"
    assert heads["## What was shown"] < heads["## Exercises"]


def is_prose(cell):
    return cell["cell_type"] == "markdown"


@every_chapter
def test_exercises_have_hidden_solutions_that_assert(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (start,) = [i for i, c in enumerate(notebook) if code_of(c).startswith("## Exercises")]
    code = [cell for cell in notebook[start:] if cell["cell_type"] == "code"]
    solutions = [cell for cell in code if "hide-cell" in cell["metadata"].get("tags", [])]
    assert len(solutions) >= 2
    for cell in solutions:
        assert re.search(r"^\s*assert ", code_of(cell), re.MULTILINE), code_of(cell)


@every_notebook
def test_drawings_in_outputs_are_described(path):
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            data = output.get("data", {})
            if {"image/gif", "image/svg+xml", "image/jpeg"} & set(data):
                assert len(cell["metadata"]["mystnb"]["image"]["alt"]) > 30
            html = "".join(data.get("text/html", ""))
            for drawing in re.findall(r"<(?:img|svg|canvas)\b[^>]*>", html):
                assert re.search(r'\b(?:alt|aria-label|aria-labelledby|aria-hidden)="', drawing)


@every_notebook
def test_links_have_words_that_can_be_read_out(path):
    prose = [CODE.sub("", code_of(cell)) for cell in cells(path, "markdown")]
    assert [link for text in prose for link in re.findall(r"\[\$[^]$]*\$\]\([^)]*\)", text)] == []


def test_chapters_are_numbered_without_gaps():
    numbers = [int(path.name[:2]) for path in CHAPTERS]
    assert numbers == list(range(1, len(numbers) + 1))


def test_notebooks_are_small():
    sizes = {path.name: path.stat().st_size for path in NOTEBOOKS}
    assert {name for name, size in sizes.items() if size > 5 * MEGABYTE} == set()
    assert sum(sizes.values()) <= 25 * MEGABYTE
