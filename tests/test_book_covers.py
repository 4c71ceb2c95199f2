"""Each chapter has a cover: a figure of its own, small, described on the front page and in README."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
from PIL import Image

from tests.test_book import BOOK, NOTEBOOKS

SPEC = importlib.util.spec_from_file_location("covers", BOOK / "covers.py")
assert SPEC is not None
assert SPEC.loader is not None
covers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(covers)

ROW = re.compile(
    r"^\| !\[([^\]]+)\]\(([^)]+)\) \| \*\*\[([^\]]+)\]\(([^)]+)\)\*\*<br>(.+) \|$", re.MULTILINE
)
PAGES = {"": BOOK / "index.md", "book/": BOOK.parent / "README.md"}


def rows(prefix):
    text = PAGES[prefix].read_text(encoding="utf-8")
    return [
        (alt, image.removeprefix(prefix), title, link.removeprefix(prefix), shows)
        for alt, image, title, link, shows in ROW.findall(text)
    ]


COVERED = [path.stem for path in NOTEBOOKS if path.stem in covers.COVERS]


UNCOVERED = {"10-automata"}


def test_every_cover_has_a_chapter_and_every_chapter_a_cover():
    assert set(covers.COVERS) == set(COVERED)
    assert {path.stem for path in NOTEBOOKS} - set(COVERED) <= UNCOVERED


@pytest.mark.parametrize("chapter", COVERED)
def test_covers_are_small_and_show_the_figure_of_their_cell(chapter):
    stored = Image.open(covers.picture_file(chapter)).convert("RGB")
    fresh = covers.figure_of(chapter)
    assert stored.size == fresh.size, "run: python book/covers.py"
    # Colours are few, and a chapter that is run again draws a little differently.
    difference = np.abs(np.asarray(stored, float) - np.asarray(fresh, float)).mean()
    assert difference < 10, "run: python book/covers.py"
    assert covers.picture_file(chapter).stat().st_size < 40_000


@pytest.mark.parametrize("prefix", PAGES, ids=["index", "README"])
def test_pages_show_all_chapters_in_order_with_described_covers(prefix):
    found = rows(prefix)
    assert [link for *_, link, _ in found] == [f"{chapter}.ipynb" for chapter in COVERED]
    for alt, image, title, link, shows in found:
        assert BOOK / image == covers.picture_file(link.removesuffix(".ipynb"))
        assert len(alt) > 30
        assert len(shows) > 40
        number = link.partition("-")[0]
        assert not number.isdecimal() or title.startswith(f"{int(number)}. ")


def test_both_pages_say_the_same_of_a_chapter():
    assert rows("") == rows("book/")
