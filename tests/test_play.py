"""Playing learned automata: the game without a terminal, its text, and the terminal itself."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from bnncli.cli.main import app
from bnncli.data import load_dataset, rule_table, step_board
from bnncli.data.boards import checkerboard
from bnncli.data.rle import load_pattern, pattern_names
from bnncli.data.rules import neighbourhoods
from bnncli.errors import BnnError, UsageError
from bnncli.packed import save_packed
from bnncli.play import Game, open_file, open_run
from bnncli.play.game import SPEEDS, parse_size, rounded
from bnncli.play.keys import key_names
from bnncli.play.opening import Automaton, World
from bnncli.play.screen import agreement_line, board_lines, frame, text_rows, viewport
from bnncli.play.terminal import ENTER, LEAVE, Pace, raw_terminal
from bnncli.training.evaluate import model_logits
from bnncli.training.experiment import load_run_model
from bnncli.training.runs import find_run
from tests.automata import rule_model
from tests.command_line import Cli

LIFE = rule_table("B3/S23")
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "life.bnn"
    save_packed(rule_model("B3/S23"), path)
    return path


@pytest.fixture
def game(life):
    return Game(open_file(life), (12, 20), seed=3)


def press(game, *keys):
    for key in keys:
        game.press(key)


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


def halving(board, rng):
    """Relaxed Life: half of the true next state, and half of what stood there."""
    truth = step_board(rounded(board[0]), LIFE)
    return (0.45 * board[0] + 0.55 * truth)[None].astype(np.float32)


def test_the_soft_form_keeps_values_and_bits_round_them():
    forms = {"packed": lambda: lambda board, rng: step_board(board[0], LIFE)[None]}
    made = Automaton("made", World("B3/S23"), {**forms, "soft": lambda: halving})
    game = Game(made, (12, 20))
    before = game.cells.copy()
    press(game, "h", "s")
    assert (game.form, game.cells.dtype) == ("soft", np.float32)
    np.testing.assert_allclose(game.cells, halving(before[None], None)[0])
    assert game.differed == 0
    lines = frame(game, 20, 9, steps_per_second=0, colour=False)
    assert {"░", "▒"} & set("".join(lines))
    press(game, "h")
    np.testing.assert_array_equal(game.cells, step_board(before, LIFE))
    assert game.cells.dtype == np.uint8


def test_a_file_alone_has_no_soft_form(game, life):
    press(game, "h")
    assert game.form == "packed"
    assert game.message.startswith("form soft:")
    with pytest.raises(UsageError, match="holds the packed form alone"):
        Game(open_file(life), (4, 4), form="hard")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    cli = Cli(tmp_path_factory.mktemp("trained") / "runs")
    cli("train", "gol", "--rule", "W110", "--widths", "16,16", "--seed", "1", "-q")
    return cli


def test_hard_gates_step_as_the_packed_ones_and_soft_ones_near_them(trained):
    automaton = open_run(find_run(None, trained.runs))
    games = {form: Game(automaton, (40, 64), form=form) for form in ("packed", "hard", "soft")}
    for game in games.values():
        press(game, *"rss")
    np.testing.assert_array_equal(games["packed"].cells, games["hard"].cells)
    soft = games["soft"].cells
    assert soft.min() >= 0
    assert soft.max() <= 1
    assert 0 < np.abs(soft - games["hard"].cells).max() < 1
    # On bits the soft gates give what the whole latent model gives in its soft form.
    run, game = find_run(None, trained.runs), games["soft"]
    game.randomize()
    images = torch.from_numpy((game.world.windows(game.present) * 255).astype(np.uint8))
    game.advance()
    logits = model_logits(load_run_model(run, load_dataset("rule:W110")), images, form="soft")
    np.testing.assert_allclose(game.present[0, 0], logits[:, 1].numpy() + 0.5, atol=1e-6)


def test_a_recipe_is_trained_once_and_a_run_found_by_name(tmp_path):
    cli = Cli(tmp_path / "runs")
    options = ("--steps", "5", "--size", "20x20")
    first = cli("play", *options, "--json")
    again = cli("play", "gol", *options, "--json", "--form", "hard")
    assert "no finished run of gol" in first.stderr
    assert again.stderr == ""
    mine, others = json.loads(first.stdout), json.loads(again.stdout)
    assert mine["cells_that_differed"] == others["cells_that_differed"] == 0
    assert mine["populations"] == others["populations"]
    named = cli("play", "B3-S23", *options, "--json")
    assert json.loads(named.stdout)["source"] == mine["source"]
    assert "recipe mnist-ste: learns mnist" in cli("play", "mnist-ste", *options, code=2).stderr
    assert "no run 'golf'" in cli("play", "golf", *options, code=2).stderr


def test_a_network_of_something_else_is_refused(tmp_path):
    for name, metadata in {"digits": {"data": "digits"}, "unsaid": {"data": None}}.items():
        model = rule_model("B3/S23", **metadata)
        if metadata["data"] is None:
            del model.metadata["data"]
        save_packed(model, tmp_path / f"{name}.bnn")
        with pytest.raises(BnnError, match=r"expected a cellular automaton; train one with"):
            open_file(tmp_path / f"{name}.bnn")


def toward(picture):
    """Set channel 0 to a picture, and negate the other channels."""

    def step(board, rng):
        after = 1 - board
        after[0] = picture
        return WORLD.fired(board, after, rng)

    return lambda: step


WORLD = World.of("board:checkerboard,fire=0.5,size=12", "made")


def test_a_task_on_boards_is_compared_with_its_goal():
    picture = checkerboard(12)
    game = Game(Automaton("made", WORLD, {"packed": toward(picture)}), (12, 12), density=0.5)
    first = game.board.copy()
    assert first.shape == (8, 12, 12)
    assert 0.4 < first.mean() < 0.6
    press(game, "s")
    changed = (game.board != first).any(axis=0)
    assert 0 < changed.sum() < 144
    np.testing.assert_array_equal(game.board[1:, changed], 1 - first[1:, changed])
    press(game, *"s" * 30)
    np.testing.assert_array_equal(game.cells, picture)
    lines = frame(game, 80, 24, steps_per_second=0, colour=False)
    assert lines[-2] == "144 of 144 cells are as the goal wants them"
    assert lines[-3].startswith("board:checkerboard  packed  generation 31")
    assert lines[-3].endswith("paused")
    press(game, "d")
    assert not game.board[:, 3:9, 3:9].any()
    wrong = 144 - int((game.cells == picture).sum())
    assert wrong == picture[3:9, 3:9].sum()
    assert "no goal is known" in agreement_line(
        Game(Automaton("made", WORLD, {"packed": toward(0)}), (9, 12))
    )


def test_beyond_a_dead_edge_there_is_nothing():
    board = np.ones((8, 3, 4), np.uint8)
    seen = WORLD.windows(board)
    assert seen.shape == (12, 8, 3, 3)
    assert seen[5].all()
    assert not seen[0, :, 0].any()
    assert not seen[0, :, :, 0].any()


def test_a_picture_that_grows_begins_with_one_cell():
    world = World.of("board:heart", "made")
    game = Game(Automaton("made", world, {"packed": lambda: lambda board, rng: board}), (12, 12))
    assert np.argwhere(game.board).tolist() == [[channel, 6, 6] for channel in range(16)]
    assert game.goal.sum() > 0
    assert Game(game.automaton, (5, 5)).goal is None


def test_a_trained_automaton_of_several_channels_plays_in_every_form(tmp_path):
    cli = Cli(tmp_path / "runs")
    cli(
        *("train", "--arch", "dlca", "--data", "board:checkerboard,channels=2,size=8,steps=2"),
        *("--arch-option", "kernels=2", "--widths", "8,8", "--epochs", "1", "-q"),
    )
    found = {
        form: cli.json("play", "dlca", "--steps", "3", "--form", form)
        for form in ("packed", "hard", "soft")
    }
    assert found["packed"]["board"] == found["hard"]["board"]
    assert found["packed"]["size"] == [8, 8]
    unlike = found["packed"]["cells_unlike_the_goal"]
    goal = checkerboard(8)
    board = np.array([[cell == "O" for cell in row] for row in found["packed"]["board"]])
    assert unlike == (board != goal).sum()
    assert found["packed"]["cells_that_differed"] is None


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


def invoke(*args):
    return CliRunner().invoke(app, ["play", *map(str, args)], env={"NO_COLOR": "1"})


def test_steps_are_printed_as_text(life):
    result = invoke(life, "--pattern", "glider", "--size", "6x7", "--steps", 4)
    assert result.exit_code == 0, result.output
    boards = result.stdout.strip().split("\n\n")
    assert [board.split("\n")[0] for board in boards] == [
        f"generation {k}, population 5" for k in range(5)
    ]
    first, last = (board.split("\n")[1:] for board in (boards[0], boards[4]))
    assert last == [line[-1] + line[:-1] for line in first[-1:] + first[:-1]]
    assert "4 generations of B3/S23: agrees with the rule: 0 of 168 cells differed" in result.stderr


def test_steps_as_json_tell_the_check(life):
    found = json.loads(invoke(life, "--size", "9x5", "--steps", 3, "--json").stdout)
    assert found["schema"] == 1
    assert (found["learned"], found["form"], found["size"]) == ("B3/S23", "packed", [9, 5])
    assert (found["cells_compared"], found["cells_that_differed"]) == (135, 0)
    assert len(found["populations"]) == 4
    assert "".join(found["board"]).count("O") == found["populations"][-1]


def test_a_history_is_printed_row_by_row(tmp_path):
    save_packed(rule_model("W90"), tmp_path / "line.bnn")
    result = invoke(tmp_path / "line.bnn", "--size", "2x9", "--steps", 3)
    assert result.stdout.split() == ["....O....", "...O.O...", "..O...O..", ".O.O.O.O."]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "play needs a terminal; give --steps N"),
        (["--json"], "--json needs --steps N"),
        (["--steps", "1", "--form", "compiled"], "unknown form 'compiled'"),
        (["--steps", "1", "--size", "9by9"], "--size 9by9: expected HxW"),
        (["--steps", "1", "--pattern", "glidr"], "did you mean 'glider'"),
        (["--steps", "1", "--pattern", "gun", "--size", "9x9"], "Gosper glider gun: 9x36 cells"),
    ],
)
def test_wrong_requests_are_one_line(life, args, words):
    result = invoke(life, *args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


class Program:
    """``bnn play`` on a terminal of its own."""

    def __init__(self, *args, columns=80, lines=24):
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (lines, columns))
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bnncli.cli.main", "play", *map(str, args)],
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)

    def read(self, wanted=None, seconds=60):
        """Read until a text is seen, or what there is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (wanted is None or wanted not in self.text()):
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="ignore")
            elif wanted is None:
                break
        assert wanted is None or wanted in self.text()

    def text(self):
        return ANSI.sub("", self.seen)

    def send(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        """Wait for the end; the terminal must be as it was."""
        code = self.process.wait(60)
        self.read()
        assert self.seen.startswith(ENTER)
        assert self.seen.endswith(LEAVE)
        assert termios.tcgetattr(self.slave) == self.before
        return code, self.process.stderr.read()


def test_a_terminal_shows_the_game_and_is_given_back(life):
    with Program(life, "--pattern", "glider", "--fps", 1000) as program:
        program.read("agrees with the rule")
        program.send(" c")
        program.read("population 0 ")
        program.seen = ENTER
        program.send("e \x1b[C")
        program.read("cursor 21,41")
        termios.tcsetwinsize(program.slave, (10, 30))
        program.seen = ENTER
        program.read("EDIT: arrows move  space sets")
        assert (
            max(len(ANSI.sub("", line)) for line in re.split(r"\x1b\[\d+;1H", program.seen)) <= 30
        )
        program.send("\x1b")
        program.send("oq\x1b")
        program.send("q")
        code, errors = program.end()
    assert code == 0
    assert "generations of B3/S23: agrees with the rule" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_game_gives_the_terminal_back(life, number):
    with Program(life) as program:
        program.read("generation")
        program.process.send_signal(number)
        code, errors = program.end()
    assert code == 130
    assert "Traceback" not in errors


def test_an_exception_gives_the_terminal_back():
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        handler = signal.getsignal(signal.SIGTERM)
        out = io.StringIO()
        during = []
        with pytest.raises(ZeroDivisionError), raw_terminal(slave, out):
            during.append(termios.tcgetattr(slave) == before or 1 / 0)
        assert during == []
        assert termios.tcgetattr(slave) == before
        assert signal.getsignal(signal.SIGTERM) is handler
        assert out.getvalue() == ENTER + LEAVE
    finally:
        os.close(master)
        os.close(slave)
