"""Playing learned automata: the game without a terminal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bnncli.data import rule_table, step_board
from bnncli.data.rle import load_pattern, pattern_names
from bnncli.data.rules import neighbourhoods
from bnncli.errors import UsageError
from bnncli.packed import save_packed
from bnncli.play import Game, open_file
from bnncli.play.game import SPEEDS
from bnncli.play.opening import World
from bnncli.play.screen import frame
from tests.automata import rule_model
from tests.playing import LIFE, press


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))
)
@pytest.mark.parametrize("rule", ["B36/S23", "W110"])
def test_a_cell_sees_what_the_rules_table_numbers(rule, cells):
    table = rule_table(rule)
    seen = World(rule).windows(cells[None])
    assert seen.shape[1:] == ((1, 3, 3) if len(table) == 512 else (1, 1, 3))
    seen = seen.reshape(cells.size, -1)
    index = seen @ (1 << np.arange(seen.shape[1]))
    np.testing.assert_array_equal(neighbourhoods(len(table))[index], seen)
    np.testing.assert_array_equal(table[index].reshape(cells.shape), step_board(cells, table))


@pytest.mark.parametrize("rule", ["B3/S23", "B36/S23", "B2/S", "B1357/S1357"])
def test_a_correct_circuit_steps_as_the_rule(rule, tmp_path):
    save_packed(rule_model(rule), tmp_path / "rule.bnn")
    game = Game(open_file(tmp_path / "rule.bnn"), (23, 31), density=0.4)
    expected = game.cells.copy()
    for _ in range(10):
        game.advance()
        expected = step_board(expected, rule_table(rule))
        np.testing.assert_array_equal(game.cells, expected)
    assert (game.generation, game.compared, game.differed) == (10, 10 * 23 * 31, 0)


def test_a_wrong_circuit_is_counted_cell_by_cell(tmp_path):
    wrong = rule_model("B3/S23", data="rule:B3/S234")
    save_packed(wrong, tmp_path / "wrong.bnn")
    game = Game(open_file(tmp_path / "wrong.bnn"), (16, 16))
    differed = 0
    for _ in range(5):
        truth = step_board(game.cells, rule_table("B3/S234"))
        game.advance()
        differed += (truth != game.cells).sum()
    assert game.differed == differed > 0
    assert "DIFFERS from the rule" in frame(game, 80, 24, steps_per_second=0, colour=False)[-2]


@pytest.mark.parametrize("rule", ["W110", "W30"])
def test_a_rule_on_a_line_leaves_its_history(rule, tmp_path):
    save_packed(rule_model(rule), tmp_path / "line.bnn")
    game = Game(open_file(tmp_path / "line.bnn"), (6, 41))
    rows = [game.cells[0].copy()]
    assert rows[0].sum() == 1
    for _ in range(9):
        rows.append(step_board(rows[-1][None], rule_table(rule))[0])
        game.advance()
        shown = rows[-6:] if len(rows) > 6 else rows
        np.testing.assert_array_equal(game.cells[: len(shown)], shown)
        assert not game.cells[len(shown) :].any()
        assert game.population == rows[-1].sum()
    assert game.differed == 0
    press(game, "r")
    assert (game.generation, game.row) == (0, 0)
    assert not game.cells[1:].any()
    press(game, "p")
    assert game.cells.sum() == 1
    with pytest.raises(UsageError, match="3x3 cells, but there is room for 1x41"):
        game.show(load_pattern("glider"))


def test_keys_run_step_and_start_over(game):
    assert game.running
    press(game, "space")
    assert not game.running
    before = game.cells.copy()
    press(game, "s", "right")
    np.testing.assert_array_equal(game.cells, step_board(step_board(before, LIFE), LIFE))
    assert game.generation == 2
    press(game, "space", "s")
    assert not game.running
    press(game, "c")
    assert (game.population, game.generation) == (0, 0)
    press(game, "R")
    first = game.cells.copy()
    press(game, "r")
    assert 0 < game.population < game.cells.size
    assert (game.cells != first).any()
    press(game, "x", "q")
    assert game.over


def test_equal_seeds_give_equal_boards(life):
    boards = [Game(open_file(life), (30, 30), seed=seed).cells for seed in (1, 1, 2)]
    np.testing.assert_array_equal(boards[0], boards[1])
    assert (boards[0] != boards[2]).any()
    assert Game(open_file(life), (30, 30), density=1.0).population == 900


def test_editing_sets_cells_under_a_cursor_that_wraps(game):
    press(game, "c", "e")
    assert not game.running
    row, column = game.cursor
    press(game, "space", "left", "space", "down", "space")
    assert game.population == 3
    assert game.cells[row, column] == game.cells[row, column - 1] == 1
    press(game, "space")
    assert game.population == 2
    press(game, *["up"] * 12, *["right"] * 20)
    assert game.cursor == (row + 1, column - 1)
    press(game, "e", "right")
    assert game.generation == 1


def test_a_glider_drawn_by_hand_flies(game):
    press(game, "c", "e")
    for keys in ("space", "down right space", "down space left space left space"):
        press(game, *keys.split())
    before = game.cells.copy()
    press(game, *"ssss")
    np.testing.assert_array_equal(game.cells, np.roll(before, (1, 1), axis=(0, 1)))


def test_every_pattern_that_fits_has_its_turn(life):
    game = Game(open_file(life), (40, 40))
    seen = []
    for _ in pattern_names():
        press(game, "p")
        seen.append((game.message, game.population))
    assert seen == [
        (load_pattern(name).name, load_pattern(name).cells.sum()) for name in pattern_names()
    ]
    small = Game(open_file(life), (2, 2))
    press(small, "p")
    assert small.message == "no pattern fits on this board"


def test_a_pattern_is_opened_by_what_is_typed(game, tmp_path):
    press(game, "o", *"pulsax", "backspace", "r", "enter")
    assert "there is room for 12x20" in game.message
    press(game, "o", *"toad", "enter")
    assert (game.message, game.population, game.generation) == ("Toad", 6, 0)
    press(game, "o", *"glidr", "enter")
    assert "did you mean 'glider'" in game.message
    press(game, "o", *"/no/file.rle", "enter")
    assert "/no/file.rle" in game.message
    press(game, "o", "q", "escape")
    assert not game.over
    (tmp_path / "of highlife.rle").write_text("x = 1, y = 1, rule = B36/S23\no!")
    press(game, "o", *str(tmp_path / "of"), "space", *"highlife.rle", "enter")
    assert game.message == "of highlife, made for B36/S23"


def test_speed_goes_up_and_down_in_steps(game):
    for _ in SPEEDS:
        press(game, "+")
    assert game.speed == SPEEDS[-1]
    for _ in SPEEDS:
        press(game, "-")
    assert game.speed == SPEEDS[0]
