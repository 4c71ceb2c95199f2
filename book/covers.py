"""Make the covers: one small picture a chapter, from a figure that its notebook holds.

``python book/covers.py`` writes them to ``book/figures``; the front page and the README show them.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

from PIL import Image

BOOK = Path(__file__).parent
WIDTH = 400
COLORS = 64

COVERS = {
    "01-one-weight": "life-film",
    "02-binaryconnect": "test-ways-plot",
    "03-straight-through": "surrogate-plot",
    "04-both-sides-binary": "roofline-plot",
    "05-swarms-and-votes": "lives-plot",
    "06-optimizers": "memory-plot",
    "07-gates-that-learn": "wiring-draw",
    "08-game-of-life": "sizes",
    "09-images-to-gates": "eyes-draw",
    "10-automata": "damage-film",
    "11-open-problems": "memory-plot",
    "failed-experiments": "gain-plot",
}
"""By notebook: the cell whose figure is the cover."""


def picture_file(chapter: str) -> Path:
    """Give the file of a chapter's cover: ``chapter-07.png`` of ``07-gates-that-learn``."""
    number = chapter.partition("-")[0]
    name = f"chapter-{number}" if number.isdecimal() else chapter
    return BOOK / "figures" / f"{name}.png"


def figure_of(chapter: str) -> Image.Image:
    """Take the cover's figure out of the notebook, at the width of a cover."""
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if cell["id"] == COVERS[chapter]]
    pictures = [
        o["data"]["image/png"]
        for o in cell["outputs"]
        if "image/png" in o.get("data", {})
    ]
    whole = Image.open(io.BytesIO(base64.b64decode(pictures[0]))).convert("RGB")
    return whole.resize(
        (WIDTH, round(WIDTH * whole.height / whole.width)), Image.Resampling.LANCZOS
    )


def main() -> None:
    """Write all covers."""
    for chapter in COVERS:
        figure_of(chapter).quantize(COLORS).save(picture_file(chapter), optimize=True)


if __name__ == "__main__":
    main()
