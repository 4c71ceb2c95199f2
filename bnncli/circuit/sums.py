"""Class sums: what turns a circuit's outputs into scores, outside the gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Weigh and count outputs by class.

    score[k] = bias[k] + Σ weight[j] · output[j] over the outputs j with group[j] = k

    The class is the one of the highest score, the first of several.
    Shape: group, weight (n_outputs,); bias (n_classes,).
    """

    group: NDArray[np.int32]
    weight: NDArray[np.int32]
    bias: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name in ("group", "weight", "bias"):
            values: NDArray[Any] = np.array(getattr(self, name), dtype=np.int32)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if len(self.group) != len(self.weight):
            raise BnnError(f"class sums: {len(self.group)} groups, {len(self.weight)} weights")
        if len(self.group) and not 0 <= self.group.min() <= self.group.max() < self.n_classes:
            raise BnnError(
                f"class sums: groups {self.group.min()} to {self.group.max()}, expected 0 to "
                f"{self.n_classes - 1}"
            )

    @classmethod
    def equal_groups(cls, n_outputs: int, n_classes: int) -> ClassSums:
        """Count equal groups of neighbouring outputs, each output once."""
        if n_classes < 1 or n_outputs % n_classes:
            raise BnnError(f"class sums: {n_outputs} outputs in {n_classes} equal groups")
        group = np.repeat(np.arange(n_classes, dtype=np.int32), n_outputs // n_classes)
        return cls(group, np.ones(n_outputs, np.int32), np.zeros(n_classes, np.int32))

    @property
    def n_classes(self) -> int:
        """Count the classes."""
        return len(self.bias)

    def scores(self, outputs: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Give each case's scores.

        Shape: (n_outputs, n) -> (n, n_classes).
        """
        scores = np.tile(self.bias.astype(np.int64), (outputs.shape[1], 1))
        weighed = outputs.T * self.weight.astype(np.int64)
        for k in range(self.n_classes):
            scores[:, k] += weighed[:, self.group == k].sum(axis=1)
        return scores
