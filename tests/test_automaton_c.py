"""Emitted programs of cellular automata: what compilers say, and boards against the tables."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bnncli.circuit import Circuit, Design, from_text
from bnncli.codegen.automaton_c import automaton_program
from bnncli.data.rules import rule_table, step_board
from bnncli.errors import BnnError
from tests.automata import rule_network
from tests.circuits import brute_step, life_circuit, random_board, tiled_rule

GOLDEN = Path(__file__).parent / "golden" / "automaton_rule.c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-psabi")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LIFE = Design("Game of Life", life_circuit(), channels=1, notes=("Rule B3/S23.",))
SIZES = ((48, 80), (8, 64), (1, 1), (3, 5), (5, 3), (16, 2), (2, 128), (40, 192))


def needs(compiler: str) -> str:
    path = shutil.which(compiler)
    if path is None:
        pytest.skip(f"{compiler} is not installed")
    return path


def build(design: Design, folder: Path, *options: str, compiler: str = "gcc") -> Path:
    source = folder / "gate.c"
    source.write_text(automaton_program(design))
    command = [needs(compiler), *options, str(source), "-o", str(folder / "gate")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return folder / "gate"


def sanitizers(compiler: str, folder: Path) -> tuple[str, ...]:
    """Give the options of the sanitizers, or none where the compiler has no library for them."""
    source = folder / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    command = [needs(compiler), *SANITIZE, str(source), "-o", str(folder / "empty")]
    return (
        SANITIZE
        if subprocess.run(command, capture_output=True, check=False).returncode == 0
        else ()
    )


def run(gate: Path, *options: object, board: np.ndarray | None = None, code: int = 0) -> str:
    lines = (
        []
        if board is None
        else ["\n".join("".join(row) for row in np.array([*".#"])[channel]) for channel in board]
    )
    result = subprocess.run(
        [gate, *map(str, options)],
        input="\n\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if "no vectors of" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode == code, result.stderr
    return result.stdout if code == 0 else result.stderr


def cells_of(text: str) -> np.ndarray:
    planes = re.sub(r"\d+ steps, hash.*", "", text).strip().split("\n\n")
    return np.array([[[c == "#" for c in row] for row in p.split()] for p in planes], np.uint8)


def after(gate: Path, board: np.ndarray, steps: int) -> np.ndarray:
    size = f"{board.shape[2]}x{board.shape[1]}"
    return cells_of(run(gate, "--size", size, "--read", "--steps", steps, "--print", board=board))


@pytest.mark.parametrize(
    ("compiler", "width"), [("gcc", 64), ("gcc", 512), ("clang", 64), ("clang", 256)]
)
def test_boards_are_those_of_the_table_under_sanitizers(compiler, width, tmp_path):
    options = (*STRICT, "-O1", f"-DBNN_WIDTH={width}", *sanitizers(compiler, tmp_path))
    gate = build(LIFE, tmp_path, *options, compiler=compiler)
    table = rule_table("B3/S23")
    for shape in SIZES:
        board = random_board((1, *shape), seed=shape[1])
        expected = board[0]
        for _ in range(3):
            expected = step_board(expected, table)
        np.testing.assert_array_equal(after(gate, board, 3)[0], expected, str(shape))


@pytest.mark.parametrize("tile", [(1, 3), (3, 1), (1, 2), (2, 1)])
def test_channels_and_whatever_is_shared(tile, tmp_path):
    """Rows, columns and pairs of two channels are kept, closed and split into passes."""
    circuit = tiled_rule(2, tile, 60, seed=3)
    gate = build(
        Design("two", circuit, channels=2), tmp_path, *STRICT, *sanitizers("gcc", tmp_path)
    )
    for shape in ((6, 64), (7, 10)):
        board = random_board((2, *shape))
        expected = brute_step(circuit, brute_step(circuit, board))
        np.testing.assert_array_equal(after(gate, board, 2), expected)
    assert " 0 of 7680 cells differ" in run(gate, "--check", "--steps", 5)


@pytest.mark.parametrize("rule", ["B36/S23", "B2/S"])
def test_other_rules(rule, tmp_path):
    network = rule_network(rule)
    circuit = Circuit(9, network.op, network.a, network.b, network.outputs)
    gate = build(Design(rule, circuit, channels=1), tmp_path, *STRICT, "-O1")
    board = random_board((1, 12, 64))
    np.testing.assert_array_equal(after(gate, board, 1)[0], step_board(board[0], rule_table(rule)))
    run(gate, "--check", "--steps", 2)


@pytest.mark.parametrize(
    ("gates", "output"), [([], 0), ([], 1), ([], 2), ([], 10), ([(0x5, 7, 7)], 11)]
)
def test_rules_without_a_gate(gates, output, tmp_path):
    """Dead, alive, a shifted board and its complement."""
    circuit = Circuit.of_gates(9, gates, [output])
    gate = build(Design("plain", circuit, channels=1), tmp_path, *STRICT)
    board = random_board((1, 5, 64))
    np.testing.assert_array_equal(after(gate, board, 1), brute_step(circuit, board))


def test_the_program_as_a_user_runs_it(tmp_path):
    gate = build(LIFE, tmp_path, "-O3", "-Wall", "-Wextra", "-Werror")
    hashes = {
        run(gate, "--size", "128x64", "--seed", 7, "--steps", 20).split()[-1],
        run(gate, "--size", "128x64", "--seed", 7, "--steps", 20, "--bench").split()[-1],
        run(gate, "--size", "128x64", "--seed", 7, "--steps", 20, "--print").split()[-1],
    }
    assert len(hashes) == 1
    assert hashes != {run(gate, "--size", "128x64", "--seed", 8, "--steps", 20).split()[-1]}
    assert re.match(
        r"512x512 cells, 64 bits .* steps/s, .* cells/s", run(gate, "--bench", "--steps", 3)
    )
    assert run(gate).startswith("100 steps, hash ")
    assert run(gate, "--help").startswith("usage: ")


def test_seeds_and_hashes_are_those_of_any_layout(tmp_path):
    """The same words of splitmix64 by cells, the same FNV-1a over cells."""
    gate = build(LIFE, tmp_path, "-O1")
    text = run(gate, "--size", "24x10", "--seed", 5, "--steps", 0, "--print")
    bits, state = [], 5
    while len(bits) < 240:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        bits += [(z ^ z >> 31) >> i & 1 for i in range(64)]
    board = np.array(bits[:240], np.uint8).reshape(10, 24)
    np.testing.assert_array_equal(cells_of(text)[0], board)
    value = 0xCBF29CE484222325
    for cell in board.ravel().tolist():
        value = (value ^ cell) * 0x100000001B3 % 2**64
    assert text.split()[-1] == f"{value:016x}"


def test_what_the_program_refuses(tmp_path):
    gate = build(LIFE, tmp_path, "-O1")
    assert "4x4" in run(gate, "--read", "--size", "4x4", board=random_board((1, 5, 4)), code=1)
    assert "--size: unknown, or its value" in run(gate, "--size", "0x4", code=2)
    assert "--size: unknown, or its value" in run(gate, "--size", "4x4x4", code=2)
    assert "--sise: unknown" in run(gate, "--sise", code=2)
    assert "-3 given, expected a number" in run(gate, "--steps", "-3", code=2)
    assert "nothing given, expected a number" in run(gate, "--seed", code=2)


def test_a_wrong_gate_is_found_by_the_programs_own_check(tmp_path):
    """The check must not follow the rows: turn a gate of theirs round."""
    text = automaton_program(LIFE)
    start = text.index("#else", text.index("void step_column("))
    source = tmp_path / "gate.c"
    source.write_text(text[:start] + text[start:].replace(" ^ ", " & ", 1))
    gate = tmp_path / "gate"
    subprocess.run([needs("gcc"), str(source), "-o", str(gate)], check=True)
    result = subprocess.run([gate, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert " 0 of 3840 cells differ" not in result.stdout


def test_the_rule_reads_as_stored():
    """A missing text is written, and the test fails."""
    text = automaton_program(LIFE)
    cell = text[: text.index("/* How a board lies")]
    given = cell + text[text.index("/* The rule of a column") : text.index("/* Continue a column")]
    if not GOLDEN.exists():
        GOLDEN.write_text(given)
        pytest.fail(f"{GOLDEN.name} was missing and has been written; read it and commit it")
    assert given == GOLDEN.read_text()


def test_notes_cannot_end_the_comment(tmp_path):
    design = Design("*/ int x; /*", life_circuit(), channels=1, notes=("a */ b", "c\nd"))
    build(design, tmp_path, *STRICT, "-fsyntax-only")


def test_what_is_no_automaton_is_refused():
    circuit = from_text("bnn-circuit 1\ninputs 2\n4 = 8(2, 3)\noutputs 4\n")
    with pytest.raises(BnnError, match="design and: expected the rule of a cellular automaton"):
        automaton_program(Design("and", circuit))
