"""Circuits in C: simulation like numpy's, and the walk over equal circuits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.circuit import Builder, Circuit, rebuild, signal_values, simulate, truth_tables
from bnncli.circuit.translation import shared_operations
from bnncli.errors import BnnError
from bnncli.native import available_isas, default_backend, kernels
from bnncli.native import circuits as faces
from bnncli.native.circuits import CELL_SHIFTS, NO_SHIFTS, ROW_SHIFTS, CCircuits, Walk
from tests.circuits import FULL_ADDER, circuits, counting_life, random_circuit

ISAS = available_isas()
needs_kernels = pytest.mark.skipif(not ISAS, reason="the C kernels are not built")


def random_words(circuit: Circuit, n_words: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**64, (circuit.n_inputs, n_words), dtype=np.uint64)


def mixed_circuit(n_inputs: int, n_gates: int) -> Circuit:
    """Mix all inputs, so that the gates do not fold into a few."""
    rng = np.random.default_rng(n_inputs)
    before = np.arange(2 + n_inputs, 2 + n_inputs + n_gates)
    op = rng.choice([0x6, 0x8, 0x9, 0xE], n_gates)
    b = rng.integers(2, before)
    ends = before[[n_gates // 2, -1]]
    return Circuit(n_inputs, op, before - 1, b, ends)


def walk_of(circuit: Circuit, steps: int, *, seed: int = 0, isa: str | None = None, **how) -> Walk:
    walk = Walk(circuit, seed=seed, temperature=how.pop("temperature", 0.5), isa=isa, **how)
    walk.step(steps)
    return walk


# -- simulation ----------------------------------------------------------------------------------


@needs_kernels
@given(
    circuits(), st.sampled_from([0, 1, 3, 7, 8, 9, 17]), st.integers(0, 99), st.sampled_from(ISAS)
)
def test_simulation_equals_numpy(circuit, n_words, seed, isa):
    inputs = random_words(circuit, n_words, seed)
    given_inputs = inputs.copy()
    c_circuits = CCircuits(isa)
    np.testing.assert_array_equal(c_circuits.simulate(circuit, inputs), simulate(circuit, inputs))
    np.testing.assert_array_equal(
        c_circuits.signal_values(circuit, inputs), signal_values(circuit, inputs)
    )
    np.testing.assert_array_equal(inputs, given_inputs)


@needs_kernels
def test_rows_that_are_not_contiguous_are_simulated():
    inputs = random_words(FULL_ADDER, 20, 0)[:, ::2]
    expected = simulate(FULL_ADDER, inputs)
    np.testing.assert_array_equal(CCircuits().simulate(FULL_ADDER, inputs), expected)


@needs_kernels
@pytest.mark.parametrize(
    "inputs",
    [np.zeros((2, 1), np.uint64), np.zeros((3, 1), np.int64), np.zeros(3, np.uint64)],
    ids=["rows", "type", "dimensions"],
)
def test_wrong_inputs_are_refused(inputs):
    with pytest.raises(BnnError, match=r"simulate: inputs of .*; expected uint64, \(3, words\)"):
        CCircuits().simulate(FULL_ADDER, inputs)


@pytest.mark.parametrize("choice", ["numpy", pytest.param("c", marks=needs_kernels)])
def test_the_default_is_that_of_the_backend(choice, monkeypatch):
    monkeypatch.setenv("BNN_KERNEL", choice)
    default_backend.cache_clear()
    faces.default_circuits.cache_clear()
    chosen = faces.default_circuits()
    assert chosen.name.split(":")[0] == choice
    inputs = random_words(FULL_ADDER, 3, 1)
    np.testing.assert_array_equal(chosen.simulate(FULL_ADDER, inputs), simulate(FULL_ADDER, inputs))
    monkeypatch.undo()
    default_backend.cache_clear()
    faces.default_circuits.cache_clear()


# -- walks ---------------------------------------------------------------------------------------


@needs_kernels
@settings(deadline=None)
@given(circuits(max_inputs=11), st.integers(0, 300), st.floats(0.01, 2), st.integers(0, 99))
def test_a_walk_keeps_the_function_and_never_ends_larger(circuit, steps, temperature, seed):
    before = circuit.op.copy(), circuit.a.copy(), circuit.b.copy()
    walk = walk_of(circuit, steps, seed=seed, temperature=temperature)
    found = walk.best()
    np.testing.assert_array_equal(truth_tables(found), truth_tables(circuit))
    assert found.size == walk.cost <= rebuild(circuit).size
    for array, kept in zip((circuit.op, circuit.a, circuit.b), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@needs_kernels
@pytest.mark.parametrize(
    ("gates", "outputs", "size"),
    [
        ([], [0, 1, 1], 0),
        ([], [2, 3, 2], 0),
        ([(0x5, 2, 2)], [4, 2], 1),
        ([(0x8, 2, 3), (0x7, 2, 3)], [4, 5, 5], 2),
        ([(0x6, 2, 3), (0x6, 4, 3)], [5], 0),
        ([(0x6, 2, 3), (0x8, 4, 2), (0x2, 2, 3)], [5, 6], 1),
        ([(0x8, 2, 3), (0x1, 4, 2), (0xE, 5, 2)], [6], 0),
    ],
    ids=["constants", "inputs", "inverter", "both-polarities", "wire", "equal", "always"],
)
def test_ends_of_all_kinds_cost_what_they_need(gates, outputs, size):
    circuit = Circuit.of_gates(2, gates, outputs)
    walk = walk_of(circuit, 200)
    assert walk.cost == walk.best().size == size
    np.testing.assert_array_equal(truth_tables(walk.best()), truth_tables(circuit))


@needs_kernels
def test_names_stay():
    assert walk_of(FULL_ADDER, 10).best().input_names == FULL_ADDER.input_names
    assert walk_of(FULL_ADDER, 10).best().output_names == FULL_ADDER.output_names


@needs_kernels
@pytest.mark.parametrize("n_inputs", [8, 9, 10, 12])
@pytest.mark.parametrize("isa", ISAS)
def test_a_walk_is_the_same_on_every_machine_and_in_any_slices(isa, n_inputs):
    circuit = mixed_circuit(n_inputs, 40)
    expected = walk_of(circuit, 150, seed=5, isa=ISAS[-1]).best()
    walk = Walk(circuit, seed=5, temperature=0.5, isa=isa)
    for steps in (1, 49, 100):
        walk.step(steps)
    assert walk.best() == expected
    assert walk.steps == 150
    assert 3 < expected.size < circuit.size


@needs_kernels
def test_another_seed_is_another_walk():
    first, again, second = (walk_of(counting_life(), 500, seed=seed).best() for seed in (0, 0, 1))
    assert first == again != second


@needs_kernels
def test_a_walk_finds_what_greedy_clean_up_does_not():
    start = counting_life()
    walk = walk_of(start, 30_000)
    assert walk.cost <= 28 < rebuild(start).size
    np.testing.assert_array_equal(truth_tables(walk.best()), truth_tables(start))


@needs_kernels
@pytest.mark.parametrize("shifts", [ROW_SHIFTS, CELL_SHIFTS])
def test_shared_operations_are_counted_like_the_reference_does(shifts):
    circuit = counting_life()
    for seed in range(10):
        circuit = walk_of(circuit, 100, seed=seed, temperature=1.5).best()
        walk = walk_of(circuit, 0, shifts=shifts)
        shared = shared_operations(walk.best())
        assert walk.cost == shared if shifts == CELL_SHIFTS else walk.cost >= shared


@needs_kernels
@pytest.mark.parametrize("shifts", [ROW_SHIFTS, CELL_SHIFTS])
def test_sharing_walks_keep_the_function_and_find_operations_to_share(shifts):
    start = counting_life()
    walk = walk_of(start, 15_000, shifts=shifts)
    found = walk.best()
    np.testing.assert_array_equal(truth_tables(found), truth_tables(start))
    assert walk.cost <= 28 < walk_of(start, 0, shifts=shifts).cost
    if shifts == CELL_SHIFTS:
        assert shared_operations(found) == walk.cost


@needs_kernels
@pytest.mark.parametrize(
    ("circuit", "how", "message"),
    [
        (random_circuit(13, 5, 1, seed=0), {}, "13 inputs and 5 gates: a walk takes at most 12"),
        (random_circuit(3, 16385, 1, seed=0), {}, "16385 gates: a walk takes at most 12 and 16384"),
        (FULL_ADDER, {"shifts": CELL_SHIFTS}, "3 inputs: work is shared between cells of one"),
        (FULL_ADDER, {"temperature": 0.0}, "temperature=0.0 given, expected more than 0"),
        (FULL_ADDER, {"temperature": float("nan")}, "temperature=nan given"),
    ],
    ids=["inputs", "gates", "shifts", "temperature", "nan"],
)
def test_a_walk_refuses_what_it_cannot_do(circuit, how, message):
    with pytest.raises(BnnError, match=message):
        Walk(circuit, **{"seed": 0, "temperature": 0.5, "shifts": NO_SHIFTS, **how})


@needs_kernels
def test_a_large_start_is_merged_by_value_first():
    build = Builder(4)
    a, b, c, d = build.inputs()
    left = build.xor(build.xor(a, b), build.xor(c, d))
    right = build.xor(a, build.xor(b, build.xor(c, d)))
    circuit = build.build([left, right])
    assert (circuit.size, walk_of(circuit, 0).cost) == (5, 3)


@needs_kernels
def test_python_knows_the_limits_of_the_kernels():
    functions = kernels.load_library().functions
    limits = (functions.BNN_RESUB_INPUTS, functions.BNN_RESUB_GATES)
    assert limits == (faces.MAX_WALK_INPUTS, faces.MAX_WALK_GATES)
