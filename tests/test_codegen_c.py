"""Emitted C: compiled by what is installed, equal to ``simulate`` bit for bit."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from bnncli.bits import unpack_bits
from bnncli.circuit import Circuit, ClassSums, Design, PixelInputs, input_patterns, simulate
from bnncli.codegen import c as c_emitter
from bnncli.codegen.c import emit_c
from bnncli.codegen.chunks import plan
from bnncli.codegen.compiled import CompiledDesign
from bnncli.errors import BnnError
from bnncli.native.compile import find_compiler
from tests.circuits import FULL_ADDER, random_circuit
from tests.emitted import check_golden, image_design

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

LARGE = Design("large", random_circuit(20, 1200, 30, seed=3, reach=200))
SMALL = Design("full adder", FULL_ADDER, notes=("A note with */ in it.",))
EMPTY = Design("nothing", Circuit.of_gates(0, [], [1, 0]))
NO_OUTPUT = Design("void", Circuit.of_gates(2, [], []))
WIRES = Design("wires", Circuit.of_gates(2, [(5, 2, 2)], [2, 4, 4, 0], ("if", "a b")))
DESIGNS = (SMALL, LARGE, EMPTY, NO_OUTPUT, WIRES)


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path))


def random_words(n_inputs, words, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, (n_inputs, words), dtype=np.uint64)


@needs_compiler
@pytest.mark.parametrize("width", [64, 512])
@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name)
def test_compiled_c_equals_simulate(design, width):
    compiled = CompiledDesign(design, width=width)
    for words in (1, 3, 8, 17):
        inputs = random_words(design.circuit.n_inputs, words)
        assert np.array_equal(compiled.simulate(inputs), simulate(design.circuit, inputs))


@needs_compiler
def test_parts_agree_with_one_function(monkeypatch):
    circuit = random_circuit(9, 150, 7, seed=5)
    inputs = input_patterns(9)
    expected = simulate(circuit, inputs)
    for part in (1, 7, 1000):
        monkeypatch.setattr(c_emitter, "ONE_FUNCTION", 10)
        monkeypatch.setattr(c_emitter, "PART", part)
        compiled = CompiledDesign(Design("parts", circuit), width=64)
        assert np.array_equal(compiled.simulate(inputs), expected), part


@pytest.mark.parametrize("size", [1, 5, 64])
def test_a_slot_holds_its_value_until_the_last_reader(size):
    circuit = random_circuit(8, 400, 5, seed=1)
    cut = plan(circuit, size)
    assert max(map(len, cut.parts)) <= size
    holder: dict[int, int] = {}
    part_of = {signal: i for i, part in enumerate(cut.parts) for signal in part}
    for part in cut.parts:
        for signal in part:
            i = signal - circuit.first_gate
            for read in (int(circuit.a[i]), int(circuit.b[i])):
                if read in cut.slot and part_of[read] != part_of[signal]:
                    assert holder[cut.slot[read]] == read
            if signal in cut.slot:
                holder[cut.slot[signal]] = signal
    assert cut.n_slots == len(set(cut.slot.values()))


@needs_compiler
@pytest.mark.parametrize(("width", "masked"), [(64, False), (512, True)])
def test_images_give_the_scores_and_classes_of_the_design(width, masked):
    design = image_design(masked=masked)
    compiled = CompiledDesign(design, width=width)
    rng = np.random.default_rng(9)
    for n in (0, 1, 31, 63, 65, 520):
        images = rng.integers(0, 256, (n, 7, 11), dtype=np.uint8)
        expected = design.scores(images) if n else np.zeros((0, 3))
        assert np.array_equal(compiled.scores(images), expected)
        assert np.array_equal(compiled.classify(images), expected.argmax(axis=1))


@needs_compiler
def test_extreme_scores_and_ties():
    """Sums at both ends of their range, a class without outputs, equal scores."""
    circuit = Circuit.of_gates(1, [], [2] * 70)
    pixels = PixelInputs(1, np.array([0]), np.array([127]))
    weight = np.array([1] * 40 + [-3] * 20 + [2**20] * 5 + [-(2**20)] * 5)
    group = np.array([0] * 40 + [1] * 20 + [2] * 5 + [0] * 5)
    sums = ClassSums(group, weight, np.array([5, -7, 0, 5]))
    design = Design("ends", circuit, pixels, sums)
    images = np.array([[0], [255], [127], [128]], dtype=np.uint8)
    compiled = CompiledDesign(design)
    assert np.array_equal(compiled.scores(images), design.scores(images))
    assert compiled.classify(images).tolist() == design.scores(images).argmax(axis=1).tolist()


def test_sums_beyond_32_bits_are_refused():
    circuit = Circuit.of_gates(1, [], [2, 2])
    sums = ClassSums(np.array([0, 0]), np.array([2**31 - 1, 2**31 - 1]), np.array([0]))
    with pytest.raises(BnnError, match="do not fit 32 bits"):
        emit_c(Design("wide", circuit, None, sums))


def build_main(design, compiler, tmp_path, *options):
    source, program = tmp_path / "design.c", tmp_path / "design"
    source.write_text(emit_c(design))
    command = [compiler, *STRICT, *options, "-DBNN_MAIN", str(source), "-o", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not result.stderr
    return program


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    ("design", "width"),
    [*((design, 64) for design in DESIGNS), (LARGE, 256)],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_program_without_warnings(design, width, compiler, tmp_path):
    sanitize = ["-fsanitize=address,undefined"] if compiler == "gcc" else []
    program = build_main(design, compiler, tmp_path, "-O1", f"-DBNN_WIDTH={width}", *sanitize)
    circuit = design.circuit
    bits = unpack_bits(random_words(circuit.n_inputs, 1), 64).T[:20]
    text = "".join("".join(map(str, row.astype(int))) + "\n" for row in bits)
    shown = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    expected = unpack_bits(simulate(circuit, random_words(circuit.n_inputs, 1)), 64).T[: len(bits)]
    lines = ["".join(map(str, row.astype(int))) for row in expected]
    assert shown.stdout.splitlines() == lines
    if circuit.n_inputs:
        wrong = subprocess.run([program], input="2\n", capture_output=True, text=True, check=False)
        assert wrong.returncode == 1
        assert wrong.stderr.count("\n") == 1


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("sums", [False, True])
def test_a_program_for_images_without_warnings(compiler, sums, tmp_path):
    design = image_design(sums=sums)
    sanitize = ["-fsanitize=address,undefined"] if compiler == "gcc" else []
    program = build_main(design, compiler, tmp_path, "-O1", "-DBNN_WIDTH=128", *sanitize)
    images = np.random.default_rng(2).integers(0, 256, (130, 77), dtype=np.uint8)
    shown = subprocess.run([program], input=images.tobytes(), capture_output=True, check=True)
    scores = design.scores(images)
    expected = scores.argmax(axis=1)[:, None] if sums else scores
    assert np.array_equal(np.loadtxt(shown.stdout.splitlines(), ndmin=2), expected)


@pytest.mark.skipif("gcc" not in COMPILERS, reason="no gcc")
@pytest.mark.parametrize("width", [64, 128])
def test_images_are_read_to_their_end_and_no_further(width, tmp_path):
    """The sanitizer watches the ends of arrays that are just long enough."""
    main = """
int main(void) {
    for (size_t n = 0; n < 67; n++) {
        uint8_t *images = calloc(n + !n, n ? 77 : 1);
        int32_t *classes = malloc((n + !n) * sizeof *classes);
        if (!images || !classes || images_circuit_classify(images, n, classes)) return 1;
        free(images);
        free(classes);
    }
    return 0;
}
"""
    source, program = tmp_path / "design.c", tmp_path / "design"
    source.write_text(emit_c(image_design()) + main)
    options = ["-std=c99", "-O1", f"-DBNN_WIDTH={width}", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *options, str(source), "-o", str(program)], check=True)
    assert subprocess.run([program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("design", [SMALL, image_design()], ids=["full_adder", "images"])
def test_golden_text(design):
    check_golden(f"emitted_{design.name.replace(' ', '_')}.c", emit_c(design))
