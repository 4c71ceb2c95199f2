"""Drawings: whole, in order, without wires on wires; graphviz and JavaScript read what is written."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given

from bnncli.bits import unpack_bits
from bnncli.circuit import Circuit, Design, simulate
from bnncli.codegen.dot import emit_dot
from bnncli.codegen.javascript import emit_javascript
from bnncli.codegen.layers import lay_out
from bnncli.codegen.svg import MAX_GATES, emit_svg
from bnncli.codegen.wasm import emit_wasm, wasm_source
from bnncli.errors import BnnError
from tests.circuits import FULL_ADDER, circuits, life_circuit, random_circuit
from tests.emitted import check_golden, image_design

LIFE = Design("Game of Life", life_circuit(), channels=1)
ADDER = Design("full adder", FULL_ADDER)


def ends_of(circuit):
    inputs = [f"i{k}" for k in range(circuit.n_inputs)]
    return inputs, [f"o{k}" for k in range(circuit.n_outputs)]


@given(circuits(max_gates=40))
def test_layers_hold_the_whole_circuit_with_wires_between_neighbours(circuit):
    layers = lay_out(circuit, *ends_of(circuit))
    labels = [node.label for layer in layers for node in layer if node.label]
    inputs, outputs = ends_of(circuit)
    assert sorted(name for name in labels if name not in "01") == sorted(inputs + outputs)
    for i, layer in enumerate(layers):
        for above, below in itertools.pairwise(layer):
            assert below.y - above.y >= (above.height + below.height) / 2 - 8
        for node in layer:
            assert node.layer == i
            assert all(source.layer == i - 1 for source in node.sources)
            if not node.passes:
                assert tuple(source.signal for source in node.sources) == node.reads
    gates = sum(node.op is not None for layer in layers for node in layer)
    assert gates <= circuit.size


def segments(svg):
    for line in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}polyline"):
        points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            yield line.get("data-signal"), *sorted([x0, x1]), *sorted([y0, y1])


@pytest.mark.parametrize("seed", range(4))
def test_wires_of_different_signals_never_lie_on_each_other(seed):
    circuit = random_circuit(9, 110, 6, seed, reach=40)
    found = list(segments(emit_svg(Design("net", circuit))))
    for one, other in itertools.combinations(found, 2):
        if one[0] == other[0]:
            continue
        wide = min(one[2], other[2]) - max(one[1], other[1])
        high = min(one[4], other[4]) - max(one[3], other[3])
        # They may cross or end near each other: a common line has a length in one direction.
        assert not (high == 0 and one[3] == one[4] == other[3] == other[4] and wide > 0)
        assert not (wide == 0 and one[1] == one[2] == other[1] == other[2] and high > 0)


def test_every_gate_and_end_of_life_is_drawn():
    svg = emit_svg(LIFE)
    words = [text.text for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert sum(word in {"AND", "OR", "XOR"} for word in words) == LIFE.circuit.size
    assert set(words) >= {"nw", "n", "ne", "w", "c", "e", "sw", "s", "se", "alive"}


def test_what_cannot_be_read_is_not_drawn():
    with pytest.raises(BnnError, match=f"more than {MAX_GATES}"):
        emit_svg(Design("net", random_circuit(9, 900, 9, seed=0, reach=40)))


def test_names_are_escaped():
    circuit = Circuit.of_gates(2, [(8, 2, 3)], [4], ("a<b", 'c"'), ("&",))
    ET.fromstring(emit_svg(Design("<&>", circuit)))
    assert r'"c\""' in emit_dot(Design('a"b', circuit))


@pytest.mark.skipif(not shutil.which("dot"), reason="no graphviz")
@pytest.mark.parametrize("design", [ADDER, LIFE], ids=lambda d: d.name)
def test_graphviz_reads_every_gate(design):
    graph = subprocess.run(
        ["dot", "-Tjson"], input=emit_dot(design), capture_output=True, text=True, check=True
    )
    objects = json.loads(graph.stdout)["objects"]
    assert sum(node["shape"] == "box" for node in objects) == design.circuit.size
    ends = design.circuit.n_inputs + design.circuit.n_outputs
    assert sum(node["shape"] == "plaintext" for node in objects) == ends


def run_node(script, tmp_path):
    path = tmp_path / "run.js"
    path.write_text(script)
    result = subprocess.run(["node", str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


needs_node = pytest.mark.skipif(not shutil.which("node"), reason="no node")


@needs_node
@pytest.mark.parametrize("seed", range(3))
def test_javascript_equals_simulate(seed, tmp_path):
    circuit = random_circuit(14, 300, 11, seed=seed, reach=80)
    inputs = np.random.default_rng(seed).integers(0, 2**32, (14, 1), dtype=np.uint64)
    (tmp_path / "net.js").write_text(emit_javascript(Design("net", circuit)))
    given_words = json.dumps(inputs.astype(np.uint32).astype(np.int32).ravel().tolist())
    call = f"console.log(JSON.stringify(Array.from(require('./net.js').net({given_words}))))"
    outputs = np.array(run_node(call, tmp_path), dtype=np.int32).view(np.uint32)
    assert np.array_equal(outputs, simulate(circuit, inputs).ravel().astype(np.uint32))


@needs_node
@pytest.mark.parametrize("masked", [False, True])
def test_javascript_classifies_images(masked, tmp_path):
    design = image_design(masked=masked)
    images = np.random.default_rng(3).integers(0, 256, (32, 77), dtype=np.uint8)
    (tmp_path / "net.js").write_text(emit_javascript(design))
    call = f"""
const {{ images_circuit_bits, images_circuit_scores, images_circuit_classify }} = require("./net.js");
const images = {json.dumps(images.tolist())};
console.log(JSON.stringify([images_circuit_bits(images), images_circuit_scores(images),
                            images_circuit_classify(images)]));
"""
    bits, scores, classes = run_node(call, tmp_path)
    words = np.packbits(design.pixels.bits(images), axis=1, bitorder="little")
    words = np.pad(words, ((0, 0), (0, 4))).view(np.uint64)
    assert np.array_equal(np.array(bits).T, unpack_bits(simulate(design.circuit, words), 32))
    assert np.array_equal(scores, design.scores(images))
    assert classes == design.scores(images).argmax(axis=1).tolist()


def test_webassembly_without_its_compiler_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ziglang", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BnnError, match=r"pip install 'bnncli\[zig\]'"):
        emit_wasm(ADDER)


def test_the_c_of_webassembly_needs_no_library():
    name, source = wasm_source(ADDER)
    assert name == "full_adder"
    assert re.findall("#include <(.*)>", source) == ["stddef.h", "stdint.h"]


@needs_node
@pytest.mark.parametrize("n_gates", [200, 2500])
def test_webassembly_equals_simulate(n_gates, tmp_path):
    pytest.importorskip("ziglang")
    circuit = random_circuit(14, n_gates, 11, seed=n_gates, reach=80)
    (tmp_path / "net.wasm").write_bytes(emit_wasm(Design("net", circuit)))
    inputs = np.random.default_rng(1).integers(0, 2**64, (14, 2), dtype=np.uint64)
    call = f"""
const bytes = require("fs").readFileSync("{tmp_path}/net.wasm");
const {{ memory, net_inputs, net_outputs, net_compute }} =
  new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
new Uint32Array(memory.buffer, net_inputs(), 56).set({inputs.view(np.uint32).ravel().tolist()});
net_compute();
console.log(JSON.stringify(Array.from(new Uint32Array(memory.buffer, net_outputs(), 44))));
"""
    outputs = np.array(run_node(call, tmp_path), dtype=np.uint32).view(np.uint64)
    assert np.array_equal(outputs.reshape(11, 2), simulate(circuit, inputs))


@pytest.mark.parametrize(
    ("name", "emit"), [("svg", emit_svg), ("dot", emit_dot), ("js", emit_javascript)]
)
def test_golden_text(name, emit):
    text = emit(ADDER)
    check_golden(f"emitted_full_adder.{name}", text)
    assert not re.search(r"[ \t]\n", text)
