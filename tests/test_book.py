"""What nbval and the strict build do not see: stripped notebooks, machine paths, unlisted pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[1] / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
DECISIONS = BOOK / "decisions"
PAGES = sorted([*BOOK.glob("*.md"), *NOTEBOOKS, *DECISIONS.glob("*.md")])

MACHINE_PATH = re.compile(
    r"(?<![\w/.])/(?:home|root|tmp|var|usr|opt|mnt|work|private|Users)/|[A-Z]:\\"
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
TOC_ENTRY = re.compile(r"^\s*(?:- )?(root|file|glob):\s*(\S+)\s*$", re.MULTILINE)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def code_of(cell):
    return "".join(cell["source"])


def outputs(path):
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def markdown(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))


def local_targets(path):
    """Give the files that a page's links and images name, resolved against the page."""
    text = CODE.sub("", markdown(path))
    names = LINK.findall(text) + [name for _, name in IMAGE.findall(text)]
    local = [name.partition("#")[0] for name in names if not re.match(r"[a-z]+:|#", name)]
    return [(path.parent / name).resolve() for name in local]


def pages_in_toc():
    found = []
    for kind, entry in TOC_ENTRY.findall((BOOK / "_toc.yml").read_text(encoding="utf-8")):
        name = entry.strip('"')
        if kind == "glob":
            found += [match for match in BOOK.glob(name) if match.suffix in {".md", ".ipynb"}]
            continue
        (page,) = [
            BOOK / (name + end) for end in (".md", ".ipynb") if (BOOK / (name + end)).exists()
        ]
        found.append(page)
    return set(found)


def test_there_is_a_book():
    assert NOTEBOOKS
    assert len(PAGES) > len(NOTEBOOKS) + 1


@every_notebook
def test_notebooks_were_executed_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))
    printing = [c for c in cells(path, "code") if re.search(r"^print\(", code_of(c), re.MULTILINE)]
    assert all(cell["outputs"] for cell in printing)


@every_notebook
def test_notebooks_hold_no_error_and_no_warning(path):
    for cell in cells(path, "code"):
        kinds = [output["output_type"] for output in cell["outputs"]]
        on_purpose = "raises-exception" in cell["metadata"].get("tags", [])
        assert on_purpose or "error" not in kinds, code_of(cell)
    streams = [output.get("name") for output in outputs(path)]
    assert "stderr" not in streams
    assert "Warning" not in json.dumps([o for o in outputs(path) if "text" in o])


@every_notebook
def test_notebooks_do_not_tell_where_or_when_they_ran(path):
    for output in outputs(path):
        data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
        texts = [output.get("text", ""), *data.values()]
        text = "\n".join("".join(part) for part in texts if isinstance(part, str | list))
        assert not MACHINE_PATH.search(text), text
    times = [cell["id"] for cell in cells(path, "code") if "execution" in cell["metadata"]]
    assert not times, "execute with record_timing=False"


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("saved to /home/ann/x.pt", True),
        ("File '/usr/lib/python3/x.py'", True),
        (r"C:\Users\ann", True),
        ("runs/mlp-digits/work/x", False),
        ("3/4 of 10", False),
        ("https://example.org/home/x", False),
    ],
)
def test_machine_paths_are_recognized(text, bad):
    assert bool(MACHINE_PATH.search(text)) is bad


@every_notebook
def test_figures_are_shown_and_described(path):
    for cell in cells(path, "code"):
        drawn = any("image/png" in output.get("data", {}) for output in cell["outputs"])
        assert drawn or not code_of(cell).rstrip().endswith("\nplt.show()"), "figure not stored"
        if not drawn:
            continue
        assert code_of(cell).rstrip().endswith("plt.show()"), "nbval compares what else is returned"
        assert len(cell["metadata"]["mystnb"]["image"]["alt"]) > 30


@every_notebook
def test_chapters_assert_what_they_claim_and_end_with_something_to_try(path):
    source = "\n".join(code_of(cell) for cell in cells(path, "code"))
    assert len(re.findall(r"^\s*assert ", source, re.MULTILINE)) >= 5
    assert "".join(cells(path, "markdown")[-1]["source"]).startswith("## What to try")


def test_every_page_is_in_the_table_of_contents():
    assert set(PAGES) - pages_in_toc() == set()


def test_every_decision_is_listed_with_a_line_of_its_own():
    listed = set(local_targets(DECISIONS / "index.md"))
    missing = {page.name for page in DECISIONS.glob("*.md")} - {page.name for page in listed}
    assert missing == {"index.md"}, "add a row for each page to book/decisions/index.md"


@every_page
def test_links_between_pages_lead_to_files(path):
    for target in local_targets(path):
        assert target.is_file(), f"{path.name} links to {target.name}"


@every_page
def test_images_in_pages_are_described(path):
    assert all(len(alt) > 10 for alt, _ in IMAGE.findall(CODE.sub("", markdown(path))))


def test_mathjax_is_a_file_of_the_book_with_its_licence():
    (name,) = re.findall(r"mathjax_path: (\S+)", (BOOK / "_config.yml").read_text(encoding="utf-8"))
    script = BOOK / "static" / name
    assert script.stat().st_size > 1_000_000
    assert "Apache License" in (script.parent / "LICENSE.txt").read_text(encoding="utf-8")
