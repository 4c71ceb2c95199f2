"""The suite of circuits: what it compares, and that its sizes are counted alike."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from bnncli.bench.large_circuits import (
    _check,
    _from_torchlogix,
    _take_random,
    _torchlogix_dict,
    abc_facts,
    layered,
    torchlogix_size,
)
from bnncli.bench.life_circuits import _take, decision_circuit
from bnncli.bench.minimize import N_SEEDS, learned_circuit, take
from bnncli.bench.suites import SUITES
from bnncli.circuit import truth_tables
from bnncli.data.rules import rule_table
from bnncli.errors import BnnError
from bnncli.minimize.abc import find_abc
from bnncli.native import available_isas
from tests.circuits import counting_life

GATES = {
    "CONST_FALSE": lambda a, b: 0,
    "CONST_TRUE": lambda a, b: 1,
    "WIRE": lambda a, b: a,
    "NOT": lambda a, b: 1 - a,
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "NAND": lambda a, b: 1 - (a & b),
    "NOR": lambda a, b: 1 - (a | b),
    "XNOR": lambda a, b: 1 - (a ^ b),
    "AND_NOT_B": lambda a, b: a & (1 - b),
    "AND_NOT_A": lambda a, b: (1 - a) & b,
    "OR_NOT_B": lambda a, b: a | (1 - b),
    "OR_NOT_A": lambda a, b: (1 - a) | b,
}


def test_the_suite_holds_large_networks_and_twenty_rules():
    names = [case.name for case in SUITES["circuits"].cases()]
    assert names[:3] == ["large/random-10,000", "large/random-100,000", "large/digits-logic"]
    assert sum(name.startswith("life/") for name in names) >= 20


def test_layers_read_all_signals_alike():
    circuit = layered(10, 40, 3, seed=0)
    readers = np.bincount(np.concatenate([circuit.a, circuit.b]), minlength=circuit.n_signals)
    assert (readers[2:12] == 8).all()
    assert (readers[12 : circuit.n_signals - 40] == 2).all()
    assert circuit.outputs.tolist() == list(range(circuit.n_signals - 40, circuit.n_signals))


@pytest.mark.parametrize("rule", ["B3/S23", "W110", "B/S"])
def test_decisions_compute_the_table(rule):
    table = rule_table(rule)
    assert np.array_equal(truth_tables(decision_circuit(table.tobytes()))[0], table)


def test_a_peer_is_given_the_same_circuit():
    circuit = layered(5, 16, 2, seed=1)
    given = _torchlogix_dict(circuit)
    tables = truth_tables(circuit)
    for case in range(32):
        values = {i: case >> i & 1 for i in range(5)}
        for gate in given["gates"]:
            a, b = (values.get(gate[end], 0) for end in ("in0", "in1"))
            values[gate["gate_id"]] = GATES[gate["op"]](a, b)
        assert [values[i] for i in given["outputs"]] == tables[:, case].tolist()
    assert np.array_equal(truth_tables(_from_torchlogix(given)), tables)


def test_results_that_differ_are_refused():
    circuit = layered(5, 16, 2, seed=1)
    assert _check("x", circuit, circuit) == ""
    wrong = replace(circuit, op=circuit.op ^ 1)
    with pytest.raises(BnnError, match="bench: x changed the circuit: differ: output"):
        _check("x", wrong, circuit)


def test_programs_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setattr("bnncli.bench.large_circuits.find_abc", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    circuit = layered(5, 16, 2, seed=1)
    assert abc_facts(circuit, ["map"]) == {"abc": "not installed"}
    assert torchlogix_size(circuit) == "not installed"


@pytest.mark.skipif(find_abc() is None, reason="abc is not installed")
def test_sizes_are_no_larger_than_abc_leaves():
    facts = _take_random(2000)
    assert facts["-O2"] <= facts["best of abc"]
    assert facts["-O2"] < facts["after 1. rebuild"] < facts["live"] < facts["declared"] == 2000


def test_a_rule_is_searched_and_proved(monkeypatch):
    monkeypatch.setattr("bnncli.bench.life_circuits.BUDGET", 0.5)
    monkeypatch.setattr("bnncli.bench.life_circuits.ABC_SEARCHES", [])
    facts = _take("B2/S")
    assert facts["-O3 --budget 0.5"] < facts["start"]
    assert facts["proof"] == "equal on all 512 inputs (exhaustive)"


@pytest.mark.skipif(not available_isas(), reason="the C kernels are not built")
@pytest.mark.parametrize("shared", [False, True])
def test_searches_tell_what_they_reached_when(shared):
    facts = take(counting_life(), shared=shared, seconds=(1, 60), stop_at=35, jobs=1)
    unit = "shared operations" if shared else "gates"
    assert facts["gates, declared"] == facts["gates, live"] == 46
    assert facts[f"{unit} at the end"] <= facts[f"{unit} after 60 s"] <= 35
    assert facts["walks"] >= 1
    assert 0 < facts["seconds"] <= 60


def test_the_suite_minimizes_what_twenty_seeds_learned():
    names = [case.name for case in SUITES["circuits"].cases()]
    for unit in ("gates", "shared operations"):
        assert (
            sum(name.startswith(f"minimize/gol {unit}, seed ") for name in names) == N_SEEDS == 20
        )
    circuit = learned_circuit(0)
    assert np.array_equal(truth_tables(circuit)[0], rule_table("B3/S23"))


@pytest.mark.parametrize("text", ["def (", "import torchlogix.missing"])
def test_a_torchlogix_that_cannot_be_imported_is_said_so(text, tmp_path, monkeypatch):
    (tmp_path / "torchlogix").mkdir()
    (tmp_path / "torchlogix" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "torchlogix"]:
        monkeypatch.delitem(sys.modules, name)
    assert torchlogix_size(counting_life()).startswith("not usable (")
