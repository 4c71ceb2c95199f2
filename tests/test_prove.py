"""Verdicts are right: against truth tables, for every method, with true counterexamples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.circuit import Builder, Circuit, rebuild, truth_tables
from bnncli.errors import BnnError, UsageError
from bnncli.gates import N_GATES
from bnncli.prove import METHODS, Verdict, compare
from bnncli.prove.cases import draw, outputs_for, sampled_patterns
from bnncli.prove.solver import SignalSolver, _prime_clauses, have
from bnncli.prove.sweeping import equal_signals
from tests.circuits import FULL_ADDER, brute_force, circuits, random_circuit

needs_solvers = pytest.mark.skipif(
    not (have("aigverse") and have("pysat")), reason="aigverse and python-sat are not installed"
)
EACH_METHOD = [pytest.param(name, marks=needs_solvers if name == "sat" else ()) for name in METHODS]


def flipped(circuit: Circuit, gate: int, row: int = 0) -> Circuit:
    """Change one entry of one gate's truth table."""
    op = circuit.op.copy()
    op[gate] ^= 1 << row
    return replace(circuit, op=op)


def check_counterexample(verdict: Verdict, a: Circuit, b: Circuit) -> None:
    assert verdict.equal is False
    assert not verdict.proved
    assert verdict.counterexample is not None
    assert len(verdict.counterexample) == a.n_inputs
    case = sum(bit << i for i, bit in enumerate(verdict.counterexample))
    assert brute_force(a)[verdict.output, case] != brute_force(b)[verdict.output, case]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Circuit, Circuit]:
    """Draw a circuit and another with the same ends: some gates or outputs changed, or none."""
    circuit = draw(circuits())
    other = rebuild(circuit) if draw(st.booleans()) else circuit
    for _ in range(draw(st.integers(0, 2))):
        if other.n_gates:
            gate = draw(st.integers(0, other.n_gates - 1))
            other = flipped(other, gate, draw(st.integers(0, 3)))
    return circuit, other


@pytest.mark.parametrize("method", EACH_METHOD)
@settings(max_examples=60, deadline=None)
@given(pair=pairs())
def test_verdicts_agree_with_truth_tables(method, pair):
    verdict = compare(*pair, method=method, samples=4096)
    equal = np.array_equal(*map(truth_tables, pair))
    assert verdict.equal is equal
    if not equal:
        check_counterexample(verdict, *pair)


@needs_solvers
def test_a_difference_that_samples_miss_is_found_by_sat():
    n_inputs = 40
    build = Builder(n_inputs)
    every = build.inputs()[0]
    for i, x in enumerate(build.inputs()[1:]):
        every = build.and_(every, x if i % 3 else build.not_(x))
    rare = build.build([every])
    never = Circuit.of_gates(n_inputs, [], [0], (), ("rare",))
    assert compare(rare, never, method="sampled", samples=10_000).equal
    for method in ("auto", "sat"):
        verdict = compare(rare, never, method=method)
        assert (verdict.equal, verdict.kind, verdict.output) == (False, "sat", 0)
        assert verdict.counterexample is not None
        assert outputs_for(rare, verdict.counterexample) == [1]
        assert "output 0 (rare)" in verdict.sentence()


def multiplier(n_bits: int, swap: bool) -> Circuit:
    """Multiply two numbers row by row, or with the numbers exchanged."""
    build = Builder(2 * n_bits)
    inputs = build.inputs()
    x, y = inputs[:n_bits], inputs[n_bits:]
    if swap:
        x, y = y, x
    total = [0] * (2 * n_bits)
    for i, bit in enumerate(x):
        carry = 0
        for j in range(n_bits):
            term, old = build.and_(bit, y[j]), total[i + j]
            half = build.xor(term, old)
            total[i + j] = build.xor(half, carry)
            carry = build.or_(build.and_(term, old), build.and_(half, carry))
        total[i + n_bits] = carry
    return build.build(total)


@needs_solvers
def test_a_solver_that_gives_up_is_no_verdict():
    a, b = multiplier(8, swap=False), multiplier(8, swap=True)
    verdict = compare(a, b, method="sat", conflicts=1)
    assert (verdict.equal, verdict.kind, verdict.proved) == (None, "sat", False)
    assert verdict.sentence().startswith("undecided: aigverse ")
    small = multiplier(4, swap=False), multiplier(4, swap=True)
    assert compare(*small, method="sat").proved
    assert compare(*small).sentence() == "equal on all 256 inputs (exhaustive)"


@needs_solvers
def test_circuits_that_share_signals_inside_are_decided_by_these(monkeypatch):
    monkeypatch.setattr("bnncli.prove.sat._FEW_CONFLICTS", 1)
    straight, swapped = multiplier(4, swap=False), multiplier(4, swap=True)
    verdict = compare(straight, swapped, method="sat")
    assert verdict.proved
    assert "by sweeping" in verdict.prover
    monkeypatch.setattr("bnncli.prove.comparison.FIRST_LOOK", 1)
    wrong = flipped(swapped, swapped.n_gates - 1, row=1)
    check_counterexample(compare(straight, wrong, method="sat"), straight, wrong)


def test_auto_says_how_it_knows(monkeypatch):
    wide = random_circuit(60, 400, 5, seed=3, reach=60)
    assert compare(wide, rebuild(wide)).sentence() == (
        "equal (structure: the same gates after hashing)"
    )
    monkeypatch.setattr("bnncli.prove.comparison.have", lambda name: False)
    build = Builder(30)
    x, y, *_ = build.inputs()
    one = build.build([build.xor(x, y)])
    build = Builder(30)
    two = build.build([build.or_(build.and_(x, y ^ 1), build.and_(x ^ 1, y))])
    verdict = compare(one, two, samples=20_000, seed=7)
    assert not verdict.proved
    assert verdict.sentence() == (
        "equal on 20,000 sampled inputs (seed 7): not a proof; "
        "install bnncli[verify] to prove it by SAT"
    )


@needs_solvers
@settings(max_examples=50, deadline=None)
@given(circuit=circuits(max_inputs=5), data=st.data())
def test_questions_about_signals(circuit, data):
    every = replace(circuit, outputs=np.arange(circuit.n_signals), output_names=())
    tables = truth_tables(every)
    with SignalSolver(circuit) as solver:
        for _ in range(5):
            signal = st.integers(0, circuit.n_signals - 1)
            x, y, complement = data.draw(signal), data.draw(signal), data.draw(st.booleans())
            answer = solver.equal(x, y, complement)
            differ = tables[x] ^ tables[y] ^ complement
            assert (answer is True) == (not differ.any())
            if answer is not True:
                assert differ[sum(bit << i for i, bit in enumerate(answer))]


@pytest.mark.parametrize("table", range(N_GATES))
def test_clauses_define_the_gate(table):
    for row in range(4):
        a, b = row & 1, row >> 1
        for out in (0, 1):
            signs = (2 * a - 1, 2 * b - 1, 2 * out - 1)
            holds = all(
                any(c and c == s for c, s in zip(clause, signs, strict=True))
                for clause in _prime_clauses(table)
            )
            assert holds == (out == table >> row & 1)


def test_samples_hold_few_and_many_ones():
    words = draw(np.random.default_rng(0), 100, 8)
    shares = np.bitwise_count(words).sum(axis=0) / 6400
    assert np.allclose(shares, np.array([4, 2, 4, 6, 4, 1, 4, 7]) / 8, atol=0.03)


def test_sentences():
    inputs = FULL_ADDER.n_inputs
    assert compare(FULL_ADDER, FULL_ADDER).sentence() == "equal on all 8 inputs (exhaustive)"
    wrong = flipped(FULL_ADDER, 4, row=1)
    verdict = compare(FULL_ADDER, wrong)
    assert verdict.sentence() == "differ: output 1 (next) for inputs 110"
    assert Verdict(True, "sat", prover="aigverse 1").sentence() == "equal (SAT, aigverse 1)"
    constant = Circuit.of_gates(0, [], [1])
    assert compare(constant, constant).sentence() == "equal on the only input (exhaustive)"
    long = Verdict(False, "sat", counterexample=(1,) * 70, output=2)
    assert long.sentence() == f"differ: output 2 for inputs {'1' * 64}… (6 more)"
    assert inputs == 3


def test_what_cannot_be_compared():
    with pytest.raises(BnnError, match="3 inputs against 2"):
        compare(FULL_ADDER, Circuit.of_gates(2, [], [0, 0]))
    with pytest.raises(BnnError, match="2 outputs against 1"):
        compare(FULL_ADDER, Circuit.of_gates(3, [], [0]))
    with pytest.raises(UsageError, match="did you mean 'sampled'"):
        compare(FULL_ADDER, FULL_ADDER, method="sample")
    wide = Circuit.of_gates(25, [], [0])
    with pytest.raises(BnnError, match="at most 24 to try all"):
        compare(wide, wide, method="exhaustive")
    with pytest.raises(BnnError, match="samples=0"):
        compare(FULL_ADDER, FULL_ADDER, samples=0)


def test_sat_without_solvers_says_what_to_install(monkeypatch):
    monkeypatch.setattr("bnncli.prove.solver.have", lambda name: False)
    with pytest.raises(BnnError, match=r"pip install 'bnncli\[verify\]'"):
        compare(FULL_ADDER, FULL_ADDER, method="sat")


@needs_solvers
def test_signals_on_which_the_solver_gives_up_are_not_equal(monkeypatch):
    build = Builder(3)
    x, y, z = build.inputs()
    ends = [build.and_(x, build.and_(y, z)), build.and_(build.and_(x, y), z)]
    circuit = build.build(ends)
    assert len(equal_signals(circuit)) == 1
    monkeypatch.setattr(SignalSolver, "_ask", lambda *_: False)
    assert equal_signals(circuit) == {}


def test_wide_circuits_are_sampled_in_blocks():
    wide = Circuit.of_gates(2**15, [], [2])
    blocks = [(words.shape, n) for words, n in sampled_patterns(wide.n_inputs, 5000, 0)]
    assert max(rows * words for (rows, words), _ in blocks) <= 2**20
    assert sum(n for _, n in blocks) == 5000
