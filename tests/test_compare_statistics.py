"""What a comparison says it shows: means, intervals, tests, sentences."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bnncli.compare.published import parse_published, shown_on, verdict_of
from bnncli.compare.sentences import failures, p_text, sentences
from bnncli.compare.statistics import (
    ALPHA,
    Pair,
    analyze,
    estimate,
    holm,
    number,
    paired_p,
    pool,
    pooled_p,
    smallest_visible,
)
from tests.comparisons import by_method, compared, failed, finished

# Numbers of right answers on 360 images.
counts = st.lists(st.integers(0, 360), min_size=1, max_size=6)
p_values = st.lists(st.floats(0, 1), max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[float]]:
    """Accuracies of some methods on the same seeds."""
    n = draw(st.integers(1, 5))
    hits = st.lists(st.integers(0, 360), min_size=n, max_size=n)
    methods = draw(st.lists(hits, min_size=1, max_size=5))
    return {f"m{i}": [hit / 360 for hit in method] for i, method in enumerate(methods)}


def the_analysis(accuracies):
    (analysis,) = analyze(by_method(accuracies))
    return analysis


@given(counts)
def test_estimates_agree_with_numpy_and_scipy(hits):
    values = [hit / 360 for hit in hits]
    found = estimate(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values))
    if len(values) == 1:
        assert found.sd is None
        assert found.low is found.high is None
    elif len(set(values)) == 1:
        assert found.sd == 0
        assert found.low is found.high is None
    else:
        assert found.sd == pytest.approx(np.std(values, ddof=1))
        wanted = stats.t.interval(0.95, len(values) - 1, found.mean, stats.sem(values))
        assert (found.low, found.high) == pytest.approx(wanted)
        cut = estimate(values, limits=(0, 1))
        assert (cut.low, cut.high) == pytest.approx(np.clip(wanted, 0, 1))


def test_intervals_hold_the_true_mean_95_times_in_100():
    draws = np.random.default_rng(0).normal(0.96, 0.002, size=(2000, 3))
    inside = sum(e.low <= 0.96 <= e.high for e in map(estimate, draws.tolist()))
    assert inside / 2000 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2000))


@given(counts)
def test_paired_p_agrees_with_scipy_where_differences_vary(hits):
    differences = [(hit - 180) / 360 for hit in hits]
    assume(len(set(differences)) > 1)
    wanted = stats.ttest_1samp(differences, 0).pvalue
    assert paired_p(differences) == pytest.approx(wanted)
    assert paired_p([-d for d in differences]) == pytest.approx(wanted)


def test_the_paired_test_errs_as_often_as_it_says():
    draws = np.random.default_rng(1).normal(0, 0.002, size=(2000, 3))
    rejected = sum(paired_p(row) < ALPHA for row in draws.tolist())
    assert rejected / 2000 == pytest.approx(ALPHA, abs=3 * math.sqrt(0.05 * 0.95 / 2000))


@given(st.integers(2, 8), st.integers(-9, 9))
def test_equal_differences_get_the_p_of_the_sign_flips(n, hits):
    differences = [hits / 360] * n
    total = abs(sum(differences))
    flips = itertools.product((-1, 1), repeat=n)
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    wanted = sum(value >= total - 1e-12 for value in sums) / 2**n
    assert paired_p(differences) == pytest.approx(wanted)


def test_differences_that_are_equal_but_for_rounding_count_as_equal():
    differences = [0.1 + 0.2 - 0.3, 0.0, 0.0]  # 5.6e-17 first
    assert paired_p(differences) == 1.0
    assert paired_p([0.3 - 0.1, 0.2, 0.2]) == 0.25


@pytest.mark.parametrize("differences", [[], [0.1]])
def test_fewer_than_two_pairs_are_not_tested(differences):
    assert paired_p(differences) is None


@given(p_values)
def test_holm_agrees_with_its_definition(given_p):
    m = len(given_p)
    ordered = sorted(given_p)
    wanted = [
        max(min(1.0, (m - j) * ordered[j]) for j in range(ordered.index(p) + 1)) for p in given_p
    ]
    found = holm(given_p)
    # Equal values may stand anywhere among each other; the last of them is the largest product.
    for p, corrected, reference in zip(given_p, found, wanted, strict=True):
        assert p <= corrected <= 1
        assert corrected == pytest.approx(reference)


@given(p_values, st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_ignores_the_arrangement(given_p, random):
    pairs = sorted(zip(given_p, holm(given_p), strict=True))
    assert [c for _, c in pairs] == sorted(c for _, c in pairs)
    shuffled = list(given_p)
    random.shuffle(shuffled)
    assert sorted(zip(shuffled, holm(shuffled), strict=True)) == pairs


def test_holm_on_a_case_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_methods_does_not_matter(accuracies, random):
    names = list(accuracies)
    random.shuffle(names)
    shuffled = {name: accuracies[name] for name in names}
    assert the_analysis(accuracies) == the_analysis(shuffled)
    assert sentences(by_method(accuracies)) == sentences(by_method(shuffled))


@given(tables())
def test_an_analysis_is_sorted_and_holds_every_pair_once(accuracies):
    analysis = the_analysis(accuracies)
    means = [summary.hard.mean for summary in analysis.summaries]
    assert means == sorted(means, reverse=True)
    assert {s.method for s in analysis.summaries} == set(accuracies)
    pairs = {frozenset((p.better, p.other)) for p in analysis.pairs}
    assert len(pairs) == len(analysis.pairs) == math.comb(len(accuracies), 2)
    for pair in analysis.pairs:
        assert pair.difference.mean >= -1e-12
        assert (pair.p is None) == (len(pair.seeds) < 2) == (pair.corrected is None)


@given(tables())
def test_sentences_name_each_method_against_the_best_once(accuracies):
    assume(len(accuracies) > 1)
    analysis = the_analysis(accuracies)
    lines = sentences(by_method(accuracies))
    about = " ".join(s for s in lines if "distinguishable from" in s or "not tested" in s)
    for summary in analysis.summaries[1:]:
        assert len(re.findall(rf"[:;] {summary.method}(?: \(|[;.])", about)) == 1


def test_pairs_use_the_seeds_that_both_finished():
    cells = [finished("a", s, v) for s, v in enumerate([0.97, 0.98, 0.96])]
    cells += [finished("b", 1, 0.95), failed("b", 0), finished("b", 2, 0.94)]
    (analysis,) = analyze(compared(cells))
    (pair,) = analysis.pairs
    assert pair.seeds == (1, 2)
    assert pair.difference.mean == pytest.approx(0.025)
    assert [s.hard.n for s in analysis.summaries] == [3, 2]


def test_the_correction_counts_the_tested_pairs_of_one_data_set():
    values = {"a": [0.97, 0.975, 0.98], "b": [0.96, 0.968, 0.969], "c": [0.5, 0.52, 0.51]}
    mnist = by_method(values).cells
    digits = [finished("a", s, 0.9 + s / 100, data="digits") for s in range(3)]
    first, second = analyze(compared([*mnist, finished("lonely", 7, 0.2), *digits]))
    assert (first.data, second.data) == ("mnist", "digits")
    assert second.pairs == ()
    tested = [pair for pair in first.pairs if pair.p is not None]
    assert len(tested) == 3
    assert [pair.corrected for pair in tested] == holm([pair.p for pair in tested])
    assert all(p.corrected is None for p in first.pairs if "lonely" in {p.better, p.other})


def test_a_clear_difference_is_found_and_a_small_one_is_not():
    rows = {"good": [0.980, 0.981, 0.979], "near": [0.9795, 0.9812, 0.9788], "far": [0.9, 0.902, 0.899]}  # fmt: skip
    best, apart, same, limits = sentences(by_method(rows))
    assert best.startswith("mnist: the highest mean is that of good, 98.00 %")
    rule = "distinguishable from good at 5 % after Holm's correction over 3 paired tests with one spread for all methods: "
    assert re.fullmatch(rf"mnist: {rule}far \(−7.97 points, p [^)]+\)\.", apart)
    assert re.fullmatch(rf"mnist: not {rule}near \(−0.02 points, p [^)]+\)\.", same)
    assert limits.startswith("mnist: what 3 common seeds can show: ")


def test_the_smallest_visible_difference_is_where_the_test_turns():
    rows = {"a": [0.97, 0.98, 0.96], "b": [0.95, 0.93, 0.955], "c": [0.9, 0.9, 0.9]}
    analysis = the_analysis(rows)
    assert analysis.pooled is None  # a method without a spread shares none
    n, spread, smallest = smallest_visible(analysis)
    assert n == 3
    base = np.array([-1.0, 0.0, 1.0]) * spread  # standard deviation: spread
    strictest = ALPHA / len(analysis.pairs)
    assert paired_p((base + 1.001 * smallest).tolist()) < strictest
    assert paired_p((base + 0.999 * smallest).tolist()) > strictest
    assert f"{100 * smallest:.2f} points" in "\n".join(sentences(by_method(rows)))


def test_the_smallest_visible_difference_turns_the_pooled_test_too():
    rows = {"a": [0.97, 0.98, 0.96], "b": [0.95, 0.93, 0.955], "c": [0.9, 0.93, 0.88]}
    analysis = the_analysis(rows)
    n, spread, smallest = smallest_visible(analysis)
    assert n == 3
    assert spread == pytest.approx(math.sqrt(2) * analysis.pooled.sd)
    strictest = ALPHA / len(analysis.pairs)
    assert pooled_p(1.001 * smallest, analysis.pooled) < strictest
    assert pooled_p(-0.999 * smallest, analysis.pooled) > strictest


def noisy(generator, k=6, n=3, sd=0.002):
    """Accuracies of k equal methods on n seeds that share some luck."""
    return 0.9 + generator.normal(0, sd, (k, n)) + generator.normal(0, 0.01, n)


def test_the_pooled_spread_is_the_residual_of_methods_and_seeds():
    table = noisy(np.random.default_rng(2))
    found = pool(table.tolist())
    k, n = table.shape
    columns = [np.repeat(np.eye(k), n, axis=0), np.tile(np.eye(n)[:, 1:], (k, 1))]
    _, (squares,), *_ = np.linalg.lstsq(np.hstack(columns), table.ravel(), rcond=None)
    assert found.degrees == (k - 1) * (n - 1)
    assert found.sd == pytest.approx(math.sqrt(squares / found.degrees))
    shifted = table + np.arange(k)[:, None] * 0.01 + np.arange(n) * 0.02
    assert pool(shifted.tolist()).sd == pytest.approx(found.sd)


def test_the_pooled_test_errs_as_often_as_it_says():
    generator, p_values = np.random.default_rng(3), []
    for _ in range(1500):
        table = noisy(generator)
        pooled = pool(table.tolist())
        if pooled is not None:
            p_values.append(pooled_p(float(table[0].mean() - table[1].mean()), pooled))
    rejected = np.mean(np.array(p_values) < ALPHA)
    assert rejected == pytest.approx(ALPHA, abs=3 * math.sqrt(0.05 * 0.95 / len(p_values)))


@pytest.mark.parametrize(
    "rows",
    [
        [[0.9, 0.91, 0.92], [0.8, 0.82, 0.81]],  # two methods: the paired test is the same
        [[0.9], [0.8], [0.7]],
        [[0.9, 0.91, 0.92], [0.8, 0.82, 0.81], [0.7, 0.7, 0.7]],
        [[0.970, 0.971, 0.972], [0.960, 0.962, 0.961], [0.1, 0.4, 0.3]],  # a collapse
    ],
)
def test_spreads_that_differ_or_cannot_be_known_are_not_pooled(rows):
    assert pool(rows) is None


def test_methods_that_lack_a_seed_are_not_pooled():
    rows = {"a": [0.97, 0.98, 0.96], "b": [0.95, 0.93, 0.955], "c": [0.9, 0.93]}
    assert the_analysis(rows).pooled is None


def test_one_seed_has_no_interval_and_no_test():
    best, untested = sentences(by_method({"a": [0.9], "b": [0.8]}, {"a": "85.0"}))
    assert best.endswith("90.00 % test hard accuracy on one seed, so there is no interval.")
    assert untested == (
        "mnist: not tested against a, for want of two common seeds: b. Their order may be chance."
    )


def test_failed_and_stopped_runs_are_counted_and_listed():
    cells = [finished("a", 0, 0.9), failed("b", 0, "bad lr; lower it\ntraceback")]
    cells.append(finished("c", 0, math.nan))
    assert sentences(compared(cells))[-1] == (
        "Of 3 runs 1 failed and 1 finished without a test hard accuracy; every mean is over the "
        "others of its method. No run of b, c can be shown."
    )
    assert failures(compared(cells)) == [
        "b, mnist, seed 0: failed: bad lr; lower it",
        "c, mnist, seed 0: finished: its result has no finite test_hard_accuracy",
    ]


def test_nothing_finished_is_nothing_analyzed():
    assert analyze(compared([failed("a", 0)])) == ()
    assert analyze(compared([])) == ()
    assert sentences(compared([])) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("94.36 ± 0.76", [(None, 94.36, 0.76, 0.01)]),
        ("94.36±0.76 %", [(None, 94.36, 0.76, 0.01)]),
        ("96.3 +/- 1", [(None, 96.3, 1.0, 0.1)]),
        ("96", [(None, 96.0, None, 1.0)]),
        ("mnist: 94.36; cifar-10: 71.4", [("mnist", 94.36, None, 0.01), ("cifar-10", 71.4, None, 0.1)]),
        ("", []),
        ("~.82", []),
        ("> 95", []),
        ("196", []),
        ("94.36; about 70", []),
    ],
)  # fmt: skip
def test_published_figures_are_read(text, wanted):
    found = [(p.data, p.mean, p.sd, p.step) for p in parse_published(text)]
    assert found == [pytest.approx(w, nan_ok=True) if w[2] else w for w in wanted]


@given(st.floats(0.2, 0.9), st.floats(0.001, 0.1), st.integers(0, 10_000))
def test_a_verdict_is_the_side_of_the_interval(low, width, hundredths):
    figure = hundredths / 100
    found = verdict_of(f"{figure:.2f}", low, low + width, data="mnist", only=True)
    edge = min(abs(figure - 100 * low), abs(figure - 100 * (low + width)))
    assume(edge > 0.0051)
    inside = 100 * low < figure < 100 * (low + width)
    assert found == ("compatible" if inside else "higher" if figure < 100 * low else "lower")


def test_a_verdict_allows_for_the_last_printed_digit():
    assert verdict_of("96.3", 0.9633, 0.97, data="d", only=True) == "compatible"
    assert verdict_of("96.30", 0.9633, 0.97, data="d", only=True) == "higher"
    assert verdict_of("96.3", None, None, data="d", only=True) is None


def test_a_figure_without_a_data_set_counts_where_there_is_one():
    assert verdict_of("90", 0.95, 0.96, data="mnist", only=False) is None
    assert verdict_of("mnist: 90", 0.95, 0.96, data="mnist", only=False) == "higher"
    assert verdict_of("digits: 90", 0.95, 0.96, data="mnist", only=True) is None
    cells = [finished("a", s, 0.95 + s / 1000, data=d) for s in range(3) for d in ("x", "y")]
    verdicts = [a.best.verdict for a in analyze(compared(cells, {"a": "90.0"}))]
    assert verdicts == [None, None]


def test_a_p_near_the_level_is_printed_on_its_own_side():
    assert p_text(0.0502) == "0.0502"
    assert p_text(0.2) == "0.200"
    assert p_text(0.0002) == "< 0.001"
    assert p_text(None) == "–"
    pair = Pair(better="a", other="b", seeds=(0, 1), difference=None, p=0.01, corrected=0.05)
    assert not pair.distinguishable


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.9", True])
def test_what_is_no_finite_number_is_absent(value):
    assert number({"x": value}, "x") is None
    assert number({}, "x") is None
    assert number({"x": 1}, "x") == 1.0


def test_bytes_are_the_largest_and_state_is_parameters_and_optimizer():
    small = {"parameter_bytes": 10, "optimizer_bytes": 20, "gradient_bytes": 10}
    large = {**small, "optimizer_bytes": 25}
    cells = [finished("a", 0, 0.9, memory=small), finished("a", 1, 0.9, memory=large)]
    (analysis,) = analyze(compared([*cells, finished("b", 0, 0.8, memory=None)]))
    assert analysis.best.state_bytes == 35
    assert analysis.best.peak_resident_bytes is None
    assert analysis.summaries[1].state_bytes is None
    assert analysis.summaries[1].epochs == (3, 3)


def test_a_published_figure_is_shown_on_its_own_data_set():
    text = "mnist: 94.36 ± 0.76; cifar10: 70.0"
    assert shown_on(text, "mnist") == "94.36 ± 0.76"
    assert shown_on(text, "cifar10") == "70.0"
    assert shown_on(text, "digits") == ""
    assert shown_on("94.36", "digits") == "94.36"
    assert shown_on("about 94", "digits") == "about 94"
