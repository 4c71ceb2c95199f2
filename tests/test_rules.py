"""Cellular automata's rules as data: names, tables, boards, and how the data layer treats them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bnncli.cli.data import app
from bnncli.data import (
    canonical_rule,
    find_source,
    load_dataset,
    rule_table,
    step_board,
)
from bnncli.errors import UsageError
from bnncli.training.config import Settings
from bnncli.training.experiment import resolve
from bnncli.training.runs import run_of

DIGITS = st.sets(st.integers(0, 8))
BOARDS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))


def name_of(born: set[int], surviving: set[int]) -> str:
    return f"B{''.join(map(str, sorted(born)))}/S{''.join(map(str, sorted(surviving)))}"


def random_board(shape: tuple[int, int, int]) -> np.ndarray:
    height, width, seed = shape
    return np.random.default_rng(seed).integers(0, 2, (height, width), dtype=np.uint8)


def board_of(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows], dtype=np.uint8)


@given(BOARDS, DIGITS, DIGITS)
def test_life_like_boards_follow_the_definition(shape, born, surviving):
    board = random_board(shape)
    stepped = step_board(board, rule_table(name_of(born, surviving)))
    height, width = board.shape
    for r in range(height):
        for c in range(width):
            live = sum(
                int(board[(r + dr) % height, (c + dc) % width])
                for dr in (-1, 0, 1)
                for dc in (-1, 0, 1)
                if (dr, dc) != (0, 0)
            )
            assert stepped[r, c] == (live in (surviving if board[r, c] else born))


@given(BOARDS, st.integers(0, 255))
def test_elementary_boards_follow_wolframs_numbering(shape, number):
    board = random_board(shape)
    stepped = step_board(board, rule_table(f"W{number}"))
    height, width = board.shape
    for r in range(height):
        for c in range(width):
            left, centre, right = (int(board[r, (c + d) % width]) for d in (-1, 0, 1))
            assert stepped[r, c] == number >> (4 * left + 2 * centre + right) & 1


def test_rule_30_grows_to_the_left_as_published():
    """From one cell: 111, 11001, 1101111 (Wolfram 1983): chaotic on the right side."""
    board = board_of(".......#.......")
    rows = []
    for _ in range(3):
        board = step_board(board, rule_table("W30"))
        rows.append("".join("#" if cell else "." for cell in board[0]))
    assert rows == ["......###......", ".....##..#.....", "....##.####...."]


def test_a_glider_moves_diagonally_in_four_steps():
    board = board_of(".#....", "..#...", "###...", "......", "......", "......")
    after = board
    for _ in range(4):
        after = step_board(after, rule_table("B3/S23"))
    assert np.array_equal(after, np.roll(board, (1, 1), axis=(0, 1)))


@given(DIGITS, DIGITS)
def test_every_spelling_names_the_same_rule(born, surviving):
    canonical = name_of(born, surviving)
    b, s = canonical.split("/")
    for spelling in (canonical, f"{b}{s}".lower(), f"{s}/{b}", f"{s[1:]}/{b[1:]}", f"rule:{b}/{s}"):
        assert canonical_rule(spelling) == canonical
    assert canonical_rule(f"B{b[:0:-1]}/S{s[:0:-1]}") == canonical


@pytest.mark.parametrize(
    "bad", ["B39/S23", "B3/S9", "W256", "W-1", "hello", "", "B3S23B", "3", "W"]
)
def test_a_bad_rule_is_one_line_that_names_the_forms(bad):
    with pytest.raises(UsageError, match=re.escape(repr(bad))) as raised:
        find_source(f"rule:{bad}")
    assert "B3/S23" in str(raised.value)
    assert "W110" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "shape"), [("b36s23", (512, 1, 3, 3)), ("W110", (8, 1, 1, 3))])
def test_a_rule_is_the_same_whole_table_in_all_splits(name, shape):
    data = load_dataset(f"rule:{name}")
    assert data.name == f"rule:{canonical_rule(name)}"
    assert data.classes == ("dead", "alive")
    assert data.train.images.shape == shape
    assert data.train.images.dtype == np.uint8
    weights = 1 << np.arange(shape[2] * shape[3])
    for split in (data.train, data.validation, data.test):
        assert np.array_equal(
            (split.images // 255).reshape(shape[0], -1) @ weights, range(shape[0])
        )
        assert np.array_equal(split.labels, rule_table(name))
    assert set(np.unique(data.train.images)) == {0, 255}


@pytest.mark.parametrize("validation", [0, 10, 0.5])
def test_nothing_of_a_table_is_held_out(validation):
    with pytest.raises(UsageError, match=f"validation={validation}: rule:B3/S23 is a whole truth"):
        load_dataset("rule:B3/S23", validation=validation)


@pytest.mark.parametrize("board", [np.zeros(9), np.zeros((0, 3)), np.full((2, 2), 2)])
def test_a_wrong_board_is_one_line(board):
    with pytest.raises(UsageError, match="board"):
        step_board(board.astype(np.uint8), rule_table("B3/S23"))


def test_a_table_of_another_size_is_one_line():
    with pytest.raises(UsageError, match="512 entries"):
        step_board(np.zeros((3, 3), dtype=np.uint8), np.zeros(16, dtype=np.uint8))


def test_a_run_has_one_name_however_the_rule_is_spelled(tmp_path):
    names = set()
    for spelling in ("rule:B3/S23", "rule:b3s23", "rule:23/3"):
        settings = resolve(Settings().updated({"data": {"name": spelling}}))
        assert settings.data.name == "rule:B3/S23"
        names.add(run_of(tmp_path, settings).path)
    (path,) = names
    assert path.parent == tmp_path
    assert "rule-B3-S23" in path.name


def test_the_data_command_knows_rules():
    listed = CliRunner().invoke(app, ["list"])
    assert "rule:B3/S23" in listed.stderr
    assert "rule:" not in listed.stdout
    fetched = CliRunner().invoke(app, ["fetch", "rule:b3s23", "--json"])
    (entry,) = json.loads(fetched.stdout)["data_sets"]
    assert (entry["name"], entry["state"], entry["path"]) == ("rule:B3/S23", "computed", None)
    assert (entry["n_train"], entry["image_shape"]) == (512, [1, 3, 3])
    assert CliRunner().invoke(app, ["fetch", "rule:W110"]).stdout == "rule:W110 computed\n"
    asked = CliRunner().invoke(app, ["path", "rule:W110"])
    assert isinstance(asked.exception, UsageError)
    assert "computed" in str(asked.exception)
