"""What a comparison shows and does not show, in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.compare.published import published_on
from bnncli.compare.statistics import ALPHA, accuracy_of, analyze, smallest_visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.compare.results import Comparison
    from bnncli.compare.statistics import Analysis, Estimate, Pair, Summary

FORM = (
    "Accuracies are hard and of the test set, with the weights of the epoch that was best on the "
    "validation set"
)


def interval(value: Estimate) -> str:
    """Write the interval of an accuracy in percent, a dash where there is none."""
    if value.low is None or value.high is None:
        return "–"
    return minus(f"{100 * value.low:.2f} to {100 * value.high:.2f}")


def points(difference: float) -> str:
    """Write a difference of accuracies in percentage points, with its sign."""
    return minus(f"{100 * difference:+.2f}")


def minus(text: str) -> str:
    """Write negative numbers with a minus sign, which is as wide as a digit."""
    return text.replace("-", "−")


def p_text(p: float | None) -> str:
    """Write a p-value; a dash where there was no test. One near 5 % gets a digit more."""
    if p is None:
        return "–"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.4f}" if round(p, 3) == ALPHA else f"{p:.3f}"


def sentences(comparison: Comparison, analyses: Sequence[Analysis] | None = None) -> list[str]:
    """Say which methods differ, which cannot be told apart, and what was not seen."""
    analyses = analyze(comparison) if analyses is None else analyses
    found = [line for analysis in analyses for line in _of_data(analysis)]
    return found + _unfinished(comparison)


def _of_data(analysis: Analysis) -> list[str]:
    lines = [_best(analysis)]
    if len(analysis.summaries) > 1:
        lines += [*_differences(analysis), *_limits(analysis)]
    lines += _published(analysis)
    return [f"{analysis.data}: {line}" for line in lines]


def _best(analysis: Analysis) -> str:
    best = analysis.best
    head = "the only method is" if len(analysis.summaries) == 1 else "the highest mean is that of"
    text = f"{head} {best.method}, {100 * best.hard.mean:.2f} % test hard accuracy"
    if best.hard.n == 1:
        return f"{text} on one seed, so there is no interval."
    if best.hard.low is None:
        return f"{text}, the same on all {best.hard.n} seeds, so there is no interval."
    return f"{text} (95 % interval {interval(best.hard)}, {best.hard.n} seeds)."


def _differences(analysis: Analysis) -> list[str]:
    pairs = analysis.against_best()
    best = analysis.best.method
    n_tests = sum(pair.p is not None for pair in analysis.pairs)
    rule = f"at 5 % after Holm's correction over {n_tests} paired test{'s' * (n_tests != 1)}"
    if analysis.pooled is not None:
        rule += " with one spread for all methods"
    apart = [_with_p(pair) for pair in pairs if pair.distinguishable]
    same = [_with_p(pair) for pair in pairs if pair.p is not None and not pair.distinguishable]
    untested = [pair.other for pair in pairs if pair.p is None]
    lines = []
    if apart:
        lines.append(f"distinguishable from {best} {rule}: {'; '.join(apart)}.")
    if same:
        lines.append(f"not distinguishable from {best} {rule}: {'; '.join(same)}.")
    if untested:
        lines.append(
            f"not tested against {best}, for want of two common seeds: {'; '.join(untested)}. "
            f"Their order may be chance."
        )
    return lines


def _with_p(pair: Pair) -> str:
    assert pair.difference is not None  # a tested pair has common seeds
    return f"{pair.other} ({points(-pair.difference.mean)} points, p {p_text(pair.corrected)})"


def _limits(analysis: Analysis) -> list[str]:
    visible = smallest_visible(analysis)
    if visible is None:
        return []
    n, spread, smallest = visible
    pooled = analysis.pooled
    source = "median standard deviation"
    if pooled is not None:
        source = f"pooled over methods, {pooled.degrees} degrees of freedom"
    text = (
        f"what {n} common seeds can show: paired differences vary by {100 * spread:.2f} points "
        f"({source}); at that spread a mean difference below {100 * smallest:.2f} "
        f"points does not pass the first, strictest step of the correction. Not distinguishable "
        f"does not mean equal."
    )
    if pooled is not None:
        text += f" Bartlett's test sees no difference between the methods' spreads (p {p_text(pooled.bartlett)})."
    return [text]


def _published(analysis: Analysis) -> list[str]:
    words = {
        "compatible": "published figure inside our 95 % interval (compatible; a wide one shows little)",
        "higher": "our 95 % interval lies above the published figure (higher)",
        "lower": "our 95 % interval lies below the published figure (lower)",
    }
    lines = []
    for verdict, text in words.items():
        those = [_against_published(s) for s in analysis.summaries if s.verdict == verdict]
        if those:
            lines.append(f"{text}: {'; '.join(those)}.")
    return lines


def _against_published(summary: Summary) -> str:
    figure = published_on(summary.published, summary.data, only=True)
    assert figure is not None  # a verdict comes from one
    return f"{summary.method} ({figure.mean:g}, ours {interval(summary.hard)})"


def _unfinished(comparison: Comparison) -> list[str]:
    cells = comparison.cells
    counts = {state: sum(cell.state == state for cell in cells) for state in ("failed", "stopped")}
    blank = sum(cell.state == "finished" and accuracy_of(cell) is None for cell in cells)
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    if blank:
        parts.append(f"{blank} finished without a test hard accuracy")
    if not parts:
        return []
    have = {cell.method for cell in cells if accuracy_of(cell) is not None}
    none = sorted({cell.method for cell in cells} - have)
    tail = f" No run of {', '.join(none)} can be shown." if none else ""
    return [
        f"Of {len(cells)} runs {' and '.join(parts)}; every mean is over the others of its method."
        + tail
    ]


def failures(comparison: Comparison) -> list[str]:
    """Give one line for each run that is not in the means."""
    lines = []
    for cell in comparison.cells:
        if accuracy_of(cell) is None:
            why = cell.error or (
                "its result has no finite test_hard_accuracy"
                if cell.state == "finished"
                else "no reason was given"
            )
            first = why.strip().splitlines()[0] if why.strip() else "no reason was given"
            lines.append(f"{cell.method}, {cell.data}, seed {cell.seed}: {cell.state}: {first}")
    return lines
