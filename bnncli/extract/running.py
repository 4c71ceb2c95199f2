"""Run designs on images: simulated in numpy, or compiled for this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import pack_bits, unpack_bits
from bnncli.circuit import simulate
from bnncli.codegen.compiled import CompiledDesign
from bnncli.extract.model import design_of
from bnncli.minimize.levels import optimize_design

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bnncli.circuit import Design
    from bnncli.data.exams import Logits
    from bnncli.packed import PackedModel

    Images = NDArray[np.uint8]
    Simulate = Callable[[NDArray[np.uint64]], NDArray[np.uint64]]

ALIVE = 128
"""Bytes from here on stand for live cells."""

MIDDLE_ROW = slice(3, 6)
CLEAN = 1
"""The level of optimization for running: no search."""


def input_bits(design: Design, images: Images) -> NDArray[np.bool_]:
    """Give what a design reads of images; of an automaton these are neighbourhoods.

    Shape: (n, channels, h, w) -> (n_inputs, n).
    """
    if design.pixels is not None:
        return design.pixels.bits(images)
    cells = images.reshape(len(images), -1) >= ALIVE
    inputs = np.zeros((design.circuit.n_inputs, len(images)), np.bool_)
    place = slice(None) if cells.shape[1] == len(inputs) else MIDDLE_ROW
    inputs[place] = cells.T
    return inputs


def output_bits(design: Design, images: Images, run: Simulate | None = None) -> NDArray[np.bool_]:
    """Give the outputs for images, by simulation unless ``run`` computes them.

    Shape: (n, channels, h, w) -> (n, n_outputs).
    """
    words = pack_bits(input_bits(design, images))
    outputs = simulate(design.circuit, words) if run is None else run(words)
    return unpack_bits(outputs, len(images)).T


def classes_of(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Read outputs as the index of a class. Shape: (n, n_outputs) -> (n,)."""
    index: NDArray[np.int64] = (bits.astype(np.int64) << np.arange(bits.shape[1])).sum(axis=1)
    return index


def answers(design: Design, images: Images) -> NDArray[np.int64]:
    """Give the class of each image, or an automaton's output bits as a row.

    Shape: (n, channels, h, w) -> (n,), for automata (n, n_outputs).
    """
    if design.sums is not None:
        best: NDArray[np.int64] = design.scores(images).argmax(axis=1)
        return best
    bits = output_bits(design, images)
    return bits.astype(np.int64) if design.channels else classes_of(bits)


def compiled_logits(packed: PackedModel) -> Logits:
    """Extract a packed model's circuit, compile it and give its logits, in the order of classes.

    They are scores below the best one's, which is 0; of an automaton's bits ±1/2.
    """
    design = optimize_design(design_of(packed, name="model"), level=CLEAN).design
    compiled = CompiledDesign(design)

    def logits(images: Images) -> NDArray[np.float32]:
        if design.sums is not None:
            scores = compiled.scores(images).astype(np.int64)
            # Scores may be too large for float32; their differences to the best keep the class.
            return np.asarray(scores - scores.max(axis=1, keepdims=True), np.float32)
        bits = output_bits(design, images, compiled.simulate)
        if not design.channels:
            return np.eye(2 ** bits.shape[1], dtype=np.float32)[classes_of(bits)]
        states = bits.astype(np.float32) - np.float32(0.5)
        return np.concatenate([-states, states], axis=1) if design.channels == 1 else states

    return logits
