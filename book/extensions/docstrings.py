"""A Sphinx extension: docstrings of the library, which are plain text, as reStructuredText.

Indented lines become literal blocks, signs that reStructuredText would take for markup are escaped,
``Shape:`` and its like are set off, and identifiers of papers become links. Names that hold data
are given the text that stands below them in their source, and the names in them.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Collection, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

# What stays as it is: literals and roles.
MARKUP = re.compile(r"(``.+?``|:\w+:`[^`]+`)", re.DOTALL)
PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
LABEL = re.compile(r"^(Shape|Source|Sources|Raises|Law|Laws):(?=\s|$)")


def escaped(text: str) -> str:
    """Escape what is no markup, and link papers."""
    parts = MARKUP.split(text)
    parts[::2] = [
        re.sub(r"([*|`\\]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]
    ]
    parts[::2] = [
        PAPER.sub(r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", part)
        for part in parts[::2]
    ]
    return "".join(parts)


def begins_block(line: str, block: list[str]) -> bool:
    """Say whether a line does not go on with the block before it."""
    if not block or LABEL.match(line) or line.startswith("- "):
        return bool(block)
    indented = line.startswith("    ")
    return indented != block[0].startswith("    ") and not block[0].startswith("- ")


def blocks(lines: list[str]) -> list[list[str]]:
    """Cut a docstring into runs of lines that belong together: text, list items, indented lines."""
    found: list[list[str]] = [[]]
    for line in lines:
        if not line.strip() or begins_block(line, found[-1]):
            found.append([])
        if line.strip():
            found[-1].append(line)
    return [block for block in found if block]


def is_formula(block: list[str]) -> bool:
    """Tell an indented block, or a line of signs that is no sentence, from text."""
    if block[0].startswith("    "):
        return True
    text = "\n".join(block)
    return not text.rstrip().endswith((".", ":", "?")) and bool(
        re.search(r" [=←≈] ", text)
    )


def rendered(lines: list[str]) -> list[str]:
    """Give the reStructuredText of a docstring's lines."""
    out: list[str] = []
    for block in blocks(lines):
        if is_formula(block):
            margin = min(len(line) - len(line.lstrip()) for line in block)
            language = "pycon" if block[0].lstrip().startswith(">>>") else "text"
            out += [
                f".. code-block:: {language}",
                "",
                *("    " + line[margin:] for line in block),
                "",
            ]
            continue
        text = escaped("\n".join(block)).split("\n")
        text[0] = LABEL.sub(r"**\1:**", text[0])
        if not block[0].startswith("- "):
            text = [line.strip() for line in text]
        out += [*text, ""]
    return out


def parsed(module: str) -> list[ast.stmt]:
    """Read the statements of a module of the library."""
    path = inspect.getsourcefile(importlib.import_module(module))
    return ast.parse(Path(path or "").read_text(encoding="utf-8")).body


def assigned(node: ast.stmt) -> set[str]:
    """Give the names that a statement assigns."""
    if isinstance(node, ast.Assign):
        targets = node.targets
    else:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else []
    return {
        n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)
    }


@cache
def source_texts(module: str) -> dict[str, str]:
    """Give the strings that stand below assignments in a module, by the assigned name."""
    texts = {}
    for before, after in pairwise(parsed(module)):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = inspect.cleandoc(str(after.value.value))
            texts.update(dict.fromkeys(assigned(before), text))
    return texts


@cache
def origin(module: str, name: str) -> str:
    """Follow imports to the module that assigns a name."""
    for node in parsed(module):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith("bnncli")
        ):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return origin(node.module, alias.name)
    return module


def data_text(name: str, value: object) -> list[str]:
    """Give what the source says of a name that holds data, and what it holds."""
    module, _, variable = name.rpartition(".")
    text = source_texts(origin(module, variable)).get(variable, "")
    lines = rendered(text.split("\n")) if text else []
    if (
        isinstance(value, Collection)
        and not isinstance(value, str)
        and len(value) < 100
    ):
        names = value if isinstance(value, Mapping) else sorted(map(str, value))
        lines += ["Holds " + ", ".join(f"``{key}``" for key in names) + ".", ""]
    elif isinstance(value, int | float | str):
        lines += [f"The value is ``{value!r}``.", ""]
    return lines


def process(
    app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Rewrite a docstring in place (Sphinx's autodoc-process-docstring)."""
    data = what == "data" and not (callable(obj) or isinstance(obj, ModuleType))
    lines[:] = data_text(name, obj) if data else rendered(lines)


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
