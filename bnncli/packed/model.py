"""The packed model: a tuple of steps and what it was made from. Runs without torch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend
    from bnncli.packed.step import Array, Run, Step


@dataclass(frozen=True)
class PackedModel:
    """A frozen network: steps from stored pixels to logits, and metadata as text.

    Every step takes the form that the one before gives.
    """

    steps: tuple[Step, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.steps:
            raise BnnError("packed model: no steps given, expected at least one; freeze a model")
        forms = [self.steps[0].takes, *(step.gives for step in self.steps)]
        if forms[0] != "pixels" or forms[-1] != "floats":
            raise BnnError(
                f"packed model: takes {forms[0]} and gives {forms[-1]}, expected pixels and "
                f"floats; freeze a whole model, from its Pixels to its logits"
            )
        for before, after in itertools.pairwise(self.steps):
            if before.gives != after.takes:
                raise BnnError(
                    f"packed model: {after.kind} takes {after.takes} but {before.kind} before it "
                    f"gives {before.gives}; freeze the model again"
                )

    def plan(self, backend: Backend) -> Plan:
        """Prepare the weights for a backend; keep the plan to evaluate more than once."""
        batch_size = max(step.preferred_batch for step in self.steps)
        return Plan(tuple(step.bind(backend) for step in self.steps), backend.name, batch_size)

    def logits(
        self, images: NDArray[np.uint8], backend: Backend, batch_size: int | None = None
    ) -> NDArray[np.float32]:
        """Give class scores.

        Shape: (n, channels, h, w) uint8 -> (n, n_classes) float32.
        """
        return self.plan(backend).logits(images, batch_size)

    def predict(
        self, images: NDArray[np.uint8], backend: Backend, batch_size: int | None = None
    ) -> NDArray[np.int64]:
        """Give the class with the largest score, the first of equals.

        Shape: (n, channels, h, w) uint8 -> (n,) int64.
        """
        return self.plan(backend).predict(images, batch_size)


@dataclass(frozen=True, eq=False)
class Plan:
    """A packed model bound to a backend, weights prepared.

    ``batch_size`` images are evaluated at once where a call gives no other number.
    """

    runs: tuple[Run, ...]
    backend_name: str
    batch_size: int

    def logits(
        self, images: NDArray[np.uint8], batch_size: int | None = None
    ) -> NDArray[np.float32]:
        """Give class scores.

        Shape: (n, channels, h, w) uint8 -> (n, n_classes) float32.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0:
            raise BnnError(
                f"packed model: {images.dtype} images of shape {images.shape} given, expected "
                f"uint8 (n, channels, height, width) with n > 0; pass the stored pixels"
            )
        size = self.batch_size if batch_size is None else batch_size
        if size < 1:
            raise BnnError(f"packed model: batch_size={size}; give a positive number")
        batches = [
            self._logits(images[start : start + size]) for start in range(0, len(images), size)
        ]
        return np.concatenate(batches)

    def predict(
        self, images: NDArray[np.uint8], batch_size: int | None = None
    ) -> NDArray[np.int64]:
        """Give the class with the largest score, the first of equals.

        Shape: (n, channels, h, w) uint8 -> (n,) int64.
        """
        classes: NDArray[np.int64] = self.logits(images, batch_size).argmax(axis=1)
        return classes

    def _logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        x: Array = batch
        for run in self.runs:
            x = run(x)
        return x


class ModelSize(NamedTuple):
    """Stored bytes of a packed model, without names and checksum."""

    weights: int
    thresholds: int
    other: int

    @property
    def total(self) -> int:
        """Add all up."""
        return self.weights + self.thresholds + self.other


def model_size(packed: PackedModel) -> ModelSize:
    """Count the bytes of weights, of thresholds and of everything else, pad bits included."""
    return ModelSize(
        weights=sum(step.n_bytes("weights") for step in packed.steps),
        thresholds=sum(step.n_bytes("thresholds") for step in packed.steps),
        other=sum(step.n_bytes("other") for step in packed.steps),
    )
