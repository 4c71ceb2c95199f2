"""Large redundant circuits: how small and how fast the passes make them, beside other programs."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bench.harness import Observation
from bnncli.bits import pack_bits
from bnncli.circuit import FIRST_INPUT, Builder, Circuit, ClassSums, Design, PixelInputs, rebuild
from bnncli.errors import BnnError
from bnncli.gates import N_GATES, NOT_A, TRIVIAL, WIRE_A
from bnncli.minimize import merge_equal_on, optimize, optimize_design
from bnncli.minimize.abc import SCRIPTS, find_abc, run_abc
from bnncli.prove import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.data import ImageData
    from bnncli.minimize import PassRecord

    Facts = dict[str, float | str]

N_LAYERS = 5
N_INPUTS = 784
SIZES = (10_000, 100_000)
ABC_LIMIT = 120.0
"""Seconds after which a script of abc is stopped."""

REBUILDS = 5
TORCHLOGIX_OPS = (
    *("CONST_FALSE", "NOR", "AND_NOT_B", "NOT", "AND_NOT_A", "NOT", "XOR", "NAND"),
    *("AND", "XNOR", "WIRE", "OR_NOT_B", "WIRE", "OR_NOT_A", "OR", "CONST_TRUE"),
)
"""torchlogix's name of each gate, by truth table."""


def layered(n_inputs: int, width: int, n_layers: int, seed: int) -> Circuit:
    """Draw a network as gate networks are before training: layers of any gates, random wires.

    Every signal of a layer is read as often as the others, as far as that goes; the last layer is
    the outputs.
    """
    rng = np.random.default_rng(seed)
    before = np.arange(FIRST_INPUT, FIRST_INPUT + n_inputs, dtype=np.int32)
    a, b = [], []
    for _ in range(n_layers):
        ends = rng.permutation(np.resize(before, 2 * width))
        a.append(ends[:width])
        b.append(ends[width:])
        before = before[-1] + np.arange(1, width + 1, dtype=np.int32)
    op = rng.integers(0, N_GATES, n_layers * width, dtype=np.uint8)
    return Circuit(n_inputs, op, np.concatenate(a), np.concatenate(b), before)


def _torchlogix_dict(circuit: Circuit) -> dict[str, Any]:
    """Write a circuit as torchlogix reads it: ids are inputs, then the constants, then gates."""
    n_inputs = circuit.n_inputs
    ids = [n_inputs, n_inputs + 1, *range(n_inputs)]
    ids += range(n_inputs + 2, n_inputs + 2 + circuit.n_gates)
    gates = [
        {"gate_id": n_inputs, "op": "CONST_FALSE", "in0": -1, "in1": -1},
        {"gate_id": n_inputs + 1, "op": "CONST_TRUE", "in0": -1, "in1": -1},
    ]
    columns = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for signal, (op, a, b) in enumerate(columns, circuit.first_gate):
        ends = [ids[a], ids[b]]
        if op in TRIVIAL:
            used = {0x0: [], 0xF: [], 0xA: ends[:1], 0x5: ends[:1]}.get(op, ends[1:])
            ends = [*used, -1, -1][:2]
        gate = {"gate_id": ids[signal], "op": TORCHLOGIX_OPS[op], "in0": ends[0], "in1": ends[1]}
        gates.append(gate)
    outputs = [ids[i] for i in circuit.outputs.tolist()]
    return {"n_inputs": n_inputs, "input_shape": [n_inputs], "gates": gates, "outputs": outputs}


def _from_torchlogix(given: dict[str, Any]) -> Circuit:
    """Read what torchlogix writes."""
    build = Builder(given["n_inputs"])
    literals = dict(enumerate(build.inputs())) | {-1: 0}
    for gate in given["gates"]:
        # A wire or an inverter reads its first input alone.
        op = {"NOT": NOT_A, "WIRE": WIRE_A}.get(gate["op"])
        if op is None:
            op = TORCHLOGIX_OPS.index(gate["op"])
        x, y = literals[gate["in0"]], literals[gate["in1"]]
        literals[gate["gate_id"]] = build.gate(op, x, y)
    return build.build([literals[i] for i in given["outputs"]])


def _check(name: str, made: Circuit, circuit: Circuit) -> str:
    """Refuse a result that differs; say so where it is not proved equal."""
    verdict = compare(made, circuit)
    if verdict.equal is False:
        raise BnnError(f"bench: {name} changed the circuit: {verdict.sentence()}")
    return "" if verdict.proved else f", {verdict.sentence()}"


def torchlogix_size(circuit: Circuit) -> str:
    """Count the gates that torchlogix's ``simplify`` leaves, wires and constants aside."""
    if importlib.util.find_spec("torchlogix") is None:
        return "not installed"
    try:
        module = importlib.import_module("torchlogix.circuit")
    except (ImportError, SyntaxError) as error:
        # It may be written for another Python than this one.
        return f"not usable ({type(error).__name__}: {error.msg})"
    peer = module.Circuit.from_dict(_torchlogix_dict(circuit))
    began = time.perf_counter()
    peer.simplify()
    seconds = time.perf_counter() - began
    free = {"CONST_FALSE", "CONST_TRUE", "WIRE"}
    size = sum(gate.op.name not in free for gate in peer.gates)
    doubt = _check("torchlogix", _from_torchlogix(peer.to_dict()), circuit)
    return f"{size:,} in {seconds:.1f} s{doubt}"


def _timed_rebuild(circuit: Circuit) -> float:
    taken = []
    for _ in range(REBUILDS):
        began = time.perf_counter()
        rebuild(circuit)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def abc_facts(circuit: Circuit, scripts: list[str]) -> Facts:
    """Let abc work on a circuit by scripts: the sizes in our gates, and the smallest of them."""
    if find_abc() is None:
        return {"abc": "not installed"}
    facts: Facts = {}
    sizes = []
    for script in scripts:
        began = time.perf_counter()
        try:
            made = run_abc(circuit, script, seconds=ABC_LIMIT)
        except BnnError as error:
            facts[f"abc {script}"] = str(error)
            continue
        seconds = time.perf_counter() - began
        sizes.append(made.size)
        doubt = _check(f"abc {script}", made, circuit)
        facts[f"abc {script}"] = f"{made.size:,} in {seconds:.1f} s{doubt}"
    return {**facts, "best of abc": min(sizes)} if sizes else facts


def _abc_scripts() -> list[str]:
    return [name for name in SCRIPTS if not name.startswith("&")]


def _after(steps: Sequence[PassRecord]) -> Facts:
    return {f"after {i}. {step.name}": step.after for i, step in enumerate(steps, 1)}


def _take_random(n_gates: int) -> Facts:
    circuit = layered(N_INPUTS, n_gates // N_LAYERS, N_LAYERS, seed=0)
    facts: Facts = {"declared": n_gates, "live": circuit.size}
    facts["seconds of rebuild"] = _timed_rebuild(circuit)
    began = time.perf_counter()
    done = optimize(circuit, level=2)
    facts["seconds of -O2"] = time.perf_counter() - began
    facts.update(_after(done.steps))
    facts["-O2"] = done.circuit.size
    facts["proof"] = done.verdict.sentence()
    facts["torchlogix simplify"] = torchlogix_size(circuit)
    return {**facts, **abc_facts(rebuild(circuit), _abc_scripts())}


@cache
def _digits() -> tuple[Design, ImageData]:
    """Train the recipe digits-logic; give its frozen gates and the digits."""
    import torch

    from bnncli.data import load_dataset
    from bnncli.freeze import freeze
    from bnncli.packed.logic import LogicNetwork
    from bnncli.recipes import find_recipe
    from bnncli.training.experiment import resolve
    from bnncli.training.trainers import make_trainer

    settings = resolve(find_recipe("digits-logic").settings)
    data = load_dataset("digits")
    training = make_trainer(settings, data, device=torch.device("cpu"))
    training.run()
    assert isinstance(training.model, torch.nn.Sequential)
    gates = freeze(training.model).steps[0]
    assert isinstance(gates, LogicNetwork)
    n_pixels = int(np.prod(data.test.images.shape[1:]))
    pixels = PixelInputs(n_pixels, gates.pixel, gates.threshold)
    sums = ClassSums.equal_groups(len(gates.outputs), gates.n_groups)
    return Design("digits", gates.circuit(), pixels, sums), data


def _accuracy(design: Design, data: ImageData) -> str:
    right = int((design.scores(data.test.images).argmax(axis=1) == data.test.labels).sum())
    return f"{right} of {len(data.test.labels)}"


def _take_digits() -> Facts:
    design, data = _digits()
    circuit = design.circuit
    done = optimize_design(design, level=2)
    facts: Facts = {"declared": circuit.n_gates, "live": circuit.size}
    facts.update(_after(done.steps))
    facts["-O2 with sums"] = done.design.circuit.size
    facts["proof"] = done.verdict.sentence()
    facts["test images right"] = _accuracy(design, data)
    assert design.pixels is not None
    bits = design.pixels.bits(data.train.images)
    inexact = merge_equal_on(done.design.circuit, pack_bits(bits), bits.shape[1])
    facts["merged on training images, inexact"] = inexact.size
    facts["its test images right"] = _accuracy(done.design.with_circuit(inexact), data)
    facts["-O2 without sums"] = optimize(circuit, level=2).circuit.size
    facts["torchlogix simplify"] = torchlogix_size(circuit)
    return {**facts, **abc_facts(rebuild(circuit), _abc_scripts())}


def cases() -> list[Observation]:
    """List the random networks by declared gates, and the trained one."""
    random = [Observation(f"large/random-{n:,}", partial(_take_random, n)) for n in SIZES]
    return [*random, Observation("large/digits-logic", _take_digits, _digits)]
