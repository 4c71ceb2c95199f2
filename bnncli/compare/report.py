"""Write everything that a comparison leaves in its folder."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bnncli.compare.figures import draw
from bnncli.compare.html import html
from bnncli.compare.sentences import sentences
from bnncli.compare.statistics import analyze
from bnncli.compare.tables import markdown, methods_csv, runs_csv
from bnncli.data.files import replacing
from bnncli.jsontext import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bnncli.compare.results import Comparison
    from bnncli.compare.statistics import Analysis


def to_dict(comparison: Comparison, analyses: Sequence[Analysis] | None = None) -> dict[str, Any]:
    """Give the comparison with its summaries, pairs and sentences as plain values."""
    analyses = analyze(comparison) if analyses is None else analyses
    return {
        "schema": 1,
        **comparison.to_dict(),
        "analyses": [_analysis(analysis) for analysis in analyses],
        "sentences": sentences(comparison, analyses),
    }


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "data": analysis.data,
        "summaries": [{**asdict(s), "state_bytes": s.state_bytes} for s in analysis.summaries],
        "pairs": [{**asdict(p), "distinguishable": p.distinguishable} for p in analysis.pairs],
    }


def write_report(comparison: Comparison, folder: Path) -> list[Path]:
    """Write tables, figures and the report of a comparison; give the files, the report first.

    Each file appears whole or not at all.
    """
    analyses = analyze(comparison)
    drawn = draw(comparison, analyses)
    contents = {
        "report.html": html(comparison, analyses, drawn).encode(),
        "report.md": markdown(comparison, analyses, drawn).encode(),
        "runs.csv": runs_csv(comparison).encode(),
        "methods.csv": methods_csv(analyses).encode(),
        "results.json": (to_json(to_dict(comparison, analyses)) + "\n").encode(),
    }
    for figure in drawn:
        contents[f"figures/{figure.name}.svg"] = figure.svg
        contents[f"figures/{figure.name}.png"] = figure.png
    for name, content in contents.items():
        with replacing(folder / name) as part:
            part.write_bytes(content)
    return [folder / name for name in contents]
