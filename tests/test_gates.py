"""Truth tables: the conventions that training, packing and circuits share."""

from __future__ import annotations

import numpy as np

from bnncli import gates

ALL = np.arange(gates.N_GATES)
# difflogic's sixteen gates in its own order, as published.
DIFFLOGIC = (
    *("0", "a&b", "a&~b", "a", "~a&b", "b", "a^b", "a|b"),
    *("~(a|b)", "~(a^b)", "~b", "a|~b", "~a", "~a|b", "~(a&b)", "1"),
)


def evaluate(expression: str, a: int, b: int) -> int:
    return int(eval(expression, {"a": a, "b": b})) & 1


def test_names_agree_with_the_bits_of_the_table() -> None:
    for table, name in enumerate(gates.GATE_NAMES):
        for a in (0, 1):
            for b in (0, 1):
                assert evaluate(name, a, b) == table >> (a + 2 * b) & 1, name


def test_named_constants() -> None:
    assert gates.GATE_NAMES[gates.AND] == "a&b"
    assert gates.GATE_NAMES[gates.OR] == "a|b"
    assert gates.GATE_NAMES[gates.XOR] == "a^b"
    assert gates.GATE_NAMES[gates.WIRE_A] == "a"
    assert gates.GATE_NAMES[gates.WIRE_B] == "b"
    assert gates.GATE_NAMES[gates.NOT_A] == "~a"
    assert gates.GATE_NAMES[gates.NOT_B] == "~b"


def test_coefficients_give_the_table_at_every_corner() -> None:
    c0, c1, c2, c3 = gates.table_coefficients(ALL).T
    for a in (0, 1):
        for b in (0, 1):
            assert np.array_equal(c0 + c1 * a + c2 * b + c3 * a * b, ALL >> (a + 2 * b) & 1)


def test_difflogic_numbers_convert_to_the_gates_that_they_name() -> None:
    tables = gates.difflogic_table(ALL)
    assert [gates.GATE_NAMES[table] for table in tables] == list(DIFFLOGIC)
    assert np.array_equal(gates.difflogic_table(tables), ALL)


def test_swapped_inputs() -> None:
    for table, swapped in zip(ALL, gates.swap_inputs(ALL), strict=True):
        for a in (0, 1):
            for b in (0, 1):
                assert table >> (a + 2 * b) & 1 == swapped >> (b + 2 * a) & 1


def test_trivial_gates_are_those_that_ignore_an_input() -> None:
    for table in range(gates.N_GATES):
        f00, f10, f01, f11 = gates.table_entries(np.array(table))
        ignores_b = f00 == f01 and f10 == f11
        ignores_a = f00 == f10 and f01 == f11
        assert (ignores_a or ignores_b) == (table in gates.TRIVIAL)


def test_one_gate_is_counted_in_the_singular() -> None:
    said = [gates.declared_gates(number) for number in (0, 1, 2, 1151)]
    assert said == [
        "0 declared gates",
        "1 declared gate",
        "2 declared gates",
        "1,151 declared gates",
    ]
