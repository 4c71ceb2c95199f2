"""Boards stepped by compiled and interpreted circuits, against tables and automata."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.circuit import Circuit, Design
from bnncli.codegen import stepper
from bnncli.codegen.stepper import WIDTHS, BoardStepper
from bnncli.data.automaton import Automaton
from bnncli.data.rules import rule_table, step_board
from bnncli.errors import BnnError, UsageError
from bnncli.native.compile import find_compiler
from bnncli.packed.reference import NumpyBackend
from tests.automata import rule_model, rule_network
from tests.circuits import brute_step, life_circuit, local_rules, random_board, tiled_rule

compiled = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
LIFE = Design("life", life_circuit(), channels=1)
SIZES = [(64, 64), (8, 128), (48, 80), (1, 1), (1, 7), (7, 1), (3, 5), (33, 31), (16, 96), (2, 64)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))


def on_numpy(design: Design) -> BoardStepper:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BNN_KERNEL", "numpy")
        return BoardStepper(design)


@compiled
@pytest.mark.parametrize("width", WIDTHS)
def test_any_size_at_any_width(width):
    try:
        life = BoardStepper(LIFE, width=width)
    except UsageError as error:
        pytest.skip(str(error))
    table = rule_table("B3/S23")
    for shape in SIZES:
        board = random_board((1, *shape), seed=shape[0])
        expected = board[0]
        for _ in range(4):
            expected = step_board(expected, table)
        np.testing.assert_array_equal(life.run(board, 4)[0], expected, str(shape))


@given(local_rules(), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3), st.integers(0, 99))
def test_numpy_is_the_circuit(circuit, height, width, n_steps, seed):
    design = Design("any", circuit, channels=circuit.n_outputs)
    board = expected = random_board((circuit.n_outputs, height, width), seed)
    for _ in range(n_steps):
        expected = brute_step(circuit, expected)
    np.testing.assert_array_equal(on_numpy(design).run(board, n_steps), expected)


@compiled
@settings(max_examples=5)
@given(local_rules(), st.integers(0, 99))
def test_compiled_is_numpy(circuit, seed):
    design = Design("any", circuit, channels=circuit.n_outputs)
    fast, slow = BoardStepper(design), on_numpy(design)
    assert fast.name.startswith("c:")
    for shape in ((8, 64), (3, 10)):
        board = random_board((circuit.n_outputs, *shape), seed)
        np.testing.assert_array_equal(fast.run(board, 3), slow.run(board, 3))


@compiled
@pytest.mark.parametrize("tile", [(1, 3), (3, 1), (1, 2), (2, 2)])
def test_what_rows_and_columns_share(tile):
    circuit = tiled_rule(2, tile, 60, seed=3)
    board = expected = random_board((2, 16, 128))
    for _ in range(3):
        expected = brute_step(circuit, expected)
    stepped = BoardStepper(Design("two", circuit, channels=2)).run(board, 3)
    np.testing.assert_array_equal(stepped, expected)


@compiled
def test_a_model_and_its_circuit_step_alike():
    """The automaton of a packed model, whatever the board."""
    model = rule_model("B36/S23")
    network = rule_network("B36/S23")
    circuit = Circuit(9, network.op, network.a, network.b, network.outputs)
    fast = BoardStepper(Design("high", circuit, channels=1))
    automaton = Automaton(model.plan(NumpyBackend()).logits, channels=1)
    for shape in ((9, 14), (8, 64)):
        boards = random_board((3, 1, *shape))
        np.testing.assert_array_equal(fast.run(boards), automaton.step(boards))


@compiled
def test_a_torus_goes_on_where_it_stopped():
    life = BoardStepper(LIFE)
    board = random_board((1, 40, 64))
    torus = life.torus(board)
    np.testing.assert_array_equal(torus.cells(), board)
    for n_steps in (1, 2, 0, 3):
        torus.step(n_steps)
    np.testing.assert_array_equal(torus.cells(), life.run(board, 6))


def test_no_compiler_is_announced_once(monkeypatch, capsys):
    monkeypatch.delenv("BNN_KERNEL", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    stepper._announce_numpy.cache_clear()
    assert [BoardStepper(LIFE).name for _ in range(2)] == ["numpy", "numpy"]
    assert capsys.readouterr().err.count("no C compiler found, stepping boards in slower") == 1
    monkeypatch.setenv("BNN_KERNEL", "c")
    with pytest.raises(BnnError, match="compiling the rule life: no C compiler found"):
        BoardStepper(LIFE)


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), r"shape \(2, 4, 4\): expected \(1, height, width\)"),
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\): expected \(1, height, width\)"),
        (np.zeros((1, 0, 4), np.uint8), r"both at least 1"),
        (np.zeros((1, 1, 65537), np.uint8), r"at most 65536 a side"),
        (np.full((1, 4, 4), 2, np.uint8), r"uint8 up to 2: expected uint8, 0 \(dead\) and 1"),
        (np.zeros((1, 4, 4), np.int64), r"int64 up to 0: expected uint8"),
    ],
)
def test_boards_that_are_refused(board, message):
    with pytest.raises(UsageError, match=message):
        on_numpy(LIFE).run(board)


def test_what_is_no_automaton_is_refused():
    with pytest.raises(BnnError, match="expected the rule of a cellular automaton"):
        BoardStepper(Design("life", life_circuit()))


def test_stepping_needs_no_torch():
    code = "import sys, bnncli.codegen.stepper; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
