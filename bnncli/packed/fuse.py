"""Rewrite lists of steps into faster ones that give the same bits.

- Pools move in front of rising affine steps, which then have fewer values to work on.
- Integer sum → affine steps and pools → sign becomes a thresholded layer on bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import pack_bits
from bnncli.packed.elementwise import Affine, Binarize, Flatten, FlattenBits, MaxPool, PoolBits
from bnncli.packed.layers import (
    ThresholdConv2d,
    ThresholdLinear,
    ThresholdWeights,
    XnorConv2d,
    XnorLinear,
    XnorWeights,
)
from bnncli.packed.thresholds import falling, find_thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.packed.step import Step

THRESHOLDED: dict[type[XnorWeights], type[ThresholdWeights]] = {
    XnorLinear: ThresholdLinear,
    XnorConv2d: ThresholdConv2d,
}


@dataclass(frozen=True)
class _Match:
    """A layer of integer sums and what stands between it and the next sign."""

    layer: XnorWeights
    between: tuple[Affine | MaxPool, ...]
    flatten: bool

    @property
    def length(self) -> int:
        """Count the steps: layer, between, flatten, binarize."""
        return 2 + len(self.between) + self.flatten


def _match(steps: Sequence[Step]) -> _Match | None:
    """Match layer, any affine steps and pools, perhaps flatten, binarize at the head of a list."""
    layer = steps[0]
    if not isinstance(layer, XnorWeights):
        return None
    between: list[Affine | MaxPool] = []
    rest = iter(steps[1:])
    step = next(rest, None)
    while isinstance(step, Affine | MaxPool):
        between.append(step)
        step = next(rest, None)
    flatten = isinstance(step, Flatten)
    if flatten:
        step = next(rest, None)
    return _Match(layer, tuple(between), flatten) if isinstance(step, Binarize) else None


def _threshold_layer(layer: XnorWeights, chain: Sequence[Affine]) -> ThresholdWeights:
    """Fold a chain into thresholds; rows of falling outputs change sign, so that dot' = -dot."""
    thresholds, flipped = find_thresholds(chain, layer.n_bits, len(layer.words))
    every_bit = pack_bits(np.ones(layer.n_bits, dtype=np.bool_))
    fields = {name: getattr(layer, name) for name in layer.specs()}
    fields["words"] = np.where(flipped[:, None], layer.words ^ every_bit, layer.words)
    return THRESHOLDED[type(layer)](**fields, thresholds=thresholds)


def _pool_bits(pool: MaxPool, after: Sequence[Affine], channels: int) -> PoolBits:
    """Pool bits as the floats were pooled: OR where what follows the pool falls."""
    return PoolBits(size=pool.size, any_mask=pack_bits(falling(after, channels)))


def _fused(match: _Match) -> list[Step]:
    channels = len(match.layer.words)
    chain = [step for step in match.between if isinstance(step, Affine)]
    steps: list[Step] = [_threshold_layer(match.layer, chain)]
    for i, step in enumerate(match.between):
        if isinstance(step, MaxPool):
            after = [s for s in match.between[i:] if isinstance(s, Affine)]
            steps.append(_pool_bits(step, after, channels))
    if match.flatten:
        steps.append(FlattenBits(channels=channels))
    return steps


def pool_first(steps: Sequence[Step]) -> list[Step]:
    """Move pools in front of affine steps without negative gain: max(f(x)) = f(max(x))."""
    out: list[Step] = []
    for step in steps:
        at = len(out)
        while isinstance(step, MaxPool) and at and _rising(out[at - 1]):
            at -= 1
        out.insert(at, step)
    return out


def _rising(step: Step) -> bool:
    return isinstance(step, Affine) and bool(np.all(step.gain >= 0))


def threshold_signs(steps: Sequence[Step]) -> list[Step]:
    """Replace every chain from integer sums to the next sign.

    A sign of a maximum is a bitwise AND of signs, so pooling moves behind the threshold.
    """
    out: list[Step] = []
    i = 0
    while i < len(steps):
        match = _match(steps[i:])
        out += [steps[i]] if match is None else _fused(match)
        i += 1 if match is None else match.length
    return out


def fuse(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Apply every rewrite; the outputs stay the same for every input."""
    return tuple(pool_first(threshold_signs(steps)))
