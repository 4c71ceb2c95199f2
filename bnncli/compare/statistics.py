"""What a comparison shows: means, intervals, paired tests and what the seeds cannot show.

The rules and their reasons are on the decision page ``book/decisions/statistics.md``.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bnncli.compare.published import shown_on, verdict_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bnncli.compare.results import CellResult, Comparison

ALPHA = 0.05
"""The level of every test; intervals are at 1 − ALPHA."""

ROUNDING = 1e-9
"""A standard deviation below this is rounding: accuracies are whole multiples of 1/images."""


@dataclass(frozen=True)
class Estimate:
    """Mean, sample standard deviation (one value: None) and 95 % interval of the mean.

    The interval is None where there is no spread to take it from: one value, or equal values.
    """

    n: int
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A method on a data set, over its finished runs. Bytes are the largest over the seeds.

    ``hard`` and ``packed`` are accuracies on the test set as fractions, with the weights of the
    epoch that was best on the validation set; ``flip_rate`` is that of the last epoch.
    """

    method: str
    data: str
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    hard: Estimate
    packed: Estimate | None
    validation: Estimate | None
    seconds: Estimate | None
    flip_rate: Estimate | None
    epochs: tuple[int, int]
    parameter_bytes: int | None
    gradient_bytes: int | None
    optimizer_bytes: int | None
    peak_resident_bytes: int | None
    published: str
    verdict: str | None

    @property
    def state_bytes(self) -> int | None:
        """Add the bytes of parameters and optimizer: what training keeps between two steps."""
        if self.parameter_bytes is None or self.optimizer_bytes is None:
            return None
        return self.parameter_bytes + self.optimizer_bytes


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two methods on the seeds that both finished: ``better`` − ``other`` in test hard accuracy.

    ``p`` is None where fewer than two seeds are common; ``corrected`` is Holm's over the data set.
    """

    better: str
    other: str
    seeds: tuple[int, ...]
    difference: Estimate | None
    p: float | None
    corrected: float | None = None

    @property
    def distinguishable(self) -> bool:
        """Tell whether the corrected test rejects equality at 5 %."""
        return self.corrected is not None and self.corrected < ALPHA


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """The spread that methods share once each method's mean and each seed's luck are taken out.

    ``bartlett`` is the p of the test that methods do not differ in spread.
    """

    sd: float
    degrees: int
    seeds: int
    bartlett: float

    @property
    def of_difference(self) -> float:
        """Give the standard error of the difference of two means: sd · √(2 / seeds)."""
        return self.sd * math.sqrt(2 / self.seeds)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One data set of a comparison: summaries from the best mean down, and all their pairs.

    ``pooled`` is the spread that the tests used, None where each pair has its own.
    """

    data: str
    summaries: tuple[Summary, ...]
    pairs: tuple[Pair, ...]
    pooled: Pooled | None = None

    @property
    def best(self) -> Summary:
        """Give the method with the highest mean test hard accuracy."""
        return self.summaries[0]

    def against_best(self) -> tuple[Pair, ...]:
        """Give the pairs of the best method with each other one, nearest first."""
        return tuple(p for p in self.pairs if p.better == self.best.method)


def estimate(values: Sequence[float], *, limits: tuple[float, float] | None = None) -> Estimate:
    """Estimate a mean with its Student interval: mean ± t(0.975, n − 1) · sd / √n.

    ``limits`` cut the interval where the quantity itself cannot lie (an accuracy above 1), which
    takes nothing from its coverage.
    """
    n, mean = len(values), statistics.fmean(values)
    if n < 2:
        return Estimate(n, mean)
    sd = statistics.stdev(values)
    if sd <= ROUNDING * max(1.0, abs(mean)):
        return Estimate(n, mean, 0.0)
    half = _t_quantile(1 - ALPHA / 2, n - 1) * sd / math.sqrt(n)
    low, high = mean - half, mean + half
    if limits is not None:
        low, high = max(low, limits[0]), min(high, limits[1])
    return Estimate(n, mean, sd, low, high)


def _t_quantile(probability: float, degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, degrees))


def paired_p(differences: Sequence[float]) -> float | None:
    """Test that paired differences have mean 0, two-sided, by Student's t on n − 1 degrees.

    Fewer than two: None. Equal differences have no spread, so t does not exist: all 0 gives 1;
    all the same d ≠ 0 gives 2 / 2ⁿ, the p of the exact test that flips the signs at random.
    """
    n = len(differences)
    if n < 2:
        return None
    mean, sd = statistics.fmean(differences), statistics.stdev(differences)
    if sd <= ROUNDING:
        return 1.0 if abs(mean) <= ROUNDING else 2.0 / 2**n
    from scipy.stats import t

    return float(2 * t.sf(abs(mean) / (sd / math.sqrt(n)), n - 1))


def pool(accuracies: Sequence[Sequence[float]]) -> Pooled | None:
    """Pool the spread of methods (rows) over common seeds (columns), where they may share one.

    sd² = Σ (aₘₛ − āₘ − āₛ + ā)² / ((k − 1)(n − 1)), the residual of the additive model of k methods
    and n seeds. None for fewer than three methods or two seeds, for a method without a spread, or
    where Bartlett's test finds at 5 % that spreads differ (Levene's sees nothing with three seeds).
    Two methods alone would give the paired test.
    """
    import numpy as np
    from scipy.stats import bartlett

    table = np.asarray(accuracies, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 3 or table.shape[1] < 2:
        return None
    k, n = table.shape
    rest = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + table.mean()
    degrees = (k - 1) * (n - 1)
    sd = float(np.sqrt(np.square(rest).sum() / degrees))
    if min(sd, *table.std(1)) <= ROUNDING:
        return None
    p = float(bartlett(*table).pvalue)
    return Pooled(sd=sd, degrees=degrees, seeds=n, bartlett=p) if p >= ALPHA else None


def pooled_p(difference: float, pooled: Pooled) -> float:
    """Test that two means are equal by Student's t with the pooled spread, two-sided."""
    from scipy.stats import t

    return float(2 * t.sf(abs(difference) / pooled.of_difference, pooled.degrees))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down rule (Holm 1979), in their order.

    p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) · p₍ⱼ₎)
    """
    m, running = len(p_values), 0.0
    corrected = [0.0] * m
    for rank, index in enumerate(sorted(range(m), key=p_values.__getitem__)):
        running = max(running, min(1.0, (m - rank) * p_values[index]))
        corrected[index] = running
    return corrected


def analyze(comparison: Comparison) -> tuple[Analysis, ...]:
    """Analyze each data set of which a run has finished, in the order of the cells."""
    published = {method.name: method.published for method in comparison.methods}
    runs: dict[str, dict[str, list[CellResult]]] = {}
    for cell in comparison.cells:
        if accuracy_of(cell) is not None:
            runs.setdefault(cell.data, {}).setdefault(cell.method, []).append(cell)
    analyses = []
    for data, methods in runs.items():
        summaries = [
            _summarize(cells, published.get(name, ""), only=_only_data(comparison, name))
            for name, cells in methods.items()
        ]
        summaries.sort(key=lambda summary: (-summary.hard.mean, summary.method))
        shared = len({summary.seeds for summary in summaries}) == 1
        pooled = pool([summary.accuracies for summary in summaries]) if shared else None
        analyses.append(
            Analysis(
                data=data,
                summaries=tuple(summaries),
                pairs=_pairs(summaries, pooled),
                pooled=pooled,
            )
        )
    return tuple(analyses)


def accuracy_of(cell: CellResult) -> float | None:
    """Give a finished run's test hard accuracy, None for any other run."""
    return number(cell.result, "test_hard_accuracy") if cell.state == "finished" else None


def number(values: Mapping[str, Any], key: str) -> float | None:
    """Give a finite number of a record; None where it is absent, null or not finite."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _only_data(comparison: Comparison, method: str) -> bool:
    return len({cell.data for cell in comparison.cells if cell.method == method}) == 1


def _summarize(cells: list[CellResult], published: str, *, only: bool) -> Summary:
    cells = sorted(cells, key=lambda cell: cell.seed)
    results = [cell.result for cell in cells]
    memories = [result.get("memory") or {} for result in results]
    lengths = [len(cell.epochs) for cell in cells]
    hard = _estimate_of(results, "test_hard_accuracy", limits=(0, 1))
    assert hard is not None  # analyze passes finished runs alone
    return Summary(
        method=cells[0].method,
        data=cells[0].data,
        seeds=tuple(cell.seed for cell in cells),
        accuracies=tuple(float(result["test_hard_accuracy"]) for result in results),
        hard=hard,
        packed=_estimate_of(results, "test_packed_accuracy", limits=(0, 1)),
        validation=_estimate_of(results, "validation_hard_accuracy", limits=(0, 1)),
        seconds=_estimate_of(results, "train_seconds"),
        flip_rate=_estimate_of([c.epochs[-1] for c in cells if c.epochs], "flip_rate"),
        epochs=(min(lengths), max(lengths)),
        parameter_bytes=_largest(memories, "parameter_bytes"),
        gradient_bytes=_largest(memories, "gradient_bytes"),
        optimizer_bytes=_largest(memories, "optimizer_bytes"),
        peak_resident_bytes=_largest(memories, "peak_resident_bytes"),
        published=shown_on(published, cells[0].data),
        verdict=verdict_of(published, hard.low, hard.high, data=cells[0].data, only=only),
    )


def _estimate_of(
    records: Iterable[Mapping[str, Any]], key: str, *, limits: tuple[float, float] | None = None
) -> Estimate | None:
    values = [value for record in records if (value := number(record, key)) is not None]
    return estimate(values, limits=limits) if values else None


def _largest(records: Iterable[Mapping[str, Any]], key: str) -> int | None:
    values = [value for record in records if (value := number(record, key)) is not None]
    return int(max(values)) if values else None


def _pairs(summaries: Sequence[Summary], pooled: Pooled | None) -> tuple[Pair, ...]:
    """Compare every two methods; summaries come from the best down, so the first is better."""
    pairs = [_pair(better, other, pooled) for better, other in combinations(summaries, 2)]
    corrected = iter(holm([pair.p for pair in pairs if pair.p is not None]))
    return tuple(
        pair if pair.p is None else replace(pair, corrected=next(corrected)) for pair in pairs
    )


def _pair(better: Summary, other: Summary, pooled: Pooled | None) -> Pair:
    first = dict(zip(better.seeds, better.accuracies, strict=True))
    second = dict(zip(other.seeds, other.accuracies, strict=True))
    seeds = tuple(seed for seed in first if seed in second)
    differences = [first[seed] - second[seed] for seed in seeds]
    return Pair(
        better=better.method,
        other=other.method,
        seeds=seeds,
        difference=estimate(differences, limits=(-1, 1)) if differences else None,
        p=pooled_p(statistics.fmean(differences), pooled) if pooled else paired_p(differences),
    )


def smallest_visible(analysis: Analysis) -> tuple[int, float, float] | None:
    """Give seeds, spread and the smallest mean difference that the test could have called one.

    d = t(1 − α / 2m, ν) · s / √n for m tested pairs of n seeds. Pooled, s is √2 times the shared
    spread and ν its degrees; else the median standard deviation of the paired differences with
    ν = n − 1, and n the usual number of seeds common with the best method. None without a spread.
    """
    tested = [pair for pair in analysis.pairs if pair.p is not None]
    if analysis.pooled is not None:
        pooled = analysis.pooled
        quantile = _t_quantile(1 - ALPHA / (2 * len(tested)), pooled.degrees)
        return pooled.seeds, math.sqrt(2) * pooled.sd, quantile * pooled.of_difference
    spreads = [pair.difference.sd for pair in tested if pair.difference and pair.difference.sd]
    with_best = [len(pair.seeds) for pair in analysis.against_best() if pair.p is not None]
    if not spreads or not with_best:
        return None
    n, spread = statistics.mode(with_best), statistics.median(spreads)
    quantile = _t_quantile(1 - ALPHA / (2 * len(tested)), n - 1)
    return n, spread, quantile * spread / math.sqrt(n)
