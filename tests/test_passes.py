"""Passes keep the function and their input, never grow, and find what they are there for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from bnncli.bench.large_circuits import layered
from bnncli.bits import pack_bits, unpack_bits
from bnncli.circuit import Builder, Circuit, rebuild, simulate, to_text, truth_tables
from bnncli.errors import BnnError, UsageError
from bnncli.gates import NOT_A, NOT_B, TRIVIAL
from bnncli.minimize import LEVELS, PASSES, Effort, find_pass, optimize
from bnncli.minimize.abc import SCRIPTS, find_abc, run_abc
from bnncli.minimize.merging import merge_equal_on, merge_functional
from bnncli.minimize.windows import resubstitute
from bnncli.prove import compare
from bnncli.prove.solver import have
from tests.circuits import FULL_ADDER, circuits, random_circuit

needs_solver = pytest.mark.skipif(not have("pysat"), reason="python-sat is not installed")
ONE_ROUND = [name for name in PASSES if name not in ("resubstitute", "search", "abc")]
OURS = [name for name in PASSES if name != "abc"]


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=40, deadline=None)
@given(circuit=circuits())
def test_passes_keep_the_function(name, circuit):
    before = to_text(circuit)
    made, record = find_pass(name).run(circuit, Effort(budget=0.01, jobs=1))
    assert to_text(circuit) == before
    assert np.array_equal(truth_tables(made), truth_tables(circuit))
    assert (record.before, record.after) == (circuit.size, made.size)
    assert made.size <= circuit.size
    assert (made.input_names, made.output_names) == (circuit.input_names, circuit.output_names)


@pytest.mark.parametrize("name", ONE_ROUND)
@settings(max_examples=60, deadline=None)
@given(circuit=circuits())
def test_passes_are_idempotent(name, circuit):
    made, _ = find_pass(name).run(circuit)
    again, _ = find_pass(name).run(made)
    assert to_text(again) == to_text(made)


@settings(max_examples=60, deadline=None)
@given(circuit=circuits(max_gates=40))
def test_what_the_parts_of_the_clean_up_leave(circuit):
    """Gates that combine two signals, each in one way or its complement, and output inverters."""
    parts = ("fold_constants", "propagate_copies", "absorb_inverters", "hash_structure")
    before = None
    while before != circuit:
        before = circuit
        for name in (*parts, "remove_dead"):
            circuit, _ = find_pass(name).run(circuit)
    seen = set()
    gates = zip(circuit.op, circuit.a, circuit.b, strict=True)
    for signal, (op, a, b) in enumerate(gates, circuit.first_gate):
        if op in (NOT_A, NOT_B):
            assert signal in circuit.outputs
            continue
        assert op not in TRIVIAL
        assert 1 < a < b
        assert not {(op, a, b), (op ^ 0xF, a, b)} & seen
        seen.add((op, a, b))
    assert rebuild(circuit).size <= circuit.size


@settings(max_examples=60, deadline=None)
@given(circuit=circuits())
def test_merging_leaves_no_two_equal_signals(circuit):
    made = merge_functional(circuit)
    combining = made.first_gate + np.flatnonzero(~np.isin(made.op, [NOT_A, NOT_B]))
    signals = [0, *range(2, made.first_gate), *combining]
    tables = truth_tables(replace(made, outputs=np.array(signals), output_names=()))
    tables ^= tables[:, :1]
    assert len(np.unique(tables, axis=0)) == len(tables)


@needs_solver
@pytest.mark.parametrize("seed", range(5))
def test_merging_by_sat_finds_what_trying_all_inputs_finds(seed, monkeypatch):
    circuit = random_circuit(10, 300, 8, seed, reach=40)
    exhaustive = merge_functional(circuit)
    monkeypatch.setattr("bnncli.minimize.merging.tries_all", lambda circuit: False)
    swept = merge_functional(circuit, seed=seed)
    assert swept.size == exhaustive.size
    assert compare(swept, circuit).proved


@needs_solver
def test_merging_by_sat_is_not_misled_by_rare_cases(monkeypatch):
    """Signals that differ in one case of 2^30, and one that is constant for no visible reason."""
    build = Builder(30)
    every = build.inputs()[0]
    for x in build.inputs()[1:]:
        every = build.and_(every, x)
    x, y, *_ = build.inputs()
    parity = build.xor(x, y)
    nearly = build.xor(parity, every)
    never = build.and_(build.and_(parity, x), build.and_(build.and_(x, y), parity))
    circuit = build.build([parity, nearly, never, every])
    made = merge_functional(circuit)
    assert (circuit.size, made.size) == (34, 31)
    assert compare(made, circuit, method="sat").proved


def test_merging_beyond_trying_all_says_what_to_install(monkeypatch):
    monkeypatch.setattr("bnncli.minimize.merging.have", lambda name: False)
    wide = random_circuit(40, 100, 3, seed=0)
    with pytest.raises(BnnError, match=r"40 inputs; install bnncli\[verify\]"):
        merge_functional(wide)
    done = optimize(wide, level=2)
    assert [step.skipped != "" for step in done.steps] == [False, True, False]


def test_without_kernels_there_is_no_search(monkeypatch):
    monkeypatch.setattr("bnncli.minimize.passes.available_isas", list)
    done = optimize(FULL_ADDER, level=3, budget=1)
    assert done.steps[-1].skipped == "needs the compiled kernels"
    assert done.verdict.proved


@settings(max_examples=60, deadline=None)
@given(circuit=circuits())
def test_merging_on_data_keeps_the_outputs_there(circuit):
    rng = np.random.default_rng(circuit.n_gates)
    bits = rng.random((circuit.n_inputs, 70)) < 0.5
    words = pack_bits(bits)
    made = merge_equal_on(circuit, words, 70)
    assert made.size <= merge_functional(circuit).size
    wanted = unpack_bits(simulate(circuit, words), 70)
    assert np.array_equal(unpack_bits(simulate(made, words), 70), wanted)


def test_merging_on_data_is_inexact():
    one_case = merge_equal_on(FULL_ADDER, pack_bits(np.ones((3, 1), np.bool_)), 1)
    assert one_case.size == 0
    assert compare(one_case, FULL_ADDER).equal is False
    with pytest.raises(BnnError, match="expected \\(3, words\\)"):
        merge_equal_on(FULL_ADDER, pack_bits(np.ones((2, 1), np.bool_)), 1)


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=20, deadline=None)
@given(circuit=circuits(max_inputs=6))
def test_levels_keep_the_function_and_prove_it(level, circuit):
    done = optimize(circuit, level=level, budget=0.01, jobs=1)
    assert done.verdict.proved
    assert np.array_equal(truth_tables(done.circuit), truth_tables(circuit))
    sizes = [circuit.size, *(step.after for step in done.steps)]
    assert sizes == sorted(sizes, reverse=True)
    assert done.circuit.size == sizes[-1]
    assert level > 0 or done.circuit == circuit


def test_stopping_gives_the_best_so_far():
    circuit = random_circuit(12, 200, 4, seed=1)
    seen = []
    done = optimize(circuit, level=2, on_step=seen.append, should_stop=lambda: len(seen) > 0)
    assert [step.name for step in done.steps] == ["rebuild"]
    assert done.circuit.size == rebuild(circuit).size
    assert done.verdict.proved


def test_a_pass_that_is_wrong_is_caught(monkeypatch):
    wrong = find_pass("rebuild").__class__(
        "rebuild", "", True, lambda circuit, _: Circuit.of_gates(3, [], [2, 3])
    )
    monkeypatch.setitem(PASSES, "rebuild", wrong)
    with pytest.raises(BnnError, match="the result is wrong, differ: output"):
        optimize(FULL_ADDER, level=1)


def test_unknown_names():
    with pytest.raises(UsageError, match="did you mean 'rebuild'"):
        find_pass("rebuilt")
    with pytest.raises(UsageError, match="optimization level 7: expected 0 to 3"):
        optimize(FULL_ADDER, level=7)


@pytest.mark.parametrize("seed", range(4))
def test_windows_of_larger_circuits_keep_the_function(seed):
    """Windows smaller than the circuit, with gates read beyond them."""
    circuit = merge_functional(layered(14, 80, 4, seed))
    made = resubstitute(circuit)
    assert made.size < circuit.size
    assert compare(made, circuit, method="exhaustive").proved


def test_a_gate_that_no_output_can_tell_is_replaced():
    """Where x & y is read, w is 1 only if x is, so w & (x ^ z) needs no xor."""
    build = Builder(4)
    x, y, z, v = build.inputs()
    w = build.and_(build.and_(x, y), v)
    circuit = build.build([build.and_(w, build.xor(x, z)), w])
    assert merge_functional(circuit).size == 4
    made = resubstitute(circuit)
    assert made.size == 3
    assert compare(made, circuit).proved


@pytest.mark.skipif(find_abc() is None, reason="abc is not installed")
@pytest.mark.parametrize("script", [name for name in SCRIPTS if not name.startswith("&")])
def test_every_script_of_abc_comes_back(script):
    nothing = Circuit.of_gates(0, [], [1, 0])
    wires = Circuit.of_gates(2, [(0x5, 2, 2)], [3, 1, 4, 2, 3, 0])
    for circuit in (FULL_ADDER, nothing, wires, layered(20, 50, 4, seed=2)):
        made = run_abc(circuit, script)
        assert compare(made, circuit, method="exhaustive").proved
        assert made.output_names == circuit.output_names


def test_abc_that_is_missing_or_fails(monkeypatch, tmp_path):
    program = tmp_path / "abc"
    program.write_text("#!/bin/sh\necho no such command; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("bnncli.minimize.abc.importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(BnnError, match="abc: map failed: no such command"):
        run_abc(FULL_ADDER, "map")
    program.write_text("#!/bin/sh\nsleep 60\n")
    with pytest.raises(BnnError, match=r"abc: not done with map after 0\.1 s"):
        run_abc(FULL_ADDER, "map", seconds=0.1)
    with pytest.raises(UsageError, match="unknown abc script"):
        run_abc(FULL_ADDER, "mfs")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BnnError, match="needs one of abc"):
        run_abc(FULL_ADDER)
    assert find_pass("abc").run(FULL_ADDER)[1].skipped.startswith("needs one of")


def test_a_search_beyond_its_bounds_is_left_out():
    done = optimize(random_circuit(30, 50, 3, seed=0), level=3)
    assert done.steps[-1].skipped.startswith("30 inputs and")
    assert done.verdict.proved


def test_what_cells_share_can_count():
    from bnncli.circuit.translation import shared_operations

    circuit = random_circuit(9, 40, 1, seed=5)
    done = optimize(circuit, level=3, shared=True, budget=0.1, jobs=1)
    assert done.verdict.proved
    assert shared_operations(done.circuit) == done.steps[-1].after <= done.steps[0].before


def test_merging_in_blocks_sees_all_of_them(monkeypatch):
    monkeypatch.setattr("bnncli.minimize.merging._BLOCK_WORDS", 1)
    build = Builder(9)
    every, *rest = build.inputs()
    for x in rest:
        every = build.and_(every, x)
    circuit = build.build([every])  # 1 for the last of 512 inputs alone
    assert merge_functional(circuit) == circuit
