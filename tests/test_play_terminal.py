"""Playing learned automata: boards as text, and the terminal itself."""

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

import pytest
from typer.testing import CliRunner

from bnncli.cli.main import app
from bnncli.packed import save_packed
from bnncli.play.terminal import ENTER, LEAVE, raw_terminal
from tests.automata import rule_model
from tests.playing import ANSI


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
