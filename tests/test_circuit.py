"""Circuits: what they refuse, what they compute, their text and the linear clean-up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnncli.circuit import (
    Builder,
    Circuit,
    ClassSums,
    Design,
    PixelInputs,
    cone,
    from_text,
    input_patterns,
    rebuild,
    simulate,
    to_text,
    truth_tables,
)
from bnncli.errors import BnnError
from bnncli.gates import TRIVIAL
from tests.circuits import FULL_ADDER, brute_force, circuits, random_circuit

FULL_ADDER_TEXT = """\
bnn-circuit 1
inputs 3: a b carry
5 = 6(2, 3)
6 = 6(5, 4)
7 = 8(2, 3)
8 = 8(5, 4)
9 = e(7, 8)
outputs 6 9: sum next
"""


@given(circuits(max_inputs=6), st.data())
def test_a_cone_is_its_outputs_on_the_inputs_that_they_read(circuit, data):
    indices = st.integers(0, circuit.n_outputs - 1)
    outputs = data.draw(st.lists(indices, min_size=1, max_size=3))
    part, read = cone(circuit, outputs)
    assert part.n_inputs == len(read)
    assert part.size <= circuit.size
    assert rebuild(part) == part
    whole = input_patterns(circuit.n_inputs)
    np.testing.assert_array_equal(
        simulate(part, whole[read]), simulate(circuit, whole)[list(outputs)]
    )


def test_a_cone_keeps_names_and_refuses_outputs_that_are_not_there():
    part, read = cone(from_text(FULL_ADDER_TEXT), [1])
    assert (part.input_names, part.output_names) == (("a", "b", "carry"), ("next",))
    assert read.tolist() == [0, 1, 2]
    with pytest.raises(BnnError, match="cone: output 2, expected 0 to 1"):
        cone(from_text(FULL_ADDER_TEXT), [2])


@given(circuits(max_inputs=5))
def test_simulation_is_what_the_gates_say(circuit):
    np.testing.assert_array_equal(truth_tables(circuit), brute_force(circuit))


@pytest.mark.parametrize("n_inputs", [0, 1, 5, 6, 7, 9])
def test_patterns_try_every_combination_once(n_inputs):
    bits = np.unpackbits(input_patterns(n_inputs).view(np.uint8), axis=-1, bitorder="little")
    cases = (bits.astype(int) << np.arange(n_inputs)[:, None]).sum(axis=0)
    expected = np.arange(max(64, 2**n_inputs)) % 2**n_inputs
    assert n_inputs == 0 or (cases == expected).all()


def test_patterns_can_be_made_in_parts():
    whole = input_patterns(10)
    parts = [input_patterns(10, start, start + 4) for start in range(0, 16, 4)]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))


def test_too_many_inputs_are_one_line():
    with pytest.raises(BnnError, match="25 inputs: expected at most 24"):
        input_patterns(25)


@pytest.mark.parametrize("n_words", [0, 1, 7, 8, 9])
def test_any_number_of_words(n_words):
    rng = np.random.default_rng(n_words)
    words = rng.integers(0, 2**64, (3, n_words), dtype=np.uint64)
    a, b, c = words
    total, carry = simulate(FULL_ADDER, words)
    np.testing.assert_array_equal(total, a ^ b ^ c)
    np.testing.assert_array_equal(carry, a & b | c & (a ^ b))


def test_many_words_are_computed_in_parts():
    circuit = random_circuit(12, 3000, 3, seed=1)
    words = np.random.default_rng(2).integers(0, 2**64, (12, 3000), dtype=np.uint64)
    whole = simulate(circuit, words)
    for start in (0, 1390, 2999):
        one = simulate(circuit, words[:, start : start + 1])
        np.testing.assert_array_equal(whole[:, start : start + 1], one)


@given(circuits())
def test_rebuilding_keeps_the_function_and_is_done_at_once(circuit):
    before = to_text(circuit)
    rebuilt = rebuild(circuit)
    np.testing.assert_array_equal(truth_tables(rebuilt), truth_tables(circuit))
    assert rebuild(rebuilt) == rebuilt
    assert to_text(circuit) == before


@given(circuits())
def test_what_is_left_combines_two_signals(circuit):
    rebuilt = rebuild(circuit)
    assert rebuilt.live().all()
    assert rebuilt.size == rebuilt.n_gates
    inverters = np.isin(rebuilt.op, list(TRIVIAL))
    driven = np.arange(rebuilt.first_gate, rebuilt.n_signals)[inverters]
    assert set(driven) <= set(rebuilt.outputs.tolist())
    inner = ~inverters
    assert (rebuilt.a[inner] != rebuilt.b[inner]).all()
    assert (rebuilt.a[inner] > 1).all()


@given(circuits(max_outputs=1))
def test_one_output_never_costs_more_gates(circuit):
    # A single output that is a complement turns its gate round; only an input needs an inverter.
    assert rebuild(circuit).size <= circuit.size


def test_equal_gates_are_built_once():
    build = Builder(2)
    x, y = build.inputs()
    assert build.or_(x, y) == build.not_(build.and_(build.not_(x), build.not_(y)))
    assert build.xor(x, build.not_(y)) == build.not_(build.xor(y, x))
    assert len(build) == 2
    assert build.gate(0x2, x, x) == 0
    assert build.and_(x, 1) == x


@given(circuits())
def test_text_round_trips(circuit):
    assert from_text(to_text(circuit)) == circuit


def test_the_text_form():
    assert to_text(FULL_ADDER) == FULL_ADDER_TEXT
    assert from_text(FULL_ADDER_TEXT.replace("\n", "   # note\n\n")) == FULL_ADDER


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bnn-circuit 1", "bnn-circuit 2", "expected a first line 'bnn-circuit 1'"),
        ("6 = 6(5, 4)", "6 = 6(6, 4)", r"a\[1\] is signal 6, expected 0 to 5"),
        ("6 = 6(5, 4)", "8 = 6(5, 4)", "line 4: .* expected a gate such as '6 = 8"),
        ("6 = 6(5, 4)", "6 = g(5, 4)", "line 4: .* expected a gate"),
        ("inputs 3:", "inputs 4:", "3 names for 4 inputs|expected a gate such as '6"),
        ("outputs 6 9", "outputs 6 10", r"outputs\[1\] is signal 10"),
        ("a b carry", "a a carry", "two inputs have the same name"),
    ],
)
def test_wrong_text_is_one_line(old, new, message):
    with pytest.raises(BnnError, match=message) as caught:
        from_text(FULL_ADDER_TEXT.replace(old, new), "adder.txt")
    assert str(caught.value).startswith("adder.txt")
    assert "\n" not in str(caught.value)


def test_counts():
    assert (FULL_ADDER.n_gates, FULL_ADDER.size, FULL_ADDER.depth) == (5, 5, 3)
    wires = Circuit.of_gates(1, [(0xA, 2, 2), (0x5, 3, 3), (0x8, 2, 3)], [4])
    assert (wires.n_gates, wires.size, wires.live().tolist()) == (3, 1, [True, True, False])


def test_circuits_cannot_be_changed():
    op = np.array([8])
    circuit = Circuit(2, op, np.array([2]), np.array([3]), np.array([4]))
    op[0] = 6
    assert circuit.op[0] == 8
    with pytest.raises(ValueError, match="read-only"):
        circuit.op[0] = 6


@given(st.integers(0, 15))
def test_every_gate_is_rebuilt_on_every_polarity(op):
    gates = [(0x5, 2, 2), (0x3, 2, 3), (op, 4, 5), (op, 4, 3), (op, 3, 5), (op, 2, 2)]
    circuit = Circuit.of_gates(2, gates, [6, 7, 8, 9])
    np.testing.assert_array_equal(truth_tables(rebuild(circuit)), brute_force(circuit))


def test_class_sums_weigh_and_count():
    sums = ClassSums(np.array([0, 1, 1]), np.array([1, -1, 2]), np.array([0, 5]))
    outputs = np.array([[1, 0], [1, 1], [0, 1]], np.bool_)
    assert sums.scores(outputs).tolist() == [[1, 4], [0, 6]]
    with pytest.raises(BnnError, match="7 outputs in 2 equal groups"):
        ClassSums.equal_groups(7, 2)
    with pytest.raises(BnnError, match="groups 0 to 2, expected 0 to 1"):
        ClassSums(np.array([0, 2]), np.ones(2), np.zeros(2))


def test_a_design_scores_images():
    pixels = PixelInputs(4, np.array([0, 3, 3]), np.array([10, 20, 30], np.uint8))
    design = Design("adder", FULL_ADDER, pixels, ClassSums.equal_groups(2, 2))
    images = np.array([[11, 0, 0, 25], [11, 0, 0, 31], [10, 99, 99, 20]], np.uint8)
    assert design.scores(images).tolist() == [[0, 1], [1, 1], [0, 0]]
    with pytest.raises(BnnError, match="expected 4 bytes each"):
        design.scores(images[:, :3])
    with pytest.raises(BnnError, match="3 inputs and 2 outputs, expected 9 and 1"):
        Design("rule", FULL_ADDER, channels=1)


def test_a_masked_pixel_gives_one_of_its_bits():
    planes = PixelInputs(
        1, np.zeros(8, np.int32), np.zeros(8, np.uint8), np.uint8(1) << np.arange(8, dtype=np.uint8)
    )
    every_byte = np.arange(256, dtype=np.uint8)[:, None]
    np.testing.assert_array_equal(
        planes.bits(every_byte), np.unpackbits(every_byte.T, axis=0, bitorder="little")
    )
    with pytest.raises(BnnError, match=r"lengths \[1, 2\]"):
        PixelInputs(4, np.array([0]), np.array([10, 20], np.uint8))
    with pytest.raises(BnnError, match="pixels 0 to 4, expected 0 to 3"):
        PixelInputs(4, np.array([0, 4]), np.array([10, 20], np.uint8))
