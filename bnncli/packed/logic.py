"""The step of a network of two-input gates: thresholds, gates and class counts in one.

Signals are numbered 0 = false, 1 = true, then the inputs, then the gates; a gate reads only signals
before it, so the arrays are in an order in which they can be computed.
See ``book/decisions/interpreter.md``.
"""

# ruff: noqa: RUF009 (array() and integer() each make a new dataclass field)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit.ir import FIRST_INPUT, Circuit
from bnncli.errors import BnnError
from bnncli.gates import N_GATES
from bnncli.packed.step import Step, array, integer, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend
    from bnncli.packed.step import Array, Run

MAX_GROUP = 2**24
"""Counts up to this are exact as float32."""


@register
@dataclass(frozen=True, eq=False)
class LogicNetwork(Step):
    """Count the true outputs of each group of a gate network on thresholded pixels.

    Input i is the bit image[pixel[i]] > threshold[i], the image flattened in (channel, row, column)
    order. Gate i has the truth table op[i], bit a + 2b (see :mod:`bnncli.gates`), of the signals
    a[i] and b[i], both below 2 + n_inputs + i. Group k counts outputs[k·size : (k + 1)·size].

    Shape: (n, channels, h, w) uint8 -> (n, n_groups) float32.
    """

    kind = "logic-network"
    takes = "pixels"
    gives = "floats"
    preferred_batch = 4096

    pixel: NDArray[np.int32] = array("<i4", 1, "other")
    threshold: NDArray[np.uint8] = array("|u1", 1, "thresholds")
    op: NDArray[np.uint8] = array("|u1", 1, "weights")
    a: NDArray[np.int32] = array("<i4", 1, "weights")
    b: NDArray[np.int32] = array("<i4", 1, "weights")
    outputs: NDArray[np.int32] = array("<i4", 1, "other")
    n_groups: int = integer()

    @property
    def n_inputs(self) -> int:
        """Count the input bits."""
        return len(self.pixel)

    @property
    def n_gates(self) -> int:
        """Count the declared gates: all of them, whether an output needs them or not."""
        return len(self.op)

    @property
    def first_gate(self) -> int:
        """Give the signal that gate 0 drives."""
        return FIRST_INPUT + self.n_inputs

    @property
    def n_signals(self) -> int:
        """Count the constants, inputs and gates."""
        return self.first_gate + self.n_gates

    @property
    def group_size(self) -> int:
        """Count the outputs of each group."""
        return len(self.outputs) // self.n_groups

    def circuit(self) -> Circuit:
        """Give the gates from the input bits to the counted outputs; the numbers are the same."""
        return Circuit(self.n_inputs, self.op, self.a, self.b, self.outputs)

    def validate(self) -> None:
        """Refuse arrays of different lengths, unknown signals and groups that do not divide."""
        if len(self.threshold) != self.n_inputs:
            raise self.mismatch(f"{self.n_inputs} pixels but {len(self.threshold)} thresholds")
        if not len(self.a) == len(self.b) == self.n_gates:
            raise self.mismatch(f"{self.n_gates} op, {len(self.a)} a and {len(self.b)} b")
        if self.pixel.min() < 0:
            raise self.mismatch(f"pixel {self.pixel.min()}, expected at least 0")
        if self.op.max() >= N_GATES:
            raise self.mismatch(f"truth table {self.op.max()}, expected 0 to {N_GATES - 1}")
        if self.n_signals > np.iinfo(np.int32).max:
            raise self.mismatch(f"{self.n_signals} signals, more than int32 can number")
        self._check_signals()
        if len(self.outputs) % self.n_groups:
            raise self.mismatch(f"{len(self.outputs)} outputs in {self.n_groups} equal groups")
        if self.group_size > MAX_GROUP:
            raise self.mismatch(
                f"groups of {self.group_size} outputs, expected at most {MAX_GROUP}"
            )

    def _check_signals(self) -> None:
        before = np.arange(self.first_gate, self.n_signals, dtype=np.int32)
        for name, signals, limit in (
            ("a", self.a, before),
            ("b", self.b, before),
            ("outputs", self.outputs, np.full(len(self.outputs), self.n_signals, np.int32)),
        ):
            wrong = np.flatnonzero((signals < 0) | (signals >= limit))
            if len(wrong):
                i = wrong[0]
                raise self.mismatch(
                    f"{name}[{i}] is signal {signals[i]}, expected 0 to {limit[i] - 1}"
                )

    def bind(self, backend: Backend) -> Run:
        """Give the function."""
        count = backend.prepare_logic(self)
        last = int(self.pixel.max())

        def run(images: Array) -> Array:
            rows = np.ascontiguousarray(images.reshape(len(images), -1))
            if rows.shape[1] <= last:
                raise BnnError(
                    f"packed model: images of shape {images.shape} given, but the logic network "
                    f"reads value {last} of each; pass images of the size it was trained on"
                )
            return count(rows).astype(np.float32)

        return run
