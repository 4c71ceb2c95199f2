"""Gates gathered layer by layer until a sum closes them into one packed step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit.ir import FIRST_INPUT
from bnncli.packed.logic import LogicNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Signals = NDArray[np.int32]


@dataclass
class Netlist:
    """Gates so far, and the signals that the next layer reads, in its order."""

    pixel: Signals
    threshold: NDArray[np.uint8]
    signals: Signals
    n_signals: int
    op: list[NDArray[np.uint8]] = field(default_factory=list)
    a: list[Signals] = field(default_factory=list)
    b: list[Signals] = field(default_factory=list)

    @classmethod
    def of_inputs(cls, pixel: Signals, threshold: NDArray[np.uint8]) -> Netlist:
        """Begin with input bits and no gates."""
        signals = np.arange(FIRST_INPUT, FIRST_INPUT + len(pixel), dtype=np.int32)
        return cls(pixel, threshold, signals, FIRST_INPUT + len(pixel))

    def gate(self, op: NDArray[np.uint8], a: Signals, b: Signals) -> Signals:
        """Append gates that read signals; give the signals that they drive."""
        driven = np.arange(self.n_signals, self.n_signals + len(op), dtype=np.int32)
        self.op.append(op)
        self.a.append(a)
        self.b.append(b)
        self.n_signals += len(op)
        return driven

    def add(self, op: NDArray[np.uint8], a: Signals, b: Signals) -> None:
        """Append a layer; a and b count through the signals of the layer before."""
        self.signals = self.gate(op, self.signals[a], self.signals[b])

    def network(self, n_groups: int) -> LogicNetwork:
        """Close the gates into a step that counts the current signals by groups."""
        return LogicNetwork(
            pixel=self.pixel,
            threshold=self.threshold,
            op=np.concatenate(self.op),
            a=np.concatenate(self.a),
            b=np.concatenate(self.b),
            outputs=self.signals,
            n_groups=n_groups,
        )
