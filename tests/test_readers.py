"""Designs read from files: round trips through every format, foreign tools, and damage."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bnncli.circuit import Circuit, Design, simulate, truth_tables
from bnncli.codegen import find_emitter
from bnncli.codegen.aiger import and_graph
from bnncli.codegen.readers import read_design
from bnncli.errors import BnnError
from tests.circuits import FULL_ADDER, circuits, random_circuit
from tests.emitted import check_golden, image_design

ABC = next((name for name in ("yosys-abc", "berkeley-abc", "abc") if shutil.which(name)), None)
needs_abc = pytest.mark.skipif(ABC is None, reason="no abc")
GATES_ONLY = ("text", "aiger", "aag", "blif")
ADDER = Design("full adder", FULL_ADDER)


def written(design, name, folder):
    found = find_emitter(name)
    data = found.emit(design)
    path = folder / f"circuit{found.suffix}"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def complaint(path):
    """Give the error that reading a file ends in, "" for none."""
    try:
        read_design(path)
    except BnnError as error:
        return str(error)
    return ""


def same_function(a, b):
    assert (a.n_inputs, a.n_outputs) == (b.n_inputs, b.n_outputs)
    assert np.array_equal(truth_tables(a), truth_tables(b))


@pytest.mark.parametrize("name", [*GATES_ONLY, "json"])
@given(circuit=circuits(max_inputs=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(name, circuit, tmp_path):
    path = written(Design("net", circuit), name, tmp_path)
    found = read_design(path).circuit
    assert (found.n_inputs, found.n_outputs) == (circuit.n_inputs, circuit.n_outputs)
    assert np.array_equal(truth_tables(found), truth_tables(circuit))


@pytest.mark.parametrize("name", [*GATES_ONLY, "json"])
def test_names_survive(name, tmp_path):
    found = read_design(written(ADDER, name, tmp_path)).circuit
    assert found.input_names == FULL_ADDER.input_names
    assert found.output_names == FULL_ADDER.output_names


@pytest.mark.parametrize("masked", [False, True])
def test_json_keeps_the_whole_design(masked, tmp_path):
    design = replace(image_design(masked=masked), notes=("one", "two"))
    found = read_design(written(design, "json", tmp_path))
    assert found.circuit == design.circuit
    assert (found.name, found.notes, found.channels) == (design.name, design.notes, 0)
    images = np.random.default_rng(0).integers(0, 256, (9, 77), dtype=np.uint8)
    assert np.array_equal(found.scores(images), design.scores(images))


@pytest.mark.parametrize("name", GATES_ONLY)
def test_large_circuits(name, tmp_path):
    circuit = random_circuit(200, 4000, 50, seed=2, reach=600)
    found = read_design(written(Design("large", circuit), name, tmp_path)).circuit
    inputs = np.random.default_rng(0).integers(0, 2**64, (200, 2), dtype=np.uint64)
    assert np.array_equal(simulate(found, inputs), simulate(circuit, inputs))


def test_an_xor_of_three_ands_is_one_gate_again(tmp_path):
    circuit = Circuit.of_gates(4, [(6, 2, 3), (9, 6, 4), (6, 5, 7)], [8])
    assert len(and_graph(circuit).ands) == 9
    assert read_design(written(Design("parity", circuit), "aiger", tmp_path)).circuit.size == 3


def abc(script, folder):
    result = subprocess.run(
        [ABC, "-q", script], cwd=folder, capture_output=True, text=True, check=False
    )
    return result.stdout + result.stderr


@needs_abc
@pytest.mark.parametrize("seed", range(3))
def test_abc_proves_the_formats_equal(seed, tmp_path):
    circuit = random_circuit(12, 200, 9, seed=seed, reach=60)
    design = Design("net", circuit)
    paths = [written(design, name, tmp_path) for name in ("aiger", "aag", "blif")]
    # abc reads no AIGER text.
    assert "Networks are equivalent" in abc(f"cec {paths[0].name} {paths[2].name}", tmp_path)
    abc(f"read_aiger {paths[0].name}; write_blif back.blif; strash; write_aiger back.aig", tmp_path)
    for name in ("back.blif", "back.aig"):
        same_function(read_design(tmp_path / name).circuit, circuit)


def test_another_reader_takes_both_forms_of_aiger(tmp_path):
    pytest.importorskip("aigverse")
    from aigverse.algorithms import equivalence_checking
    from aigverse.io import read_aiger_into_aig, read_ascii_aiger_into_aig

    design = Design("net", random_circuit(12, 200, 9, seed=4, reach=60))
    text = read_ascii_aiger_into_aig(str(written(design, "aag", tmp_path)))
    binary = read_aiger_into_aig(str(written(design, "aiger", tmp_path)))
    assert text.num_gates == len(and_graph(design.circuit).ands)
    assert equivalence_checking(text, binary)


@needs_abc
def test_abc_sees_a_wrong_gate(tmp_path):
    circuit = random_circuit(8, 60, 4, seed=1, reach=40)
    wrong = replace(circuit, outputs=np.roll(circuit.outputs, 1))
    written(Design("net", circuit), "aiger", tmp_path)
    written(Design("net", wrong), "blif", tmp_path)
    assert "NOT EQUIVALENT" in abc("cec circuit.aig circuit.blif", tmp_path)


@given(st.integers(1, 10), st.integers(0, 2**31), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_covers_of_any_size(tmp_path, n_inputs, seed, off):
    rng = np.random.default_rng(seed)
    rows = ["".join(rng.choice([*"01-"], n_inputs)) for _ in range(int(rng.integers(0, 6)))]
    names = " ".join(f"x{i}" for i in range(n_inputs))
    lines = [f"{row} {int(not off)}" for row in rows]
    text = [".model m", f".inputs {names}", ".outputs y", f".names {names} y", *lines, ".end"]
    path = tmp_path / "cover.blif"
    path.write_text("\n".join(text) + "\n")
    cases = (np.arange(2**n_inputs)[:, None] >> np.arange(n_inputs) & 1).astype(str)
    hit = [
        any(all(r in {"-", b} for r, b in zip(row, case, strict=True)) for row in rows)
        for case in cases
    ]
    # A table without rows is 0, whatever is meant.
    expected = np.array(hit) != (off and bool(rows))
    assert np.array_equal(truth_tables(read_design(path).circuit)[0], expected)


GOOD_BLIF = ".model m\n.inputs a b\n.outputs y\n.names a b y\n11 1\n.end\n"
WRONG = {
    "": "neither",
    "hello": "neither",
    "{": "not JSON",
    "[1]": "neither",
    '{"format": "bnn-design", "version": 2}': "version",
    '{"format": "bnn-design", "version": 1, "gates": 3}': "gates",
    "bnn-circuit 1\ninputs 2\n4 = 8(2, 4)\noutputs 4\n": "before it",
    "bnn-circuit 1\ninputs 2\n": "expected",
    "bnn-circuit 1\ninputs 99999999999\noutputs 1\n": "too large",
    "bnn-circuit 1\ninputs 4294967296\noutputs 1\n": "expected 0 to",
    f"bnn-circuit 1\ninputs 2\n4 = 8(2, {10**20})\noutputs 4\n": "line 3: a number of 21",
    f"bnn-circuit 1\ninputs 2\n4 = 8(2, 3)\noutputs {'9' * 5000}\n": "line 4: a number of 5000",
    "aag 1 1 0 1 0 1\n2\n2\n": "bad states",
    "aig 3 2": "truncated",
    "aig 3 2 0 1\n": "header",
    "aig x 2 0 1 1\n": "header",
    "aig 3 2 1 1 0\n": "latches",
    "aig 3 2 0 1 1\n6\n": "truncated",
    "aig 3 2 0 1 1\n": "truncated",
    "aig 9 2 0 1 1\n6\n": "do not fit",
    "aig 3 2 0 1 1\n6\n\x7f\x01": "AND gate",
    "aig 4000000000 4000000000 0 0 0\n": "at most",
    "aag 999999999 2 0 1 1\n": "do not fit",
    "aag 3 2 0 1 1\n2\n4\n6\n6 2\n": "expected an AND",
    "aag 3 2 0 1 1\n2\n4\n6\n7 2 4\n": "AND gate",
    "aag 4 2 0 1 2\n2\n4\n6\n6 8 4\n8 6 2\n": "depends on itself",
    "aag 4 2 0 1 1\n2\n4\n6\n6 8 4\n": "nothing drives",
    "aag 4 2 0 1 1\n2\n2\n6\n6 2 2\n": "named twice",
    "aag 3 2 0 1 1\n2\n4\n6\n4 2 2\n": "input 2 is driven",
    GOOD_BLIF.replace(".end\n", ""): "truncated",
    GOOD_BLIF.replace("11 1", "11 1\n.latch y z"): "line 6: a latch",
    GOOD_BLIF.replace("11 1", "1 1"): "expected a row of 2",
    GOOD_BLIF.replace("11 1", "1x 1"): "expected a row of 2",
    GOOD_BLIF.replace("11 1", "11 1\n00 0"): "one kind",
    GOOD_BLIF.replace(".names a b y", ".names a c y"): "nothing drives",
    GOOD_BLIF.replace(".names a b y", ".names a y y"): "depends on itself",
    GOOD_BLIF.replace(".names a b y\n11 1", ".names a b y\n.names y y"): "driven twice",
    GOOD_BLIF.replace(".outputs y", ".outputs y y"): "named twice",
    GOOD_BLIF.replace(".end", ".subckt n x=a"): "flat model",
    GOOD_BLIF + ".model two\n": "after .end",
    GOOD_BLIF.replace(".names a b y\n", ""): "row",
}


@pytest.mark.parametrize("text", WRONG)
def test_damage_is_named_in_one_line(text, tmp_path):
    path = tmp_path / "wrong"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BnnError) as caught:
        read_design(path)
    message = str(caught.value)
    assert WRONG[text] in message
    assert message.startswith(str(path))
    assert "\n" not in message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BnnError, match="cannot be read"):
        read_design(tmp_path / "none")


@pytest.mark.parametrize("name", [*GATES_ONLY, "json"])
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_damage_is_an_error_or_a_circuit(name, data, tmp_path):
    path = written(ADDER, name, tmp_path)
    content = bytearray(path.read_bytes())
    cut = data.draw(st.integers(0, len(content)))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[:cut]) if data.draw(st.booleans()) else bytes(content))
    assert "\n" not in complaint(path)


def test_json_of_wrong_kinds(tmp_path):
    good = json.loads(find_emitter("json").emit(image_design(masked=True)))
    path = tmp_path / "design.json"
    for key in good:
        for value in (None, -1, 2**40, "x", [[]], {}, True, [2**40]):
            path.write_text(json.dumps({**good, key: value}))
            assert "\n" not in complaint(path)
    for part in ("pixels", "sums"):
        for key in good[part]:
            for value in (None, -1, "x", [1, "x"], [300], [-1]):
                path.write_text(json.dumps({**good, part: {**good[part], key: value}}))
                assert "\n" not in complaint(path)


@pytest.mark.parametrize("name", ["aiger", "aag", "blif"])
def test_golden_text(name):
    found = find_emitter(name)
    check_golden(f"emitted_full_adder{found.suffix}", found.emit(ADDER))


def test_a_byte_order_mark_is_no_part_of_a_netlist(tmp_path):
    path = tmp_path / "marked"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD_BLIF.encode())
    assert truth_tables(read_design(path).circuit)[0].tolist() == [0, 0, 0, 1]
