"""Patterns of life: the text format, and that each pattern does what it is known for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bnncli.data import rule_table, step_board
from bnncli.data.rle import LINE_WIDTH, Pattern, load_pattern, pattern_names, read_rle, write_rle
from bnncli.errors import BnnError, UsageError

LIFE = rule_table("B3/S23")
WIDE = 1 << 20


def board(name, margin=6):
    return np.pad(load_pattern(name).cells, margin)


def run(cells, steps):
    for _ in range(steps):
        cells = step_board(cells, LIFE)
    return cells


def plane_populations(name, steps):
    """Count the cells of each generation on an unbounded plane, from live cells alone."""
    rows, columns = np.nonzero(load_pattern(name).cells)
    alive = (rows + WIDE // 2) * WIDE + columns + WIDE // 2
    around = np.array([dr * WIDE + dc for dr in (-1, 0, 1) for dc in (-1, 0, 1)])
    counts = [len(alive)]
    for _ in range(steps):
        cells, n = np.unique(alive[:, None] + around, return_counts=True)
        old = np.isin(cells, alive)
        alive = cells[(n == 3) | (old & (n == 4))]
        counts.append(len(alive))
    return counts


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 90)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
    ),
    st.sampled_from([None, "B3/S23", "W110"]),
)
def test_written_patterns_read_back(cells, rule):
    text = write_rle(Pattern("a name", cells, rule))
    found = read_rle(text)
    np.testing.assert_array_equal(found.cells, cells)
    assert (found.name, found.rule) == ("a name", rule)
    assert max(map(len, text.splitlines())) <= LINE_WIDTH


@given(st.data())
def test_space_between_runs_means_nothing(data):
    glider = load_pattern("glider")
    parts = list("bob$2bo$3o!")
    spaced = "".join(data.draw(st.sampled_from(["", " ", "\n", "\r\n ", "\t"])) + p for p in parts)
    text = f"#C drawn\n \nX=3,y =3 , rule = 23/3:T8,8\n{spaced}   the rest is a comment #$"
    found = read_rle(text)
    np.testing.assert_array_equal(found.cells, read_rle("x=3,y=3\nbob$2bo$3o!").cells)
    assert found.rule == glider.rule == "B3/S23"


def test_dead_ends_of_rows_and_blank_rows_need_no_text():
    found = read_rle("x = 4, y = 5\no$$bo2$!")
    assert found.cells.tolist() == [[1, 0, 0, 0], [0] * 4, [0, 1, 0, 0], [0] * 4, [0] * 4]
    assert write_rle(found) == "x = 4, y = 5\no2$bo!\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: found the end, expected a header such as x = 3, y = 3"),
        ("#N only a comment\n", ":2: found the end, expected a header"),
        ("bo$2bo$3o!", ":1: found 'bo$2bo$3o!', expected a header"),
        ("x = 3\nbo!", ":1: found 'x = 3', expected a header"),
        ("x = 0, y = 3\n!", ":1: 0 by 3 cells, expected at least 1 by 1"),
        ("x = 99999, y = 99999\n!", ":1: 99999 by 99999 cells"),
        ("x = 3, y = 3, rule = WireWorld\n!", ":1: rule 'WireWorld': expected B3/S23"),
        ("x = 3, y = 3\nbo$2c!", ":2:5: found 'c', expected b, o, $ or !"),
        ("x = 3, y = 3\nbo$\n\n2bo", ":4:4: found the end, expected b, o, $ or !"),
        ("x = 3, y = 3\nbo$3!", ":2:5: found '!', expected b, o, $ or !"),
        ("x = 3, y = 3\nbo$4o!", ":2:4: cell outside the 3 by 3 of the header"),
        ("x = 3, y = 3\n3$b!", ":2:3: cell outside the 3 by 3"),
        ("x = 3, y = 3\n0o!", ":2:1: count 0, expected 1 to"),
        ("x = 3, y = 3\n1 2o!", ":2:3: found '2', expected b, o, $ or !"),
        ("x = 3, y = 3\n" + "9" * 30 + "o!", ":2:1: count 999999999999, expected 1 to"),
    ],
)
def test_malformed_text_is_one_line_that_says_where(text, words):
    with pytest.raises(BnnError) as error:
        read_rle(text, "life.rle")
    message = str(error.value)
    assert message.startswith("life.rle" + words)
    assert "\n" not in message


def test_an_unknown_pattern_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="unknown pattern 'glidr'; did you mean 'glider'"):
        load_pattern("glidr")
    (tmp_path / "blob.rle").write_bytes(b"\xff\xfe")
    with pytest.raises(BnnError, match="not UTF-8 text"):
        load_pattern(str(tmp_path / "blob.rle"))
    (tmp_path / "mine.rle").write_text("x = 1, y = 1\no!")
    assert load_pattern(str(tmp_path / "mine.rle")).name == "mine"


@pytest.mark.parametrize("name", pattern_names())
def test_shipped_patterns_are_as_large_as_they_say(name):
    pattern = load_pattern(name)
    assert pattern.rule == "B3/S23"
    cells = pattern.cells
    assert all(edge.any() for edge in (cells[0], cells[-1], cells[:, 0], cells[:, -1]))


@pytest.mark.parametrize(
    ("name", "period", "shift"),
    [
        ("beacon", 2, (0, 0)),
        ("toad", 2, (0, 0)),
        ("pulsar", 3, (0, 0)),
        ("pentadecathlon", 15, (0, 0)),
        ("glider", 4, (1, 1)),
        ("lwss", 4, (0, -2)),
    ],
)
def test_patterns_return_after_their_period_and_not_before(name, period, shift):
    began = board(name)
    states = [run(began, steps) for steps in range(1, period + 1)]
    np.testing.assert_array_equal(states[-1], np.roll(began, shift, axis=(0, 1)))
    assert not any(np.array_equal(state, began) for state in states[:-1])


def test_the_gun_emits_a_glider_every_thirty_steps():
    gun = load_pattern("gun").cells
    height, width = gun.shape
    began = np.zeros((height + 60, width + 60), np.uint8)
    began[:height, :width] = gun
    after = [run(began, 30)]
    after += [run(after[0], 30)]
    for n_gliders, state in enumerate(after, 1):
        np.testing.assert_array_equal(state[:height, :width], gun)
        assert state.sum() == gun.sum() + 5 * n_gliders
    glider = load_pattern("glider").cells
    emitted = after[1] - began
    forms = [run(np.pad(glider, 3), k) for k in range(4)]
    forms = [f[np.ix_(f.any(1), f.any(0))] for f in forms]
    windows = [
        np.array_equal(emitted[r : r + h, c : c + w], form) and emitted[r : r + h, c : c + w].sum()
        for form in forms
        for h, w in [form.shape]
        for r in range(began.shape[0] - h)
        for c in range(began.shape[1] - w)
    ]
    assert sum(map(bool, windows)) == 2


@pytest.mark.parametrize(
    ("name", "steps", "population"), [("r-pentomino", 1103, 116), ("acorn", 5206, 633)]
)
def test_methuselahs_live_as_long_as_is_known(name, steps, population):
    counts = plane_populations(name, steps + 4)
    assert counts[0] in {5, 7}
    assert counts[steps] == counts[steps + 2] == counts[steps + 4] == population
