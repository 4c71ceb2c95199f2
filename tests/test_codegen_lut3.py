"""Three-input functions: they cover the circuit, are fewer, and compile to the same outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from bnncli.circuit import Circuit, Design, input_patterns, rebuild, simulate, truth_tables
from bnncli.codegen.compiled import CompiledDesign
from bnncli.codegen.lut3 import MAX_GATES, emit_lut3, map_lut3
from bnncli.errors import BnnError
from bnncli.native.compile import find_compiler
from tests.circuits import FULL_ADDER, circuits, life_circuit, random_circuit
from tests.emitted import check_golden


def evaluate(circuit, luts):
    """Give the outputs for all combinations, a lut at a time."""
    n_cases = 2**circuit.n_inputs
    cases = np.arange(n_cases)
    values = {0: np.zeros(n_cases, int), 1: np.ones(n_cases, int)}
    values |= {2 + i: cases >> i & 1 for i in range(circuit.n_inputs)}
    for lut in luts:
        index = sum(values[leaf] << place for place, leaf in enumerate(lut.leaves))
        values[lut.signal] = lut.table >> index & 1
    return np.array([values[signal] for signal in circuit.outputs.tolist()], bool)


@given(circuits(max_gates=40))
def test_luts_cover_the_circuit_and_are_no_more_than_its_gates(circuit):
    clean = rebuild(circuit)
    luts = map_lut3(clean)
    assert len(luts) <= clean.size
    assert all(1 <= len(lut.leaves) <= 3 for lut in luts)
    assert np.array_equal(evaluate(clean, luts), truth_tables(circuit))


def test_known_numbers_of_luts():
    assert len(map_lut3(FULL_ADDER)) == 2
    parity = Circuit.of_gates(9, [(6, 2, 3), *((6, 10 + i, 3 + i) for i in range(1, 8))], [18])
    assert len(map_lut3(parity)) == 4
    assert len(map_lut3(rebuild(life_circuit()))) < life_circuit().size * 2 / 3


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("width", [64, 512])
def test_compiled_luts_equal_simulate(width, monkeypatch, tmp_path):
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path))
    for circuit in (life_circuit(), random_circuit(9, 300, 7, seed=2, reach=60)):
        compiled = CompiledDesign(Design("net", circuit), width=width, emit=emit_lut3)
        inputs = input_patterns(9)
        assert np.array_equal(compiled.simulate(inputs), simulate(circuit, inputs))


def test_large_circuits_are_refused():
    circuit = random_circuit(40, 3 * MAX_GATES, 3000, seed=0)
    with pytest.raises(BnnError, match="emit c"):
        emit_lut3(Design("net", circuit))


def test_golden_text():
    check_golden("emitted_full_adder_lut3.c", emit_lut3(Design("full adder", FULL_ADDER)))
