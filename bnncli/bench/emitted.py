"""Suite ``circuits``: emitted C of a large network against the interpreter, compiled here."""

from __future__ import annotations

import os
import time
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bench.harness import Case, Contender, Contest, Work, equal_to
from bnncli.bench.logic_inference import (
    BITS_IMAGES,
    N_CLASSES,
    N_PIXELS,
    PIXEL_IMAGES,
    Shape,
    input_words,
    layered_network,
    random_images,
)
from bnncli.bits import WORD_BITS
from bnncli.circuit.design import Design, PixelInputs
from bnncli.circuit.ir import Circuit
from bnncli.circuit.rebuild import rebuild
from bnncli.circuit.sums import ClassSums
from bnncli.codegen.c import PART
from bnncli.codegen.chunks import plan
from bnncli.codegen.compiled import CompiledDesign
from bnncli.errors import BnnError
from bnncli.native import CBackend, available_isas
from bnncli.native.compile import find_compiler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

SHAPES = (Shape(8000),)


def network_design(network: LogicNetwork) -> Design:
    """Give the design of a drawn network."""
    circuit = Circuit(network.n_inputs, network.op, network.a, network.b, network.outputs)
    pixels = PixelInputs(N_PIXELS, network.pixel, network.threshold)
    sums = ClassSums.equal_groups(circuit.n_outputs, network.n_groups)
    return Design("network", circuit, pixels, sums)


@cache
def compiled(shape: Shape) -> tuple[CompiledDesign, Mapping[str, float | str]]:
    """Emit and compile the network, once a process."""
    design = network_design(layered_network(shape))
    began, before = time.perf_counter(), os.times()
    found = CompiledDesign(design, keep=False)
    seconds, after = time.perf_counter() - began, os.times()
    compiler = find_compiler()
    clean = rebuild(design.circuit)
    cut = plan(clean, PART)
    return found, {
        "seconds to emit and build": seconds,
        "processor seconds of the compiler": (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        ),
        "built with": f"{compiler.name if compiler else ''} {' '.join(found.options)}",
        "values read in a later part": f"{len(cut.slot)} of {clean.size}, in {cut.n_slots} slots",
    }


def _interpreter() -> str:
    names = [name for name in available_isas() if name != "ref"]
    if not names:
        raise BnnError("bench circuits: the C kernels were not built; reinstall with a C compiler")
    return names[-1]


def _network_only(shape: Shape) -> Contest:
    """Race from bits to bits: the outputs' number of ones in each group is compared."""
    found, facts = compiled(shape)
    isa = _interpreter()
    network = layered_network(shape)
    interpreter = CBackend(isa).prepare_logic(network)
    images = random_images(BITS_IMAGES).reshape(BITS_IMAGES, -1)
    words = input_words(images, *interpreter.program.inputs.comparisons())[None]
    out = np.empty((1, len(interpreter.program.counted), words.shape[2]), dtype=np.uint64)
    lanes = found.width // WORD_BITS
    passes = [found.one_pass() for _ in range(words.shape[2] // lanes)]
    given = input_words(images, network.pixel, network.threshold)
    for one_pass, part in zip(passes, np.split(given, len(passes), axis=1), strict=True):
        one_pass.inputs[:] = part

    def run() -> list[NDArray[np.uint64]]:
        return [one_pass() for one_pass in passes]

    def counts(outputs: list[NDArray[np.uint64]]) -> NDArray[np.int64]:
        ones = np.bitwise_count(np.concatenate(outputs, axis=1)).astype(np.int64)
        grouped: NDArray[np.int64] = ones.reshape(N_CLASSES, -1).sum(axis=1)
        return grouped

    def counted(outputs: NDArray[np.uint64]) -> NDArray[np.int64]:
        program = interpreter.program
        ones = np.bitwise_count(outputs[0]).sum(axis=1, dtype=np.int64)
        sums: NDArray[np.int64] = np.array(
            [part.sum() for part in np.split(ones, program.ends[:-1].astype(int))]
        )
        return sums + BITS_IMAGES * program.biases.astype(np.int64)

    baseline = f"interpreter {isa}"
    contenders = {
        baseline: Contender(partial(interpreter.evaluate, words, out), counted),
        f"emitted C, {found.width} bits": Contender(run, counts),
    }
    return Contest(contenders, [baseline], equal_to(baseline), facts)


def _pixels(shape: Shape) -> Contest:
    """Race from images to scores."""
    found, facts = compiled(shape)
    isa = _interpreter()
    images = random_images(PIXEL_IMAGES).reshape(PIXEL_IMAGES, -1)
    baseline = f"interpreter {isa}"
    contenders = {
        baseline: Contender(partial(CBackend(isa).prepare_logic(layered_network(shape)), images)),
        f"emitted C, {found.width} bits": Contender(partial(found.scores, images)),
    }
    return Contest(contenders, [baseline], equal_to(baseline), facts)


def cases() -> list[Case]:
    """List the network from bits to bits and from images to scores."""
    return [
        Case(
            f"emitted/{kind}/{shape.name}",
            Work(images=n, gates=n * shape.n_gates),
            partial(build, shape),
            partial(compiled, shape),
        )
        for shape in SHAPES
        for kind, n, build in (
            ("network", BITS_IMAGES, _network_only),
            ("images", PIXEL_IMAGES, _pixels),
        )
    ]
