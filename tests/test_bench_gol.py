"""The suite ``gol`` on small boards: who steps, that boards agree, and what is counted."""

import numpy as np
import pytest

from bnncli.bench import steppers as suite
from bnncli.bench.suites import SUITES
from bnncli.bench.usual_steps import EmittedProgram, UsualSteps
from bnncli.circuit import Circuit, truth_tables
from bnncli.circuit.translation import shared_operations
from bnncli.data.rules import rule_table, step_board
from bnncli.errors import BnnError
from bnncli.native.compile import find_compiler
from tests.automata import rule_network
from tests.circuits import random_board

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))
    monkeypatch.setattr(suite, "SIZES", {64: 2000})
    monkeypatch.setattr(suite, "HEADLINE_SIDE", 64)
    monkeypatch.setattr(suite, "HEADLINE_STEPS", 2)


def test_boards_agree_and_are_timed():
    step, headline = SUITES["gol"].cases()
    assert (step.work.steps, step.work.cells) == (2000, 2000 * 64 * 64)
    result = step.measure(0.05)
    names = [timing.contender for timing in result.timings]
    assert names[0] == result.baseline
    assert names[0].startswith("usual C, uint64, ")
    assert {"emitted C, 64 bits", "bnn c:64", "copy of the board"} <= set(names)
    assert result.facts["operations a word, smallest"] == 16
    result = headline.measure(0.05)
    names = [timing.contender for timing in result.timings]
    assert names[:2] == ["torch soft net, float32", "torch hard net, float32"]
    assert names[-1].startswith("compiled circuit, c:")


def test_a_wrong_board_is_not_timed(monkeypatch):
    monkeypatch.setattr(EmittedProgram, "cells", lambda self: 1 - self._board)
    with pytest.raises(BnnError, match="emitted C, 64 bits differs from usual C"):
        suite.cases()[0].measure(0.05)


def test_the_stored_circuit_is_the_rule():
    circuit = suite.smallest()
    np.testing.assert_array_equal(truth_tables(circuit)[0], rule_table(suite.RULE))
    assert (circuit.size, shared_operations(circuit)) == (28, 16)


@pytest.mark.parametrize("shape", [(1, 64), (3, 128), (8, 192)])
def test_the_usual_c_steps_a_torus(shape):
    network = rule_network("B36/S23")
    circuit = Circuit(9, network.op, network.a, network.b, network.outputs)
    board = random_board(shape)
    usual = UsualSteps(circuit, board, 2)
    usual()
    expected = step_board(step_board(board, rule_table("B36/S23")), rule_table("B36/S23"))
    np.testing.assert_array_equal(usual.cells(), expected)


def test_learned_gates_are_the_rule():
    forms = suite.learned()
    np.testing.assert_array_equal(truth_tables(forms.circuit)[0], rule_table(suite.RULE))
    assert forms.usual.size <= forms.circuit.size
