"""Which two signals each gate reads: pure functions from sizes and a generator to indices.

A wiring is fixed when a layer is made and saved with it, so a run is wired once and for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Pairs = NDArray[np.int32]
    Draw = Callable[[int, int, int, np.random.Generator], Pairs]


@dataclass(frozen=True, eq=False)
class Wires:
    """Give the inputs of every gate of a layer: gate g reads rows a[g] and b[g].

    Shape: a, b (out_features,) int32, each in 0 … in_features - 1.
    """

    in_features: int
    a: NDArray[np.int32]
    b: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name, index in (("a", self.a), ("b", self.b)):
            if index.dtype != np.int32 or index.ndim != 1 or len(index) != len(self.a):
                raise UsageError(
                    f"wires {name}: {index.dtype} of shape {index.shape} given, expected int32 of "
                    f"shape ({len(self.a)},)"
                )
            if len(index) and not 0 <= int(index.min()) <= int(index.max()) < self.in_features:
                raise UsageError(
                    f"wires {name}: indices {index.min()} to {index.max()} given, expected "
                    f"0 to {self.in_features - 1}"
                )

    @property
    def out_features(self) -> int:
        """Count the gates."""
        return len(self.a)


def _shuffled(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    return pairs[:, rng.permutation(pairs.shape[1])]


def _all_pairs(n: int) -> Pairs:
    return np.array(np.triu_indices(n, 1), dtype=np.int32)


def _ring(n: int) -> Pairs:
    """Pair neighbours on a ring: (0, 1), (2, 3), …, then (1, 2), (3, 4), … and (n - 1, 0)."""
    first = np.concatenate([np.arange(0, n - 1, 2), np.arange(1, n - 1, 2), [n - 1]])
    return np.array([first, (first + 1) % n], dtype=np.int32)


MAX_LISTED_PAIRS = 100_000
"""Of more signals the pairs are drawn, not listed: they hardly ever repeat."""


def ring(in_features: int, out_features: int, layer: int, rng: np.random.Generator) -> Pairs:
    """Pair neighbours on a ring and shuffle the pairs: each signal is used twice where out = in.

    Fewer gates than in / 2 leave signals unread. More gates than signals get all other pairs in
    random order, then random ones. Depth mixes: the gates are shuffled, so that neighbours of one
    layer come from anywhere in the one before.
    """
    pairs = _ring(in_features)[:, :out_features]
    if out_features > in_features and math.comb(in_features, 2) <= MAX_LISTED_PAIRS:
        apart = _all_pairs(in_features)
        gap = apart[1] - apart[0]
        others = apart[:, (gap > 1) & (gap < in_features - 1)]
        pairs = np.concatenate([pairs, _shuffled(others, rng)], axis=1)[:, :out_features]
    missing = out_features - pairs.shape[1]
    if missing > 0:
        pairs = np.concatenate([pairs, random(in_features, missing, layer, rng)], axis=1)
    return _shuffled(pairs, rng)


def unique(in_features: int, out_features: int, layer: int, rng: np.random.Generator) -> Pairs:
    """Use no pair twice: neighbours first, then signals 2 apart, 3 apart, … (arXiv:2210.08277).

    All n (n - 1) / 2 pairs can be had. Signals that no pair reads would be lost, so
    2 out_features must be at least in_features.
    """
    combinations = math.comb(in_features, 2)
    if out_features > combinations:
        raise UsageError(
            f"wiring unique: {out_features} gates over {in_features} inputs, but there are only "
            f"{combinations} pairs; give fewer gates, or wiring random"
        )
    if 2 * out_features < in_features:
        raise UsageError(
            f"wiring unique: {out_features} gates cannot read all {in_features} inputs; give at "
            f"least {-(-in_features // 2)} gates, or wiring random"
        )
    firsts = [np.arange(0, in_features - 1, 2), np.arange(1, in_features - 1, 2)]
    if in_features % 2:
        # The last of an odd number comes early, or it might be left out.
        firsts = [np.append(firsts[0], in_features - 2), firsts[1][:-1]]
    chosen = [np.array([first, first + 1]) for first in firsts]
    count = in_features - 1
    for apart in range(2, in_features):
        if count >= out_features:
            break
        first = np.arange(in_features - apart)
        chosen.append(np.array([first, first + apart]))
        count += len(first)
    pairs = np.concatenate(chosen, axis=1)[:, :out_features]
    return _shuffled(pairs.astype(np.int32), rng)


def random(in_features: int, out_features: int, layer: int, rng: np.random.Generator) -> Pairs:
    """Draw pairs at random, every signal equally often up to one, never a signal with itself."""
    ends = 2 * out_features
    laps = -(-ends // in_features)
    order = np.concatenate([rng.permutation(in_features) for _ in range(laps)])[:ends]
    a, b = order[0::2].copy(), order[1::2].copy()
    for gate in np.flatnonzero(a == b):
        if a[gate] != b[gate]:
            continue  # an earlier swap mended it
        # Swapping with a gate that has neither signal keeps all degrees.
        other = np.flatnonzero((a != a[gate]) & (b != a[gate]))
        if len(other):
            swapped = rng.choice(other)
            b[gate], b[swapped] = b[swapped], b[gate]
        else:
            b[gate] = (a[gate] + 1) % in_features
    return np.array([a, b], dtype=np.int32)


def butterfly(in_features: int, out_features: int, layer: int, rng: np.random.Generator) -> Pairs:
    """Pair signals 1, 2, 4, … apart, layer after layer, as the stages of a Fourier transform do.

    Gate g reads signal g mod n and the one a power of two further; each use of a signal takes the
    next power. With out = in every signal is used twice, and ceil(log2 n) layers join all signals.
    """
    stages = max(1, math.ceil(math.log2(in_features)))
    gate = np.arange(out_features)
    if out_features < in_features:
        # Too few gates for a stage: neighbours are joined, spread over all signals.
        first = gate * in_features // out_features
        return np.array([first, first + 1], dtype=np.int32)
    lap, first = np.divmod(gate, in_features)
    laps = -(-out_features // in_features)
    apart = 1 << ((layer * laps + lap) % stages)
    return np.array([first, (first + apart) % in_features], dtype=np.int32)


def tree(in_features: int, out_features: int, layer: int, rng: np.random.Generator) -> Pairs:
    """Join neighbours two by two: (0, 1), (2, 3), …; half as many gates as inputs."""
    if 2 * out_features != in_features:
        raise UsageError(
            f"wiring tree: {out_features} gates over {in_features} inputs, expected exactly half "
            f"as many; choose widths that halve, or wiring ring"
        )
    return np.arange(in_features, dtype=np.int32).reshape(-1, 2).T.copy()


WIRINGS: dict[str, Draw] = {
    "butterfly": butterfly,
    "random": random,
    "ring": ring,
    "tree": tree,
    "unique": unique,
}
"""Ways to draw wires, by name."""


def draw_wires(
    name: str, in_features: int, out_features: int, *, layer: int, rng: np.random.Generator
) -> Wires:
    """Wire a layer by the named method; ``layer`` counts the gate layers of a network from 0."""
    if name not in WIRINGS:
        raise unknown_name("wiring", name, WIRINGS)
    if in_features < 2 or out_features < 1:
        raise UsageError(
            f"wiring {name}: {out_features} gates over {in_features} inputs; give at least one "
            f"gate and two inputs"
        )
    a, b = WIRINGS[name](in_features, out_features, layer, rng)
    return Wires(in_features, np.ascontiguousarray(a), np.ascontiguousarray(b))


def draw_candidates(
    in_features: int, out_features: int, n_candidates: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Draw the candidates of each gate input among which training chooses.

    No input has a candidate twice; signals are used equally often where that is possible.
    Shape: (2, out_features, n_candidates) int32.
    """
    if not 1 <= n_candidates <= in_features:
        raise UsageError(
            f"candidates={n_candidates}: expected 1 to {in_features}, the number of inputs"
        )
    n_slots = 2 * out_features
    rows = np.empty((n_slots, n_candidates), dtype=np.int32)
    # Whole rows are cut from permutations: within one there are no repetitions.
    per_lap = in_features // n_candidates
    for start in range(0, n_slots, per_lap):
        lap = rng.permutation(in_features)[: per_lap * n_candidates].reshape(per_lap, n_candidates)
        rows[start : start + per_lap] = lap[: n_slots - start]
    return rows.reshape(2, out_features, n_candidates)


def draw_local_candidates(
    image: tuple[int, int, int],
    out_features: int,
    n_candidates: int,
    radius: int,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Draw the candidates of gates that look at one place of an image each.

    A gate has a random centre; its candidates are different bits of the window of
    (2 radius + 1)² positions around it, in any of the planes. Windows at the border are moved
    inside. ``image`` is (planes, height, width); signals count through it in that order.

    Shape: (2, out_features, n_candidates) int32.
    """
    planes, height, width = image
    sides = [min(2 * radius + 1, size) for size in (height, width)]
    n_bits = planes * sides[0] * sides[1]
    if radius < 1 or not 1 <= n_candidates <= n_bits:
        raise UsageError(
            f"candidates={n_candidates} with radius={radius}: expected a radius of at least 1 and "
            f"1 to {n_bits} candidates, the bits of a window"
        )
    corners = [
        np.clip(rng.integers(0, size, out_features) - radius, 0, size - side)
        for size, side in zip((height, width), sides, strict=True)
    ]
    # The ranks of random numbers are a permutation for each gate input.
    keys = rng.random((2, out_features, n_bits), dtype=np.float32)
    places = np.argpartition(keys, n_candidates - 1, axis=2)[..., :n_candidates]
    plane, row, column = np.unravel_index(places, (planes, *sides))
    row = row + corners[0][:, None]
    column = column + corners[1][:, None]
    return ((plane * height + row) * width + column).astype(np.int32)
