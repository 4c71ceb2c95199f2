"""How a data set puts a network to the test, whatever form computes its logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from bnncli.data.dataset import ImageSplit

    Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answered, item by item; ``parts`` name the ranges of a test in several parts.

    Shape: values (n, k), what the answers follow from; predicted and expected (n,).
    """

    values: NDArray[np.float32]
    predicted: NDArray[np.int64]
    expected: NDArray[np.int64]
    parts: dict[str, slice]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Tell which items are right. Shape: (n,)."""
        right: NDArray[np.bool_] = self.predicted == self.expected
        return right


class Exam(Protocol):
    """A test of a network, the same for every form of it."""

    items: str
    """What is counted, in the plural."""

    at_once: int
    """How many images a latent network is asked about at once."""

    def __call__(self, logits: Logits, split: ImageSplit) -> Answers:
        """Ask the network for the logits of images, as often as it takes."""
        ...

    def drawn(self, seed: int, *, short: bool) -> Exam:
        """Give the same test with other random numbers, where it has any; perhaps a short one."""
        ...


class Classification:
    """Ask for the class of every image of a split: the largest logit, the first of equals."""

    items = "images"
    at_once = 128  # activations of a convolution stay in the cache

    def __call__(self, logits: Logits, split: ImageSplit) -> Answers:
        """Ask once for all images."""
        values = logits(split.images)
        return Answers(values, values.argmax(axis=1), split.labels, {})

    def drawn(self, seed: int, *, short: bool) -> Classification:
        """Give the same: nothing is drawn."""
        return self


CLASSIFICATION = Classification()
