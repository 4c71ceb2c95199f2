"""The API reference covers what the library calls public and what readers are told to import."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from itertools import pairwise

import pytest

from tests.test_book import BOOK, cells, code_of, every_notebook

ROOT = BOOK.parent
PAGES = sorted((BOOK / "api").glob("*.md"))
PACKAGES = sorted(
    path
    for path in (ROOT / "bnncli").rglob("*.py")
    if "__all__" in path.read_text(encoding="utf-8") and path.parent.name not in {"cli", "bench"}
)
# A face of the C kernels that is part of no example; its module lists what other modules take.
INTERNAL = {"bnncli.native.logic_layers"}
DIRECTIVE = re.compile(r"^\.\. (currentmodule|auto\w+):: (\S+)((?:\n   :.*)*)", re.MULTILINE)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(module):
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8")).body


def declared_public(body):
    for node in body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return None


@cache
def members(module):
    """Give the names that automodule shows: those with a docstring, or the ones of __all__."""
    body = parsed(module)
    public = declared_public(body)
    if public is not None:
        return public
    kinds = ast.FunctionDef | ast.ClassDef
    names = {n.name for n in body if isinstance(n, kinds) and ast.get_docstring(n)}
    for node, after in pairwise(body):  # data, explained by the string below
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def documented_on(page):
    current, found = "", []
    for kind, name, options in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
        if kind == "currentmodule":
            current = name
        elif kind == "automodule":
            left_out = re.search(r":exclude-members: (.*)", options)
            hidden = set(left_out.group(1).split(", ")) if left_out else set()
            found.append(tuple(name.rsplit(".", 1)))
            found += [(name, member) for member in members(name) - hidden]
        else:
            found.append((current, name))
    return found


@cache
def documented():
    return frozenset().union(*(documented_on(page) for page in PAGES))


def imported(source):
    """Give the names that a piece of Python takes from the library, with their modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bnncli":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            named = [alias.name for alias in node.names if alias.name.startswith("bnncli.")]
            yield from (tuple(name.rsplit(".", 1)) for name in named)


def missing(names):
    return sorted(".".join(pair) for pair in set(names) - documented())


def python_of(cell):
    """Give a cell's Python without the lines that only IPython understands."""
    lines = code_of(cell).split("\n")
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def test_there_is_a_reference():
    assert len(PAGES) > 10
    assert len(documented()) > 300


@pytest.mark.parametrize("path", PACKAGES, ids=module_name)
def test_every_public_name_of_a_package_has_an_entry(path):
    module = module_name(path)
    if module not in INTERNAL:
        names = {(module, name) for name in declared_public(parsed(module)) or ()}
        inner = {pair for pair in names if ".".join(pair) in modules_documented()}
        assert missing(names - inner) == [], "add it to a page of book/api"


@cache
def modules_documented():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return {name for text in texts for name in re.findall(r"automodule:: (\S+)", text)}


@every_notebook
def test_chapters_import_public_names_that_the_reference_explains(path):
    names = {pair for cell in cells(path, "code") for pair in imported(python_of(cell))}
    assert names, "a chapter shows the library at work"
    private = [name for _, name in names if name.startswith("_")]
    assert private == []
    assert missing(names) == [], "add it to a page of book/api, or import a public name"


def test_the_readme_imports_public_names_that_the_reference_explains():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {pair for block in blocks for pair in imported(block)}
    assert names
    assert missing(names) == []


def test_pages_of_the_reference_are_told_apart_and_listed():
    index = (BOOK / "api" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\((\w+\.md)\)", index))
    assert listed == {page.name for page in PAGES} - {"index.md"}
    pairs = [pair for page in PAGES for pair in documented_on(page)]
    assert [pair for pair, times in Counter(pairs).items() if times > 1] == []
