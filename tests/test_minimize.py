"""The search for smaller circuits: equal always, never larger, stopped when asked."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.circuit import Builder, Circuit, rebuild, truth_tables
from bnncli.circuit.arith import lookup
from bnncli.circuit.translation import shared_operations
from bnncli.data import rule_table
from bnncli.errors import BnnError, UsageError
from bnncli.minimize import Progress, minimize, search
from bnncli.minimize.counting import counting_circuit
from bnncli.native import available_isas
from bnncli.native.circuits import Walk
from tests.circuits import FULL_ADDER, circuits, counting_life

pytestmark = pytest.mark.skipif(not available_isas(), reason="the C kernels are not built")

FOREVER = float("inf")


@settings(deadline=None, max_examples=30)
@given(circuits(max_inputs=9), st.integers(0, 2**64 - 1), st.integers(1, 2))
def test_the_function_stays_and_the_size_does_not_grow(circuit, seed, jobs):
    found = minimize(circuit, budget=FOREVER, steps=50, seed=seed, jobs=jobs)
    np.testing.assert_array_equal(truth_tables(found), truth_tables(circuit))
    assert found.size <= rebuild(circuit).size
    assert (found.input_names, found.output_names) == (circuit.input_names, circuit.output_names)


@given(circuits())
def test_without_time_it_is_the_linear_clean_up(circuit):
    assert minimize(circuit, budget=0) == rebuild(circuit)


def test_what_needs_no_gate_needs_no_search():
    wires = Circuit.of_gates(2, [(0x8, 2, 2)], [4, 3, 0])
    assert minimize(wires, budget=FOREVER).n_gates == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_seed_and_steps_determine_the_result(jobs):
    first, again = (
        minimize(counting_life(), budget=FOREVER, steps=3000, seed=4, jobs=jobs) for _ in range(2)
    )
    assert first == again
    assert first.size < counting_life().size
    assert first != minimize(counting_life(), budget=FOREVER, steps=3000, seed=5, jobs=jobs)


def test_time_does_not_decide_when_a_walk_gives_way(monkeypatch):
    monkeypatch.setattr(search, "PATIENCE", 700)
    monkeypatch.setattr(search, "BLOCK_STEPS", 500)

    def ended(slice_seconds: float) -> tuple[Circuit, int]:
        monkeypatch.setattr(search, "SLICE_SECONDS", slice_seconds)
        seen: list[Progress] = []
        how = {"budget": FOREVER, "steps": 12_000, "jobs": 1, "on_progress": seen.append}
        return minimize(counting_life(), **how), seen[-1].walks

    # Every step in a slice of its own, or as many as there are.
    slow, fast = ended(-1.0), ended(FOREVER)
    assert slow == fast
    assert fast[1] > 2


def test_shared_operations_are_what_counts_when_asked(monkeypatch):
    monkeypatch.setattr(search, "REDUCING_STEPS", 2000)
    how = {"budget": FOREVER, "steps": 30_000, "jobs": 1}
    plain, shared = (minimize(counting_life(), shared=s, **how) for s in (False, True))
    np.testing.assert_array_equal(truth_tables(shared), truth_tables(plain))
    assert shared_operations(shared) < shared_operations(plain)
    assert shared.size > plain.size


def test_without_adders_walks_begin_with_the_circuit_alone(monkeypatch):
    begun = []

    class Noted(Walk):
        def __init__(self, circuit, **how):
            begun.append(circuit)
            super().__init__(circuit, **how)

    monkeypatch.setattr(search, "Walk", Noted)
    monkeypatch.setattr(search, "PATIENCE", 100)
    start = rebuild(counting_life())
    for adders in (True, False):
        begun.clear()
        minimize(start, budget=FOREVER, steps=25_000, jobs=1, adders=adders)
        assert len(begun) > 1
        assert (counting_circuit(start) in begun) is adders
        assert start in begun


def test_it_ends_at_the_size_that_is_good_enough():
    seen: list[Progress] = []
    found = minimize(counting_life(), budget=FOREVER, jobs=1, stop_at=35, on_progress=seen.append)
    assert found.size <= 35
    assert seen[-1].cost == found.size
    assert [p.cost for p in seen] == sorted((p.cost for p in seen), reverse=True)
    assert seen[-1].walks >= 1
    assert seen[-1].steps > 0


def test_it_stops_when_asked_with_the_best_so_far():
    seen: list[Progress] = []
    threads = threading.active_count()
    found = minimize(
        counting_life(),
        budget=FOREVER,
        jobs=2,
        on_progress=seen.append,
        should_stop=lambda: len(seen) > 2,
    )
    assert found.size <= seen[-1].cost < counting_life().size
    assert threading.active_count() == threads


def test_after_ctrl_c_no_thread_is_left():
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        minimize(counting_life(), budget=FOREVER, jobs=2, on_progress=interrupt)
    assert threading.active_count() == threads


def test_a_new_walk_begins_where_one_finds_nothing_more(monkeypatch):
    monkeypatch.setattr(search, "PATIENCE", 100)
    seen: list[Progress] = []
    minimize(
        FULL_ADDER, budget=FOREVER, steps=20_000, jobs=1, on_progress=seen.append, stop_at=None
    )
    assert seen[-1].walks > 3


def test_an_unequal_result_is_never_given(monkeypatch):
    wrong = Circuit.of_gates(9, [(0x8, 2, 3)], [11])
    monkeypatch.setattr(Walk, "best", lambda self: wrong)
    with pytest.raises(BnnError, match="internal error, a circuit of 1 gates differs"):
        minimize(counting_life(), budget=FOREVER, steps=500, jobs=1)


def test_the_error_of_a_thread_is_raised(monkeypatch):
    def fail(self: Walk, n_steps: int) -> None:
        raise MemoryError("no memory for the walk")

    monkeypatch.setattr(Walk, "step", fail)
    with pytest.raises(MemoryError, match="no memory for the walk"):
        minimize(counting_life(), budget=FOREVER, jobs=2)


@pytest.mark.parametrize("wrong", [{"budget": float("nan")}, {"budget": 1, "jobs": -1}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(UsageError, match="expected at least 0 of both"):
        minimize(counting_life(), **wrong)


@pytest.mark.parametrize("rule", ["B3/S23", "B36/S23", "B2/S", "B0123/S8", "B/S"])
def test_rules_that_count_are_built_from_shared_sums(rule):
    build = Builder(9)
    given = build.build(lookup(build, build.inputs(), rule_table(rule).tolist()) or [0])
    counting = counting_circuit(given)
    np.testing.assert_array_equal(truth_tables(counting), truth_tables(given))
    assert shared_operations(counting) < counting.size or counting.size == 0


def test_rules_that_look_where_neighbours_are_do_not_count():
    build = Builder(9)
    north, *_, south, _ = build.inputs()
    assert counting_circuit(build.build([build.and_(north, south)])) is None
    assert counting_circuit(FULL_ADDER) is None


def test_shared_work_goes_below_what_was_published():
    """19 operations a word were published; sums of rows lead to fewer in a moment."""
    found = minimize(counting_life(), budget=FOREVER, jobs=1, shared=True, steps=200_000)
    np.testing.assert_array_equal(truth_tables(found), truth_tables(counting_life()))
    assert shared_operations(found) <= 17
