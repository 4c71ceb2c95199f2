"""Live boards: what the page's own script computes, and what stands in the page without it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from bnncli.circuit import Circuit, Design, simulate
from bnncli.codegen import find_emitter
from bnncli.codegen.html import live_fragment
from bnncli.codegen.png import board_png
from bnncli.codegen.readers import read_design
from bnncli.data import rule_table, step_board
from bnncli.data.automaton import Automaton
from bnncli.data.boards import pattern_task
from bnncli.errors import BnnError, UsageError
from bnncli.extract import design_of
from bnncli.extract.files import check_format
from bnncli.native import default_backend
from bnncli.views import live_board
from tests.automata import rule_model
from tests.circuits import random_circuit
from tests.emitted import check_golden

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="no node")
REPLICATOR = "B1357/S1357"
CHECKERBOARD = "board:checkerboard,channels=3,fire=0.6,size=14"


def rule_design(rule="B3/S23"):
    return design_of(rule_model(rule), name="rule")


def channels_design(task=CHECKERBOARD, channels=3):
    circuit = random_circuit(9 * channels, 40, channels, seed=5)
    return Design("grown", circuit, channels=channels, task=task)


def automaton_of(design):
    """Step by simulating the circuit on the neighbourhoods that the library cuts."""

    def local(images):
        bits = (images.reshape(len(images), -1) > 127).T.astype(np.uint64)
        outputs = simulate(design.circuit, bits)
        return (outputs & np.uint64(1)).T.astype(np.float32) - np.float32(0.5)

    wraps = not (design.task or "").startswith("board:") or pattern_task(design.task).wraps
    return Automaton(local, design.channels, wraps=wraps)


def run_page(fragment, code, tmp_path):
    """Run the page's script under node; what it defines is at hand."""
    (script,) = re.findall(r"<script>\n(.*)\n</script>", fragment, re.DOTALL)
    (tmp_path / "page.js").write_text(script)
    (tmp_path / "run.js").write_text(
        'const { Board, Rule, Random, World, spec, compute } = require("./page.js");\n'
        "const tell = (value) => console.log(JSON.stringify(value));\n"
        "const cells = (board) => Array.from({ length: spec.channels }, (_, c) =>\n"
        "  Array.from({ length: spec.height }, (_, y) =>\n"
        "    Array.from({ length: spec.width }, (_, x) => board.get(c, y, x))));\n" + code
    )
    result = subprocess.run(
        ["node", str(tmp_path / "run.js")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@needs_node
@pytest.mark.parametrize(
    "size", [(1, 1), (3, 2), (5, 31), (4, 32), (7, 33), (6, 64), (9, 70)], ids=str
)
def test_the_pages_step_is_the_rules_step(size, tmp_path):
    fragment = live_fragment(rule_design(), size=size, seed=3, density=0.4)
    code = "const world = new World(spec, compute); const seen = [cells(world.board)[0]];"
    code += "const rules = [], differ = [];"
    code += "for (let i = 0; i < 6; i++) { world.step(); seen.push(cells(world.board)[0]);"
    code += "rules.push(Array.from(world.rule.cells)); differ.push(world.counts().differ); }"
    seen, rules, differ = run_page(fragment, code + "tell([seen, rules, differ]);", tmp_path)
    board = np.array(seen[0], np.uint8)
    assert board.shape == size
    table = rule_table("B3/S23")
    for found, by_counting in zip(seen[1:], rules, strict=True):
        board = step_board(board, table)
        assert np.array_equal(found, board)
        assert np.array_equal(np.reshape(by_counting, size), board)
    assert differ == [0] * 6


@needs_node
def test_the_pages_step_is_that_of_the_packed_model(tmp_path):
    packed = rule_model("B36/S23")
    fragment = live_fragment(design_of(packed, name="rule"), size=(11, 45), seed=8)
    code = "const world = new World(spec, compute), seen = [cells(world.board)];"
    code += (
        "for (let i = 0; i < 9; i++) { world.step(); seen.push(cells(world.board)); } tell(seen);"
    )
    seen = np.array(run_page(fragment, code, tmp_path), np.uint8)
    automaton = Automaton(packed.plan(default_backend()).logits, channels=1)
    steps = automaton.run(seen[0], 9, rng=np.random.default_rng(0))
    assert np.array_equal(seen[1:], list(steps))


@needs_node
@pytest.mark.parametrize("size", [(14, 14), (3, 40), (1, 33)], ids=str)
@pytest.mark.parametrize("task", [CHECKERBOARD, CHECKERBOARD + ",edge=wrap", None])
def test_the_pages_step_is_the_packed_one_in_all_channels(task, size, tmp_path):
    design = channels_design(task)
    rng = np.random.default_rng(1)
    board = rng.integers(0, 2, (3, *size), dtype=np.uint8)
    fires = rng.random((4, *size)) < 0.6
    words = np.zeros((4, size[0], -(-size[1] // 32) * 32), np.uint8)
    words[..., : size[1]] = fires
    masks = np.packbits(words, axis=-1, bitorder="little").view("<i4").reshape(4, -1).tolist()
    code = f"const world = new World(spec, compute), seen = [];for (const mask of {masks}) "
    code += "{ world.board.step(Int32Array.from(mask)); seen.push(cells(world.board)); }"
    seen = run_page(live_fragment(design, board=board), code + "tell(seen);", tmp_path)
    automaton = automaton_of(design)
    for found, fire in zip(seen, fires, strict=True):
        board = automaton.step(board, fire)
        assert np.array_equal(found, board)


@needs_node
def test_cells_fire_as_often_as_the_task_says(tmp_path):
    code = "const world = new World(spec, compute); let n = 0;"
    code += "for (let i = 0; i < 200; i++) for (const word of world.board.firing(world.random))"
    code += " for (let k = 0; k < 32; k++) n += (word >>> k) & 1; tell(n / (200 * 14 * 32));"
    share = run_page(live_fragment(channels_design()), code, tmp_path)
    assert abs(share - 0.6) < 0.01


@needs_node
@pytest.mark.parametrize("width", [1, 2, 31, 32, 33, 70])
def test_a_rule_on_a_line_shows_its_history(width, tmp_path):
    board = np.random.default_rng(6).integers(0, 2, (5, width), dtype=np.uint8)
    fragment = live_fragment(rule_design("W110"), board=board)
    code = "const world = new World(spec, compute), seen = [];"
    code += "const shown = () => [world.seen, world.ruled].map((rows) => Array.from(rows));"
    code += "for (let i = 0; i < 8; i++) { seen.push(shown()); world.step(); } seen.push(shown());"
    code += "world.set(0, 0, 1); world.set(4, 0, 1); seen.push(shown()); tell(seen);"
    seen = np.reshape(run_page(fragment, code, tmp_path), (10, 2, 5, width))
    rows = [board[:1]]
    for _ in range(8):
        rows.append(step_board(rows[-1], rule_table("W110")))
    history = np.concatenate(rows)
    assert not seen[0, :, 1:].any()
    assert (seen[4] == history[:5]).all()
    assert (seen[8] == history[4:]).all()
    history[-1, 0] = 1
    assert (seen[9] == history[4:]).all(), "only the present row can be changed"


def test_the_picture_of_a_rule_on_a_line_is_its_history():
    tags = tags_of(live_fragment(rule_design("W90"), size=(4, 7)))
    data = base64.b64decode(tags[1][1]["src"].removeprefix("data:image/png;base64,"))
    drawn = np.asarray(Image.open(io.BytesIO(data)).convert("L")) < 128
    rows = ["...#...", "..#.#..", ".#...#.", "#.#.#.#"]
    assert ["".join(".#"[int(x)] for x in row) for row in drawn] == rows


@needs_node
def test_a_wrong_gate_shows_as_cells_that_differ(tmp_path):
    design = rule_design()
    op = design.circuit.op.copy()
    op[-1] ^= 0xF
    circuit = design.circuit
    wrong = Circuit(circuit.n_inputs, op, circuit.a, circuit.b, circuit.outputs)
    code = "const world = new World(spec, compute); world.step(); tell(world.counts());"
    fragment = live_fragment(design.with_circuit(wrong), size=(20, 20))
    assert run_page(fragment, code, tmp_path)["differ"] == 400


@needs_node
def test_what_the_buttons_do(tmp_path):
    code = """
const world = new World(spec, compute), told = {};
const alive = () => world.counts().alive;
told.start = alive(); world.step(); world.step();
told.generation = world.generation; world.restart(); told.again = [world.generation, alive()];
world.clear(); told.cleared = alive();
told.patterns = spec.patterns.map((pattern) => { world.place(pattern.rows); return [pattern.name, alive()]; });
world.clear(); world.set(2, 3, 1); told.set = [alive(), world.board.get(0, 2, 3), world.counts().differ];
world.randomize(); told.random = alive(); world.erase(); told.erased = [alive(), world.counts().differ];
tell(told);
"""
    told = run_page(live_fragment(rule_design()), code, tmp_path)
    n_cells = 48 * 64
    assert told["generation"] == 2
    assert told["again"] == [0, told["start"]]
    assert told["cleared"] == 0
    assert {"Glider": 5, "Gosper glider gun": 36, "Pulsar": 48}.items() <= dict(
        told["patterns"]
    ).items()
    assert told["set"] == [1, 1, 0]
    assert abs(told["random"] / n_cells - 0.3) < 0.04
    assert told["erased"][0] < told["random"] - 30
    assert told["erased"][1] == 0, "the rule's board is hurt as well"


@needs_node
def test_a_task_is_compared_with_its_picture(tmp_path):
    task = pattern_task("board:heart,channels=3")
    design = channels_design("board:heart,channels=3")
    code = "const world = new World(spec, compute);"
    code += "tell([cells(world.board), Array.from(world.expected()), world.counts().differ]);"
    start, wanted, differ = run_page(live_fragment(design), code, tmp_path)
    expected = task.starts(1, 12, np.random.default_rng(0))
    goal = task.goal(expected)[0]
    assert np.array_equal(start, expected[0])
    assert np.array_equal(np.reshape(wanted, (12, 12)), goal)
    assert differ == int((expected[0, 0] != goal).sum())


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def tags_of(text):
    page = _Page()
    page.feed(text)
    return page.tags


def test_without_scripts_there_is_a_described_picture():
    design = rule_design()
    tags = tags_of(live_fragment(design, size=(10, 40), seed=2))
    root, picture = tags[0][1], tags[1][1]
    assert root["data-demo"]
    assert "40 by 10 cells" in picture["alt"]
    data = base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"))
    image = Image.open(io.BytesIO(data)).convert("L")
    assert image.size == (40, 10)
    drawn = np.asarray(image) < 128
    start = np.random.default_rng(2).random((1, 10, 40)) < 0.3
    assert np.array_equal(drawn, start[0])


def test_pictures_are_the_boards():
    board = np.random.default_rng(0).integers(0, 2, (7, 13), dtype=np.uint8)
    image = Image.open(io.BytesIO(board_png(board))).convert("L")
    assert np.array_equal(np.asarray(image) < 128, board)


def test_the_page_is_one_file_and_names_nothing_outside():
    text = find_emitter("html").emit(rule_design())
    tags = tags_of(text)
    for tag, attributes in tags:
        assert "id" not in attributes, "two demos on one page would clash"
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), tag
    assert "://" not in text
    assert {"html", "title", "h1", "main"} <= {tag for tag, _ in tags}
    assert dict(tags)["html"]["lang"] == "en"


def test_a_name_cannot_leave_its_place_in_the_page():
    name = "</script><b>&\"'"
    design = Design(name, rule_design().circuit, channels=1, task=f"rule:{REPLICATOR}")
    text = live_fragment(design) + find_emitter("html").emit(design)
    assert text.count("</script>") == 2
    assert "b" not in {tag for tag, _ in tags_of(text)}


def test_boards_are_the_same_text_each_time_and_differ_by_their_key():
    design = rule_design()
    assert live_fragment(design) == live_fragment(design)
    keys = {tags_of(live_fragment(design, seed=seed))[0][1]["data-demo"] for seed in range(3)}
    assert len(keys) == 3


def test_a_notebook_shows_the_board():
    found = live_board(rule_design(), title="Life", size=(8, 8))
    assert repr(found) == "LiveBoard('Life')"
    assert found._repr_html_() == live_fragment(rule_design(), title="Life", size=(8, 8))


def test_golden_page():
    check_golden("emitted_rule.html", find_emitter("html").emit(rule_design(REPLICATOR)))


def test_what_is_no_automaton_is_refused_before_it_is_made_small():
    with pytest.raises(BnnError, match="expected the rule of a cellular automaton"):
        check_format(Design("net", Circuit.of_gates(9, [], [2])), "html")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": (0, 5)}, "expected two numbers, 1 to 1024"),
        ({"size": (1025, 5)}, "expected two numbers, 1 to 1024"),
        ({"size": (5,)}, "expected two numbers, 1 to 1024"),
        ({"size": (2.5, 5)}, "expected two numbers, 1 to 1024"),
        ({"seed": -1}, "expected at least 0"),
        ({"density": 1.5}, "share of live cells"),
        ({"board": np.zeros((2, 3, 3), np.uint8)}, "expected \\(1, height, width\\)"),
        ({"board": np.full((3, 3), 2, np.uint8)}, "0 and 1"),
        ({"board": np.zeros((3, 3), np.uint8), "size": (4, 4)}, "give one of them"),
    ],
)
def test_boards_that_cannot_be_are_refused_in_one_line(options, told):
    with pytest.raises(UsageError, match=told) as error:
        live_fragment(rule_design(), **options)
    assert "\n" not in str(error.value)


def test_the_task_survives_the_json_of_a_design(tmp_path):
    design = rule_design()
    assert design.task == "rule:B3/S23"
    path = tmp_path / "gol.json"
    path.write_text(find_emitter("json").emit(design))
    assert read_design(path).task == design.task
