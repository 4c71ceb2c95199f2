"""Arithmetic of literals: every result, and what it costs in gates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnncli.circuit import Builder, truth_tables
from bnncli.circuit.arith import (
    ONE,
    ZERO,
    add,
    add_columns,
    argmax,
    at_least,
    choose_number,
    constant,
    full_adder,
    half_adder,
    less,
    lookup,
    popcount,
    sort,
    threshold,
    weighted_at_least,
)
from bnncli.errors import BnnError


def numbers(bits: np.ndarray) -> np.ndarray:
    """Read rows of bits, the lowest first, as numbers. Shape: (width, n) -> (n,)."""
    return (bits.astype(np.int64) << np.arange(len(bits))[:, None]).sum(axis=0)


def cases(n_inputs: int) -> np.ndarray:
    """List all combinations. Shape: -> (n_inputs, 2^n_inputs)."""
    return np.arange(2**n_inputs) >> np.arange(n_inputs)[:, None] & 1


def outputs(build: Builder, literals: list[int]) -> np.ndarray:
    return truth_tables(build.build(literals))


def test_adders_of_bits():
    build = Builder(3)
    x, y, z = build.inputs()
    bits = outputs(build, [*half_adder(build, x, y), *full_adder(build, x, y, z)])
    a, b, c = cases(3)
    np.testing.assert_array_equal(numbers(bits[:2]), a + b)
    np.testing.assert_array_equal(numbers(bits[2:]), a + b + c)


def test_adders_cost_two_and_five_gates():
    build = Builder(3)
    half_adder(build, *build.inputs()[:2])
    assert len(build) == 2
    build = Builder(3)
    full_adder(build, *build.inputs())
    assert len(build) == 5


def test_complemented_adders_share_their_sums():
    build = Builder(3)
    x, y, z = build.inputs()
    full_adder(build, x, y, z)
    full_adder(build, x ^ 1, y, z)
    full_adder(build, x ^ 1, y ^ 1, z ^ 1)
    assert len(build) == 5 + 2


@pytest.mark.parametrize("n", range(12))
def test_popcount_counts(n):
    build = Builder(n)
    bits = outputs(build, popcount(build, build.inputs()))
    np.testing.assert_array_equal(numbers(bits), cases(n).sum(axis=0))


def columns_cost(n: int) -> int:
    """Add up what each column of a popcount takes: 5 a full adder, 2 a half adder."""
    cost = 0
    while n > 1:
        cost += 5 * ((n - 1) // 2) + 2 * (n % 2 == 0)
        n //= 2
    return cost


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 9, 15, 31, 32, 33, 63, 64, 127, 128, 784])
def test_popcount_costs_at_most_five_gates_an_input(n):
    build = Builder(n)
    circuit = build.build(popcount(build, build.inputs()))
    assert circuit.size == columns_cost(n) <= 5 * n
    k = n.bit_length()
    if n == 2**k - 1:
        assert circuit.size == 5 * (n - k)


@given(st.lists(st.integers(0, 3), max_size=4))
def test_columns_add_up(sizes):
    build = Builder(sum(sizes))
    literals = iter(build.inputs())
    columns = [[next(literals) for _ in range(size)] for size in sizes]
    bits = outputs(build, add_columns(build, columns))
    weights = np.repeat(np.arange(len(sizes)), sizes)
    expected = (cases(sum(sizes)) << weights[:, None]).sum(axis=0)
    np.testing.assert_array_equal(numbers(bits), expected)


@pytest.mark.parametrize("widths", [(0, 0), (1, 1), (3, 3), (4, 2), (2, 5)])
def test_numbers_are_added_and_compared(widths):
    build = Builder(sum(widths))
    literals = build.inputs()
    x, y = literals[: widths[0]], literals[widths[0] :]
    a, b = numbers(cases(sum(widths))[: widths[0]]), numbers(cases(sum(widths))[widths[0] :])
    np.testing.assert_array_equal(numbers(outputs(build, add(build, x, y))), a + b)
    np.testing.assert_array_equal(numbers(outputs(build, add(build, x, y, ONE))), a + b + 1)
    np.testing.assert_array_equal(outputs(build, [less(build, x, y)])[0], a < b)


def test_comparing_costs_four_gates_a_bit_and_one_for_the_lowest():
    build = Builder(16)
    x, y = build.inputs()[:8], build.inputs()[8:]
    assert build.build([less(build, x, y)]).size == 4 * 7 + 1


@pytest.mark.parametrize("width", range(6))
def test_constant_bounds(width):
    values = numbers(cases(width)) if width else np.zeros(1, np.int64)
    for bound in range(-1, 2**width + 2):
        build = Builder(width)
        reached = at_least(build, build.inputs(), bound)
        np.testing.assert_array_equal(outputs(build, [reached])[0], values >= bound)
        assert len(build) < max(width, 1)


@given(st.data())
def test_neurons(data):
    weights = data.draw(st.lists(st.integers(-9, 9), max_size=8))
    bound = data.draw(st.integers(-40, 40))
    n = len(weights)
    build = Builder(n)
    fires = weighted_at_least(build, build.inputs(), weights, bound)
    expected = (cases(n) * np.array(weights, np.int64)[:, None]).sum(axis=0) >= bound
    np.testing.assert_array_equal(outputs(build, [fires])[0], expected)


@pytest.mark.parametrize("n", range(1, 11))
def test_thresholds_and_their_sizes(n):
    for bound in range(-1, n + 2):
        build = Builder(n)
        fires = threshold(build, build.inputs(), bound)
        np.testing.assert_array_equal(outputs(build, [fires])[0], cases(n).sum(axis=0) >= bound)
        counted = Builder(n)
        count = at_least(counted, popcount(counted, counted.inputs()), bound)
        assert build.build([fires]).size <= counted.build([count]).size


@pytest.mark.parametrize("n", [5, 16, 64])
def test_any_and_all_are_trees_of_one_kind_of_gate(n):
    for bound in (1, n):
        build = Builder(n)
        assert build.build([threshold(build, build.inputs(), bound)]).size == n - 1
    build = Builder(n)
    assert build.build([threshold(build, build.inputs(), 2)]).size <= 3 * n


@pytest.mark.parametrize("n", range(11))
def test_sorting_puts_ones_first(n):
    build = Builder(n)
    bits = outputs(build, sort(build, build.inputs())) if n else np.zeros((0, 1), np.bool_)
    expected = cases(n).sum(axis=0) > np.arange(n)[:, None]
    np.testing.assert_array_equal(bits, expected)


def test_sorting_eight_takes_nineteen_comparisons():
    build = Builder(8)
    assert build.build(sort(build, build.inputs())).size == 2 * 19


@pytest.mark.parametrize("n_numbers", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [1, 2])
def test_the_first_of_the_highest(n_numbers, width):
    build = Builder(n_numbers * width)
    literals = build.inputs()
    given_numbers = [literals[i * width : (i + 1) * width] for i in range(n_numbers)]
    rows = cases(n_numbers * width).reshape(n_numbers, width, -1)
    values = np.stack([numbers(row) for row in rows])
    index = argmax(build, given_numbers)
    assert len(index) == (n_numbers - 1).bit_length()
    found = numbers(outputs(build, index)) if index else np.zeros(values.shape[1])
    np.testing.assert_array_equal(found, values.argmax(axis=0))


@given(st.integers(0, 4), st.lists(st.integers(0, 300), max_size=20))
def test_tables_are_looked_up(width, table):
    build = Builder(width)
    found = lookup(build, build.inputs(), table)
    padded = np.array([*table, *[0] * 16])[: 2**width]
    expected = padded & (2 ** len(found) - 1)
    np.testing.assert_array_equal(expected, padded)
    np.testing.assert_array_equal(numbers(outputs(build, found)) if found else 0 * padded, expected)


def test_numbers_of_different_width_are_chosen_between():
    build = Builder(4)
    which, *bits = build.inputs()
    chosen = choose_number(build, which, bits[:1], bits[1:])
    values = cases(4)
    expected = np.where(values[0], values[2] + 2 * values[3], values[1])
    np.testing.assert_array_equal(numbers(outputs(build, chosen)), expected)


def test_what_cannot_be_built_is_refused():
    assert constant(5, 4) == [ONE, ZERO, ONE, ZERO]
    with pytest.raises(BnnError, match="constant 16 in 4 bits: expected 0 to 15"):
        constant(16, 4)
    with pytest.raises(BnnError, match="argmax of no numbers"):
        argmax(Builder(0), [])
    with pytest.raises(BnnError, match="lookup table with -1"):
        lookup(Builder(1), [4], [3, -1])


@pytest.mark.parametrize("weights", [[2, 2, 2], [-2, 2, -2], [4, -4]])
def test_weights_of_one_size_are_counted_up_to_bounds_between(weights):
    rows = np.arange(2 ** len(weights))
    total = sum(w * (rows >> i & 1) for i, w in enumerate(weights))
    for bound in range(-8, 9):
        build = Builder(len(weights))
        fires = weighted_at_least(build, build.inputs(), weights, bound)
        np.testing.assert_array_equal(truth_tables(build.build([fires]))[0], total >= bound)
