"""Launch badges need no network to be seen, and nothing but an address to be made."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.test_book import BOOK, cells, code_of, every_notebook

_spec = importlib.util.spec_from_file_location("badges", BOOK / "extensions" / "badges.py")
badges = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(badges)

ADDRESSES = ["https://github.com/ann/bnn", "https://git.example.org/ann/bnn.git"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_badges_show_files_of_the_book_and_lead_to_the_notebook(address):
    line = badges.badges(address, "main", "01-one-weight.ipynb")
    images = re.findall(r"!\[(.+?)\]\((.+?)\)", line)
    assert images[0][0] == "Open in Binder"
    assert all((BOOK / image).is_file() for _, image in images)
    links = re.findall(r"\]\((https:[^)]*)\)", line)
    assert len(links) == len(images)
    assert all("01-one-weight.ipynb" in link for link in links)


def test_only_what_colab_can_open_gets_its_badge():
    lines = [badges.badges(address, "main", "x.ipynb") for address in ADDRESSES]
    assert ["Colab" in line for line in lines] == [True, False]
    assert "/github/ann/bnn/blob/main/book/x.ipynb" in lines[0]
    assert "git%3A" not in lines[1]
    assert "https%3A%2F%2Fgit.example.org%2Fann%2Fbnn/main" in lines[1]


def test_badges_are_replaced_and_removed():
    text = "# Title\n\nWhat the reader will know.\n"
    once = badges.with_badges(text, badges.badges(ADDRESSES[0], "main", "x.ipynb"))
    again = badges.with_badges(once, badges.badges(ADDRESSES[1], "main", "x.ipynb"))
    assert once.startswith(text.rstrip())
    assert again.count("Open in") == 1
    assert badges.with_badges(again, "") == text.rstrip()


@every_notebook
def test_images_of_first_cells_are_files_of_the_book(path):
    first = code_of(cells(path, "markdown")[0])
    for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", first):
        assert (BOOK / image).is_file()
