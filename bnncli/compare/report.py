"""Write everything that a comparison leaves in its folder."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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


def to_dict(comparison: Comparison, analyses: Sequence[Analysis]) -> dict[str, Any]:
    """Give the comparison and its summaries, pairs and sentences as plain values."""
    return {
        "schema": 1,
        **comparison.to_dict(),
        "analyses": [asdict(analysis) for analysis in analyses],
        "sentences": sentences(comparison, analyses),
    }


def write_report(comparison: Comparison, folder: Path) -> list[Path]:
    """Write tables, figures and the report of a comparison; give the files, the report first.

    Each file appears whole or not at all.
    """
    analyses = analyze(comparison)
    texts = {
        "report.md": markdown(comparison, analyses),
        "runs.csv": runs_csv(comparison),
        "methods.csv": methods_csv(analyses),
        "results.json": to_json(to_dict(comparison, analyses)) + "\n",
    }
    for name, text in texts.items():
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
