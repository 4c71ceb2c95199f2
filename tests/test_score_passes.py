"""Class sums: folding keeps the scores, and equality of scores is proved or refuted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.bench.large_circuits import layered
from bnncli.circuit import (
    Builder,
    Circuit,
    ClassSums,
    Design,
    PixelInputs,
    rebuild,
    to_text,
    truth_tables,
)
from bnncli.errors import BnnError
from bnncli.minimize import LEVELS, Effort, fold_sums, optimize_design
from bnncli.prove import METHODS, Verdict, compare_designs
from bnncli.prove.cases import outputs_for
from bnncli.prove.solver import have
from tests.circuits import FULL_ADDER, circuits

needs_solvers = pytest.mark.skipif(
    not (have("aigverse") and have("pysat")), reason="aigverse and python-sat are not installed"
)
EACH_METHOD = [pytest.param(name, marks=needs_solvers if name == "sat" else ()) for name in METHODS]


@st.composite
def designs(draw: st.DrawFn) -> Design:
    """Draw a circuit with class sums of any weights."""
    circuit = draw(circuits(max_outputs=8))
    n_classes = draw(st.integers(1, 3))
    ends = [circuit.n_outputs]
    group = [draw(st.integers(0, n_classes - 1)) for _ in range(*ends)]
    weight = [draw(st.integers(-2, 2)) for _ in range(*ends)]
    bias = [draw(st.integers(-2, 2)) for _ in range(n_classes)]
    return Design("d", circuit, sums=ClassSums(np.array(group), np.array(weight), np.array(bias)))


def all_scores(design: Design) -> np.ndarray:
    assert design.sums is not None
    return design.sums.scores(truth_tables(design.circuit))


def heavier(design: Design, output: int) -> Design:
    """Count an output once more."""
    assert design.sums is not None
    weight = design.sums.weight.copy()
    weight[output] += 1
    return replace(design, sums=replace(design.sums, weight=weight))


@settings(max_examples=100, deadline=None)
@given(design=designs())
def test_folding_keeps_the_scores(design):
    before = to_text(design.circuit)
    made = fold_sums(design)
    assert to_text(design.circuit) == before
    assert np.array_equal(all_scores(made), all_scores(design))
    assert made.circuit.size <= design.circuit.size
    again = fold_sums(made)
    assert to_text(again.circuit) == to_text(made.circuit)
    outputs = list(zip(made.sums.group.tolist(), made.circuit.outputs.tolist(), strict=True))
    assert len(set(outputs)) == len(outputs)
    assert made.circuit.outputs.min(initial=2) > 1
    assert made.sums.weight.all()


@pytest.mark.parametrize("method", EACH_METHOD)
@settings(max_examples=60, deadline=None)
@given(design=designs(), data=st.data())
def test_verdicts_on_scores_agree_with_all_scores(method, design, data):
    other = fold_sums(design)
    for _ in range(data.draw(st.integers(0, 2))):
        if other.circuit.n_outputs:
            other = heavier(other, data.draw(st.integers(0, other.circuit.n_outputs - 1)))
    verdict = compare_designs(design, other, method=method, samples=4096)
    equal = np.array_equal(all_scores(design), all_scores(other))
    assert verdict.equal is equal
    if not equal:
        check_counterexample(verdict, design, other)


def check_counterexample(verdict: Verdict, *pair: Design) -> None:
    bits = verdict.counterexample
    assert bits is not None
    scores = []
    for design in pair:
        outputs = np.array([outputs_for(design.circuit, bits)], np.bool_).T
        scores.append(design.sums.scores(outputs)[0, verdict.output])
    assert scores[0] != scores[1]
    assert "differ: score" in verdict.sentence()


@needs_solvers
@pytest.mark.parametrize("level", [1, 2])
def test_large_designs_are_proved(level):
    design = Design("d", layered(60, 100, 4, seed=0), sums=ClassSums.equal_groups(100, 10))
    done = optimize_design(design, level=level)
    assert done.verdict.proved
    assert done.verdict.of_scores
    assert done.verdict.kind in ("structural", "sat")
    assert done.design.circuit.size < rebuild(design.circuit).size
    sizes = [step.after for step in done.steps]
    assert sizes == sorted(sizes, reverse=True)
    changed = heavier(done.design, 0)
    check_counterexample(compare_designs(design, changed), design, changed)


@needs_solvers
def test_a_difference_that_samples_miss_is_found():
    """Scores that differ for one of 2^40 inputs."""
    ands = [(0x8, 2, 3), *((0x8 if i % 2 else 0x2, 42 + i, 4 + i) for i in range(38))]
    rare = Circuit.of_gates(40, ands, [80, 2, 2])
    never = Circuit.of_gates(40, [], [0, 2, 2])
    sums = ClassSums.equal_groups(3, 1)
    pair = Design("a", rare, sums=sums), Design("b", never, sums=sums)
    verdict = compare_designs(*pair)
    assert (verdict.equal, verdict.kind) == (False, "sat")
    assert verdict.counterexample == (1, 1, *(i % 2 for i in range(38)))


def test_sums_that_differ_but_are_equal_are_sampled_at_least():
    """x + y = (x or y) + (x and y): no output equals another."""
    sums = ClassSums.equal_groups(2, 1)
    wires = Circuit.of_gates(17, [], [2, 3])
    gates = Circuit.of_gates(17, [(0xE, 2, 3), (0x8, 2, 3)], [19, 20])
    pair = Design("a", wires, sums=sums), Design("b", gates, sums=sums)
    verdict = compare_designs(*pair, samples=1000)
    assert (verdict.equal, verdict.proved, verdict.kind) == (True, False, "sampled")
    assert verdict.sentence() == (
        "equal scores on 1,000 sampled inputs (seed 0): not a proof; "
        "the sums weigh outputs that differ"
    )
    assert compare_designs(*pair, method="exhaustive").sentence() == (
        "equal scores on all 131,072 inputs (exhaustive)"
    )


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(design=designs())
def test_levels_keep_the_scores(level, design):
    done = optimize_design(design, level=level, effort=Effort(budget=0.01, jobs=1))
    assert np.array_equal(all_scores(done.design), all_scores(design))
    assert done.verdict.proved
    assert done.design.circuit.size <= design.circuit.size


def test_designs_without_sums_are_compared_by_outputs():
    design = Design("adder", FULL_ADDER)
    done = optimize_design(design, level=2)
    assert done.verdict.sentence() == "equal on all 8 inputs (exhaustive)"
    assert fold_sums(design) is design


def test_what_cannot_be_compared():
    sums = ClassSums.equal_groups(2, 2)
    adder = Design("a", FULL_ADDER, sums=sums)
    with pytest.raises(BnnError, match="one design ends in class sums"):
        compare_designs(adder, Design("b", FULL_ADDER))
    with pytest.raises(BnnError, match="2 classes against 1"):
        compare_designs(adder, replace(adder, sums=ClassSums.equal_groups(2, 1)))
    pixels = PixelInputs(3, np.arange(3, dtype=np.int32), np.zeros(3, np.uint8))
    other = replace(pixels, threshold=np.ones(3, np.uint8))
    with pytest.raises(BnnError, match="bits of other pixels"):
        compare_designs(replace(adder, pixels=pixels), replace(adder, pixels=other))


def test_scores_of_many_outputs_are_compared_in_blocks(monkeypatch):
    monkeypatch.setattr("bnncli.prove.scores._SCORED_WORDS", 5)
    # 9 inputs: 8 words of cases; they differ in the last case alone.
    build = Builder(9)
    every, *rest = build.inputs()
    for x in rest:
        every = build.and_(every, x)
    one, other = (
        Design("d", build.build([x, x ^ 1]), sums=ClassSums.equal_groups(2, 2)) for x in (every, 0)
    )
    assert compare_designs(one, one, method="exhaustive").cases == 512
    assert compare_designs(one, other, method="exhaustive").counterexample == (1,) * 9
    found = compare_designs(one, one, method="sampled", samples=201)
    assert found.cases == 201
