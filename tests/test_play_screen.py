"""Playing learned automata: sizes, keys, what is drawn, and the pace."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bnncli.errors import UsageError
from bnncli.play.game import parse_size
from bnncli.play.keys import key_names
from bnncli.play.screen import board_lines, frame, text_rows, viewport
from bnncli.play.terminal import Pace
from tests.playing import ANSI, press


@pytest.mark.parametrize("text", ["", "40", "0x9", "x", "4x", "-3x4", "40x80x2", "9999x9"])
def test_sizes_that_make_no_board_are_refused(text):
    with pytest.raises(UsageError, match=re.escape(f"--size {text}: expected HxW")):
        parse_size(text)


def test_keys_are_named_whatever_else_is_sent():
    assert key_names(b"\x1b[A\x1bOB\x1b[C\x1b[D") == ["up", "down", "right", "left"]
    assert key_names(b"\x1b[5~\x1b[1;5Cq\x1b") == ["q", "escape"]
    assert key_names("é \r\x7f\x00".encode()) == ["é", "space", "enter", "backspace"]


@given(st.binary(max_size=20))
def test_no_bytes_break_the_keys(sent):
    assert all(key_names(sent))


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))
)
def test_half_blocks_show_every_cell(cells):
    height, width = cells.shape
    lines = board_lines(cells, None, colour=False)
    assert {len(line) for line in lines} == {width}
    codes = np.array([[" ▄▀█".index(c) for c in line] for line in lines])
    drawn = np.stack([codes >> 1, codes & 1], axis=1).reshape(-1, width)
    np.testing.assert_array_equal(drawn[:height], cells)
    assert not drawn[height:].any()
    coloured = board_lines(cells, (0, 0), colour=True)
    assert {ANSI.sub("", line) for line in coloured} == {"▀" * width}
    assert text_rows(cells) == ["".join(".O"[c] for c in row) for row in cells]


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_a_viewport_holds_what_is_looked_at(full, room, data):
    focus = data.draw(st.integers(0, full - 1))
    part = viewport(full, room, focus)
    assert 0 <= part.start <= focus < part.stop <= full
    assert part.stop - part.start == min(full, room)


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (1, 1), (200, 60)])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("key", ["s", "e", "o", "p"])
def test_a_frame_fits_the_terminal(game, size, colour, key):
    press(game, key)
    columns, lines = size
    drawn = frame(game, columns, lines, steps_per_second=9.5, colour=colour)
    assert len(drawn) <= max(2, lines)
    assert max(len(ANSI.sub("", line)) for line in drawn) <= columns


def test_the_status_is_whole_in_eighty_columns(game):
    game.generation, game.speed = 123_456, 1000
    drawn = frame(game, 80, 24, steps_per_second=1000, colour=False)
    assert drawn[-3].endswith("running")
    assert drawn[-1].endswith("q quit")


def test_the_pace_owes_what_the_speed_says_and_forgets_what_it_cannot():
    pace = Pace(10.0)
    assert pace.owed(10.05, 10) == 0
    assert pace.owed(10.1, 10) == 1
    pace.step(10.1, 10)
    assert pace.owed(10.1, 10) == 0
    assert pace.wait(10.15, 10) == pytest.approx(0.05)
    assert pace.owed(20.0, 100) == 25
    assert pace.owed(30.0, 1) == 1
    assert pace.rate(10.2) == 1
    assert pace.rate(30.0) == 0
    pace.rest(40.0)
    assert pace.owed(40.0, 1000) == 0
