"""Emitted text: names, statements, golden files, and every form against ``simulate``."""

from __future__ import annotations

import json
import keyword
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnncli.circuit import Circuit, Design, from_text, simulate, truth_tables
from bnncli.codegen import EMITTERS, find_emitter
from bnncli.codegen.c import head_lines
from bnncli.codegen.c_gates import Style, gate_statements
from bnncli.codegen.jsonform import emit_json
from bnncli.codegen.names import RESERVED, identifier, identifiers
from bnncli.codegen.python import emit_python
from bnncli.errors import BnnError
from tests.circuits import FULL_ADDER, brute_force, circuits, random_circuit
from tests.emitted import check_golden, image_design


@given(st.text(max_size=12))
def test_any_name_becomes_an_identifier(name):
    plain = identifier(name)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", plain)
    assert plain not in RESERVED


@pytest.mark.parametrize(
    "word",
    [*keyword.kwlist, "arguments", "undefined", "NaN", "always_ff", "unique", "restrict", "linux"],
)
def test_no_word_of_a_language_is_a_name(word):
    assert identifier(word) == f"{word}_"


@given(st.lists(st.sampled_from(["a", "a b", "a_b", "A", "if", "g1", "", "3"]), max_size=9))
def test_identifiers_differ(names):
    given_names = identifiers(names, taken=["a"])
    assert len({*given_names, "a"}) == len(names) + 1


@given(circuits())
def test_statements_compute_the_circuit(circuit):
    style = Style(false="0", true="ones", statement="{name} = {value}")
    names = [f"x{i}" for i in range(circuit.n_inputs)]
    lines, outputs = gate_statements(circuit, names, style=style)
    assert len(lines) <= circuit.size
    for case, expected in enumerate(brute_force(circuit).T):
        values = {name: case >> i & 1 for i, name in enumerate(names)} | {"ones": 1}
        for line in lines:
            exec(line, {}, values)  # noqa: S102
        found = [eval(expression, {}, values) & 1 for expression in outputs]
        assert np.array_equal(found, expected)


def load_python(design):
    space: dict[str, object] = {}
    exec(compile(emit_python(design), "emitted.py", "exec"), space)  # noqa: S102
    return space


@given(circuits())
def test_python_equals_simulate_on_integers(circuit):
    function = load_python(Design("net", circuit))["net"]
    n_cases = 2**circuit.n_inputs
    columns = truth_tables(Circuit.of_gates(circuit.n_inputs, [], range(2, 2 + circuit.n_inputs)))
    inputs = [int("0" + "".join(map(str, row.astype(int)[::-1])), 2) for row in columns]
    outputs = function(inputs, ones=2**n_cases - 1)
    assert all(0 <= out < 2**n_cases for out in outputs)
    bits = [[out >> k & 1 for k in range(n_cases)] for out in outputs]
    assert np.array_equal(bits, truth_tables(circuit))


def test_python_equals_simulate_on_arrays_and_images():
    design = image_design()
    space = load_python(design)
    inputs = np.random.default_rng(0).integers(0, 2**64, (20, 3), dtype=np.uint64)
    outputs = space["images_circuit"](inputs, ones=np.full(3, 2**64 - 1, np.uint64))
    assert np.array_equal(np.stack(outputs), simulate(design.circuit, inputs))
    images = np.random.default_rng(1).integers(0, 256, (40, 77), dtype=np.uint8)
    assert np.array_equal(space["images_circuit_scores"](images), design.scores(images))
    expected = design.scores(images).argmax(axis=1)
    assert np.array_equal(space["images_circuit_classify"](images), expected)


def test_a_large_python_function_compiles():
    circuit = random_circuit(64, 20_000, 64, seed=0, reach=4000)
    function = load_python(Design("net", circuit))["net"]
    inputs = np.random.default_rng(0).integers(0, 2**64, (64, 1), dtype=np.uint64)
    outputs = function(inputs, ones=np.full(1, 2**64 - 1, np.uint64))
    assert np.array_equal(np.stack(outputs), simulate(circuit, inputs))


def test_json_says_everything():
    design = image_design(masked=True)
    values = json.loads(emit_json(design))
    assert values["gates"][3] == [
        int(x[3]) for x in (design.circuit.op, design.circuit.a, design.circuit.b)
    ]
    assert values["sums"]["weight"] == design.sums.weight.tolist()
    assert values["pixels"]["mask"] == design.pixels.mask.tolist()


def test_formats_of_gates_alone_refuse_sums():
    with pytest.raises(BnnError, match="--pure"):
        find_emitter("text").emit(image_design())


def test_text_is_read_back():
    text = find_emitter("text").emit(Design("full adder", FULL_ADDER, notes=("one", "two\nthree")))
    assert from_text(text) == FULL_ADDER


@pytest.mark.parametrize("name", ["python", "json", "text"])
def test_golden_text(name):
    found = find_emitter(name)
    check_golden(f"emitted_full_adder{found.suffix}", found.emit(Design("full adder", FULL_ADDER)))


@pytest.mark.parametrize("name", sorted({*EMITTERS} - {"wasm", "html"}))
def test_text_is_the_same_each_time(name):
    design = Design("full adder", FULL_ADDER)
    assert EMITTERS[name].emit(design) == EMITTERS[name].emit(design)


def test_the_head_is_a_line_and_counts_one_as_one():
    design = Design("only\none", Circuit.of_gates(1, [(9, 0, 2)], [3]))
    assert head_lines(design) == ["only one: 1 input, 1 output, 1 live gate of two inputs, depth 1"]
