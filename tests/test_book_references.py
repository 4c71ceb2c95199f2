"""The glossary and the bibliography hold what the pages link to, and nothing without a source."""

from __future__ import annotations

import re

import pytest

from tests.test_book import BOOK, CODE, PAGES, every_page, markdown

README = BOOK.parent / "README.md"
ENTRY = re.compile(r"^@(\w+)\{(\S+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)
WORK = re.compile(r"arxiv\.org/abs/(\d{4}\.\d{4,5})|arXiv:(\d{4}\.\d{4,5})|doi\.org/([^\s)>\]]+)")
TERM = re.compile(r"\]\((?:\.\./)?glossary\.md#([^)]*)\)")


def entries():
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    return {key: dict(FIELD.findall(body)) for _, key, body in ENTRY.findall(text)}


def slugs(page):
    """Give the anchors of a page's headings, as myst makes them."""
    headings = re.findall(r"^#{1,3} (.+)$", CODE.sub("", markdown(page)), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return [name.strip().replace(" ", "-") for name in plain]


def works_named(path):
    return {next(filter(None, found)) for found in WORK.findall(markdown(path))}


def test_every_entry_says_where_the_work_is_and_what_it_is_for():
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    found = entries()
    assert len(found) == text.count("\n@"), "an entry that this test cannot read"
    for key, fields in found.items():
        assert {"title", "author", "year", "note", "keywords"} <= set(fields), key
        assert {"doi", "eprint", "url"} & set(fields), key
        assert re.fullmatch(r"\d{4}\.\d{4,5}", fields.get("eprint", "0000.0000")), key
        assert fields["note"].endswith("."), key


def test_no_work_is_listed_twice():
    found = entries().values()
    names = [f.get("doi") or f.get("eprint") or f["url"] for f in found]
    assert len(names) == len(set(names))
    titles = [re.sub(r"\W", "", fields["title"].lower()) for fields in found]
    assert len(titles) == len(set(titles))


def test_every_entry_has_its_section_in_the_bibliography():
    sections = re.findall(r'keywords % "(\w+)"', markdown(BOOK / "bibliography.md"))
    assert {fields["keywords"] for fields in entries().values()} == set(sections)


@pytest.mark.parametrize("path", [*PAGES, README], ids=lambda path: path.name)
def test_works_that_pages_name_are_in_the_bibliography(path):
    known = {name for f in entries().values() for name in (f.get("doi"), f.get("eprint"))}
    assert works_named(path) - known == set(), "add the work to book/references.bib"


def test_the_glossary_is_sorted_and_every_entry_says_something():
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    terms = slugs(BOOK / "glossary.md")[1:]
    assert len(terms) > 50
    assert terms == sorted(set(terms))
    for entry in text.split("\n## ")[1:]:
        term, _, meaning = entry.partition("\n")
        assert len(meaning.strip()) > 40, term


@every_page
def test_words_linked_to_the_glossary_are_in_it(path):
    text = CODE.sub("", markdown(path))
    assert set(TERM.findall(text)) <= set(slugs(BOOK / "glossary.md"))


@every_page
def test_links_into_pages_lead_to_headings(path):
    text = CODE.sub("", markdown(path))
    for page, slug in re.findall(r"\]\(([^)\s:#]*)#([^)\s]+)\)", text):
        target = (path.parent / page).resolve() if page else path
        if target.suffix in {".md", ".ipynb"}:
            assert slug in slugs(target), f"{path.name}: no heading {slug} in {target.name}"
