"""A design: a circuit and what its inputs and outputs mean; what is extracted and emitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import pack_bits, unpack_bits
from bnncli.circuit.simulate import simulate
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.circuit.ir import Circuit
    from bnncli.circuit.sums import ClassSums

NEIGHBOURS = 9
"""Cells of a neighbourhood: 3 rows of 3, the cell itself in the middle."""


@dataclass(frozen=True, eq=False)
class PixelInputs:
    """Input i is the bit (image[pixel[i]] & mask[i]) > threshold[i] of images of ``n_pixels`` bytes.

    Without masks a byte is compared as it is; the mask 2^k with the threshold 0 takes its bit k.
    Shape: (n_inputs,).
    """

    n_pixels: int
    pixel: NDArray[np.int32]
    threshold: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        lengths = {
            len(self.pixel),
            len(self.threshold),
            *([] if self.mask is None else self.mask.shape),
        }
        if len(lengths) > 1:
            raise BnnError(
                f"pixel inputs: arrays of lengths {sorted(lengths)}, expected one length"
            )
        if len(self.pixel) and not 0 <= self.pixel.min() <= self.pixel.max() < self.n_pixels:
            raise BnnError(
                f"pixel inputs: pixels {self.pixel.min()} to {self.pixel.max()}, expected 0 to "
                f"{self.n_pixels - 1}"
            )

    def bits(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Threshold images.

        Shape: (n, …) -> (n_inputs, n).
        """
        rows = images.reshape(len(images), -1)
        if rows.shape[1] != self.n_pixels:
            raise BnnError(
                f"images of shape {images.shape[1:]}: expected {self.n_pixels} bytes each"
            )
        values = rows.T[self.pixel]
        if self.mask is not None:
            values = values & self.mask[:, None]
        return values > self.threshold[:, None]


@dataclass(frozen=True, eq=False)
class Design:
    """A named circuit with the meaning of its ends.

    ``pixels`` says how images become inputs; ``sums`` how outputs become class scores. With
    ``channels`` the circuit is the local rule of a cellular automaton: its inputs are the
    neighbourhood (channels, 3, 3) in that order, its outputs the cell's next channels; ``task`` is
    then the data set that it learned, such as rule:B3/S23 or board:heart.
    ``notes`` are lines for the head of emitted text: where it comes from, counts, the proof.
    """

    name: str
    circuit: Circuit
    pixels: PixelInputs | None = None
    sums: ClassSums | None = None
    channels: int = 0
    notes: tuple[str, ...] = ()
    task: str | None = None

    def __post_init__(self) -> None:
        circuit = self.circuit
        if self.pixels and len(self.pixels.pixel) != circuit.n_inputs:
            raise BnnError(f"design {self.name}: thresholds do not fit {circuit.n_inputs} inputs")
        if self.sums and len(self.sums.group) != circuit.n_outputs:
            raise BnnError(f"design {self.name}: sums do not fit {circuit.n_outputs} outputs")
        ends = (circuit.n_inputs, circuit.n_outputs)
        if self.channels and ends != (NEIGHBOURS * self.channels, self.channels):
            raise BnnError(
                f"design {self.name}: {ends[0]} inputs and {ends[1]} outputs, expected "
                f"{NEIGHBOURS * self.channels} and {self.channels} for {self.channels} channels"
            )

    def with_circuit(self, circuit: Circuit, *notes: str) -> Design:
        """Exchange the circuit for one of the same function and add notes."""
        return replace(self, circuit=circuit, notes=(*self.notes, *notes))

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Give each image's scores, or its output bits where there are no sums.

        Shape: (n, …) -> (n, n_classes) or (n, n_outputs).
        """
        if self.pixels is None:
            raise BnnError(f"design {self.name}: its inputs are bits, not pixels")
        inputs = pack_bits(self.pixels.bits(images))
        outputs = unpack_bits(simulate(self.circuit, inputs), len(images))
        return self.sums.scores(outputs) if self.sums else outputs.T.astype(np.int64)
