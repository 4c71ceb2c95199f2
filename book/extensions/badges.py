"""Write launch badges into the first cell of every chapter: ``badges.py ADDRESS [BRANCH]``.

ADDRESS is where the repository can be cloned from, such as https://example.org/owner/bnn. Binder
opens any such address, Colab only those of github.com. Run again, it replaces the badges; with the
address ``none`` it removes them. The images are files of the book, so pages need no network.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

BOOK = Path(__file__).parents[1]
BADGES = re.compile(r"\n\n\[!\[Open in .*\Z", re.DOTALL)


def badges(address: str, branch: str, notebook: str) -> str:
    """Give the line of badges for one notebook, and how Colab gets the package."""
    address = address.rstrip("/").removesuffix(".git")
    path = f"book/{notebook}"
    opened = f"https://mybinder.org/v2/git/{quote(address, safe='')}/{quote(branch)}"
    line = (
        f"[![Open in Binder](static/badges/binder.svg)]({opened}?labpath={quote(path)})"
    )
    parts = urlsplit(address)
    if parts.hostname != "github.com":
        return line
    opened = (
        f"https://colab.research.google.com/github{parts.path}/blob/{quote(branch)}"
    )
    line += f"\n[![Open in Colab](static/badges/colab.svg)]({opened}/{quote(path)})"
    return f"{line}\n\nIn Colab, first run `%pip install git+{address}` in a cell of its own."


def with_badges(source: str, line: str) -> str:
    """Put a line of badges at the end of a cell's text, in place of an older one."""
    bare = BADGES.sub("", source).rstrip("\n")
    return f"{bare}\n\n{line}" if line else bare


def main(address: str, branch: str = "main") -> None:
    """Rewrite the first cell of every chapter."""
    for path in sorted(BOOK.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cell = notebook["cells"][0]
        line = "" if address == "none" else badges(address, branch, path.name)
        text = with_badges("".join(cell["source"]), line)
        cell["source"] = text.splitlines(keepends=True)
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(
            "usage: badges.py ADDRESS [BRANCH]; the address 'none' removes the badges"
        )
    main(*sys.argv[1:])
