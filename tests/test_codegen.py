"""Emitted text: names, statements, golden files, and every form against ``simulate``."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bnncli.codegen.c_gates import Style, gate_statements
from bnncli.codegen.names import RESERVED, identifier, identifiers
from tests.circuits import brute_force, circuits


@given(st.text(max_size=12))
def test_any_name_becomes_an_identifier(name):
    plain = identifier(name)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", plain)
    assert plain not in RESERVED


@given(st.lists(st.sampled_from(["a", "a b", "a_b", "A", "if", "g1", "", "3"]), max_size=9))
def test_identifiers_differ(names):
    given_names = identifiers(names, taken=["a"])
    assert len({*given_names, "a"}) == len(names) + 1


@given(circuits())
def test_statements_compute_the_circuit_one_for_each_gate_that_counts(circuit):
    style = Style(false="0", true="ones", statement="{name} = {value}")
    names = [f"x{i}" for i in range(circuit.n_inputs)]
    lines, outputs = gate_statements(circuit, names, style=style)
    assert len(lines) == circuit.size
    for case, expected in enumerate(brute_force(circuit).T):
        values = {name: case >> i & 1 for i, name in enumerate(names)} | {"ones": 1}
        for line in lines:
            exec(line, {}, values)  # noqa: S102
        found = [eval(expression, {}, values) & 1 for expression in outputs]
        assert np.array_equal(found, expected)
