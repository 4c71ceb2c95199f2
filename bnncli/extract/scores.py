"""The end of a classifier: float logits behind integer sums, as class sums or as gates.

Behind the last sum of a class stand a few rounded float operations, so its logit is a function of
one integer, which a table lists for every value. Only the order of the logits matters: it is kept
either by whole-number scores or by the ranks of the table's entries, equal ones included.
See ``book/decisions/circuits.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnncli.circuit import ClassSums, Design
from bnncli.circuit.arith import add_columns, argmax, lookup, weigh
from bnncli.errors import BnnError
from bnncli.packed.elementwise import Affine
from bnncli.packed.thresholds import apply_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bnncli.circuit import Builder, PixelInputs
    from bnncli.circuit.builder import Literal

MAX_VALUES = 2**20
"""Values of all sums together that a table may list."""

MAX_RANKED = 2**12
"""Values of one sum that gates may look up."""

MAX_SCALE_BITS = 24
MAX_SCORE = 2**31 - 1


@dataclass(frozen=True, eq=False)
class ClassLogits:
    """Class k has the logit chain(unit · (offset[k] + Σ weights[k, i] · literals[k, i])).

    Shape: literals, weights (n_classes, n); offset (n_classes,).
    """

    literals: NDArray[np.int64]
    weights: NDArray[np.int64]
    offset: NDArray[np.int64]
    unit: float
    chain: tuple[Affine, ...]

    @property
    def step(self) -> int:
        """Give the largest number that divides all weights."""
        return max(1, math.gcd(*(int(w) for w in np.unique(np.abs(self.weights)))))

    @property
    def lowest(self) -> NDArray[np.int64]:
        """Give the least value of each sum."""
        least: NDArray[np.int64] = self.offset + np.minimum(self.weights, 0).sum(axis=1)
        return least

    @property
    def n_values(self) -> NDArray[np.int64]:
        """Count the values of each sum from the least to the largest, in steps."""
        counts: NDArray[np.int64] = np.abs(self.weights).sum(axis=1) // self.step + 1
        return counts.astype(np.int64)

    def tables(self) -> list[NDArray[np.float32]]:
        """List the logits of each class by the value of its sum."""
        counts = self.n_values
        if counts.sum() > MAX_VALUES:
            raise BnnError(
                f"class sums of {counts.sum():,} values: expected at most {MAX_VALUES:,}; "
                f"extract a layer with --layer instead"
            )
        sums = self.lowest + self.step * np.arange(counts.max())[:, None]
        unit = Affine(gain=np.full(1, self.unit, np.float32), offset=np.zeros(1, np.float32))
        logits = apply_chain([unit, *self.chain], sums)
        tables = [logits[:n, k] for k, n in enumerate(counts.tolist())]
        if not all(np.isfinite(table).all() for table in tables):
            raise BnnError("a logit is NaN or infinite: the training diverged; freeze another run")
        return tables

    def ranks(self) -> list[NDArray[np.int64]]:
        """Replace the logits of all tables by their ranks, equal ones by the same."""
        return _ranked(self.tables())

    def line(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give slope and start of each class's logit in exact arithmetic, by the sum's value."""
        slope = np.full(len(self.offset), self.unit)
        start = np.zeros(len(self.offset))
        for affine in self.chain:
            slope, start = slope * affine.gain, start * affine.gain + affine.offset
        return slope * self.step, start + slope * self.lowest


def _ranked(tables: Sequence[NDArray[np.generic]]) -> list[NDArray[np.int64]]:
    _, ranks = np.unique(np.concatenate(tables), return_inverse=True)
    ends = np.cumsum([len(table) for table in tables])
    return np.split(ranks.ravel().astype(np.int64), ends[:-1])


class Lines(NamedTuple):
    """Whole-number scores: start[k] + slope[k] · (value of sum k). Shape: (n_classes,)."""

    slope: NDArray[np.int64]
    start: NDArray[np.int64]


def integer_lines(logits: ClassLogits) -> Lines | None:
    """Find the smallest whole-number lines that order all values of all sums as the logits do.

    Every value is compared with every other, so that the classes of the logits and of the scores
    are the same on every input. None where rounding gave the logits an order that no lines have.
    """
    wanted = logits.ranks()
    slope, start = logits.line()
    start = start - start.min()
    largest = np.abs(slope).max() or 1.0
    for bits in range(MAX_SCALE_BITS + 1):
        scale = 2**bits / largest
        lines = Lines(*(np.rint(scale * x).astype(np.int64) for x in (slope, start)))
        scores = [
            a * np.arange(n) + b for a, b, n in zip(*lines, logits.n_values.tolist(), strict=True)
        ]
        if max(np.abs(table).max() for table in scores) > MAX_SCORE:
            return None
        if all(map(np.array_equal, _ranked(scores), wanted)):
            return lines
    return None


def class_sums(build: Builder, logits: ClassLogits) -> tuple[list[Literal], ClassSums]:
    """Give outputs and weights whose sums order the classes as the logits do.

    The outputs are what the last layer reads, its weights times whole numbers; where there are
    none that do, the sums are built from gates and the outputs are the ranks' bits.
    """
    lines = integer_lines(logits)
    if lines is None:
        ranks = _rank_numbers(build, logits)
        group = [k for k, number in enumerate(ranks) for _ in number]
        weight = [1 << b for number in ranks for b in range(len(number))]
        return folded(
            [x for number in ranks for x in number], as_sums(group, weight, [0] * len(ranks))
        )
    weights = lines.slope[:, None] * logits.weights // logits.step
    # The lines count from the least value, at which literals of negative weights are true.
    bias = lines.start - lines.slope * (np.minimum(logits.weights, 0).sum(axis=1) // logits.step)
    group = np.repeat(np.arange(len(bias)), logits.literals.shape[1]).tolist()
    return folded(logits.literals.ravel().tolist(), as_sums(group, weights.ravel(), bias))


def as_sums(group: Any, weight: Any, bias: Any) -> ClassSums:
    """Make class sums of any numbers."""
    return ClassSums(*(np.asarray(values, np.int32) for values in (group, weight, bias)))


def folded(literals: Sequence[Literal], sums: ClassSums) -> tuple[list[Literal], ClassSums]:
    """Fold complements, constants and repetitions of outputs into weights and bias."""
    bias = sums.bias.astype(np.int64)
    weights: dict[tuple[int, Literal], int] = {}
    for x, k, w in zip(literals, sums.group.tolist(), sums.weight.tolist(), strict=True):
        positive = x & ~1
        if x & 1:
            bias[k] += w
        if positive:
            weights[k, positive] = weights.get((k, positive), 0) + (-w if x & 1 else w)
    kept = {key: w for key, w in weights.items() if w}
    return [x for _, x in kept], as_sums([k for k, _ in kept], list(kept.values()), bias)


def _numbers(build: Builder, logits: ClassLogits) -> list[list[Literal]]:
    """Build the value of each class's sum: (sum - least value) / step."""
    weights = (logits.weights // logits.step).tolist()
    pairs = zip(logits.literals.tolist(), weights, strict=True)
    return [add_columns(build, weigh(x, w)[0]) for x, w in pairs]


def _rank_numbers(build: Builder, logits: ClassLogits) -> list[list[Literal]]:
    longest = int(logits.n_values.max())
    if longest > MAX_RANKED:
        raise BnnError(
            f"class sums of {longest:,} values behind scales of their own: expected at most "
            f"{MAX_RANKED:,}; extract the layers before with --layer"
        )
    pairs = zip(_numbers(build, logits), logits.ranks(), strict=True)
    return [lookup(build, number, table.tolist()) for number, table in pairs]


def class_index(build: Builder, logits: ClassLogits) -> list[Literal]:
    """Build the index of the class with the highest logit, of several the first, as a number."""
    ranks = logits.ranks()
    rising = bool((np.diff(ranks[0]) > 0).all())
    if rising and all(np.array_equal(ranks[0], other) for other in ranks[1:]):
        return argmax(build, _numbers(build, logits))
    return argmax(build, _rank_numbers(build, logits))


def class_design(
    build: Builder, logits: ClassLogits, name: str, pixels: PixelInputs | None, *, pure: bool
) -> Design:
    """Close a circuit with class sums, or with ``pure`` with the class's index."""
    if not pure:
        outputs, sums = class_sums(build, logits)
        return Design(name, build.build(outputs), pixels, sums)
    index = class_index(build, logits)
    names = [f"class{k}" for k in range(len(index))]
    return Design(name, build.build(index, (), names), pixels)
