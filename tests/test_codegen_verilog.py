"""Emitted Verilog: simulated by iverilog, proved by yosys, equal to ``simulate`` bit for bit."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from bnncli.circuit import Circuit, Design
from bnncli.codegen.verilog import emit_testbench, emit_verilog, verilog_testbench
from tests.circuits import FULL_ADDER, random_circuit
from tests.emitted import check_golden, image_design

needs_iverilog = pytest.mark.skipif(not shutil.which("iverilog"), reason="no iverilog")
needs_yosys = pytest.mark.skipif(not shutil.which("yosys"), reason="no yosys")

DESIGNS = (
    Design("full adder", FULL_ADDER),
    Design("wide", random_circuit(30, 300, 12, seed=8, reach=90)),
    Design("wires", Circuit.of_gates(2, [(5, 2, 2)], [2, 4, 4, 0, 1], ("wire", "a b"))),
    Design("constants", Circuit.of_gates(0, [], [1, 0])),
    Design("void", Circuit.of_gates(2, [], [])),
    image_design(),
)


def run_verilog(design, testbench, tmp_path):
    (tmp_path / "design.v").write_text(emit_verilog(design))
    (tmp_path / "test.v").write_text(testbench)
    build = ["iverilog", "-g2001", "-Wall", "-o", "test", "design.v", "test.v"]
    built = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    warnings = [line for line in built.stderr.splitlines() if "timescale" not in line]
    assert not warnings
    run = ["vvp", "-n", "test"]
    return subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout


@needs_iverilog
@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name)
def test_verilog_equals_simulate(design, tmp_path):
    assert run_verilog(design, emit_testbench(design), tmp_path).startswith("PASS: ")


@needs_iverilog
def test_the_testbench_sees_a_wrong_gate(tmp_path):
    right = DESIGNS[1]
    circuit = right.circuit
    signal = int(circuit.outputs.max())
    op = circuit.op.copy()
    op[signal - circuit.first_gate] ^= 0xF
    wrong = Circuit(circuit.n_inputs, op, circuit.a, circuit.b, circuit.outputs)
    shown = run_verilog(Design("wide", wrong), emit_testbench(right), tmp_path)
    assert shown.splitlines()[-1] == "FAIL: 256 of 256 cases"


@needs_iverilog
def test_images_as_cases_of_a_testbench(tmp_path):
    design = image_design()
    images = np.random.default_rng(1).integers(0, 256, (100, 77), dtype=np.uint8)
    testbench = verilog_testbench(design, design.pixels.bits(images))
    assert run_verilog(design, testbench, tmp_path) == "PASS: 100 cases\n"


@needs_yosys
@pytest.mark.parametrize("design", [DESIGNS[0], DESIGNS[5]], ids=lambda d: d.name)
def test_yosys_synthesizes_without_latches_or_loops(design, tmp_path):
    (tmp_path / "design.v").write_text(emit_verilog(design))
    script = "read_verilog design.v; synth -noabc; check -assert; select -assert-none t:$*dff* t:$*latch*"
    result = subprocess.run(
        ["yosys", "-q", "-p", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("design", [DESIGNS[0], DESIGNS[5]], ids=lambda d: d.name)
def test_golden_text(design):
    name = design.name.replace(" ", "_")
    check_golden(f"emitted_{name}.v", emit_verilog(design))
    if design.name == "full adder":
        check_golden(f"emitted_{name}_tb.v", emit_testbench(design))
