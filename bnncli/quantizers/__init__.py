"""Quantizers and their registered names; ``base.py`` explains the interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.errors import unknown_name
from bnncli.quantizers.base import Codes, PackedCodes, Quantizer, soft_form
from bnncli.quantizers.grids import BinaryGrid, Grid, TernaryGrid
from bnncli.quantizers.scales import SCALES, make_scale
from bnncli.quantizers.surrogates import SURROGATES, make_surrogate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "QUANTIZERS",
    "SCALES",
    "SURROGATES",
    "BinaryGrid",
    "Codes",
    "PackedCodes",
    "Preset",
    "Quantizer",
    "TernaryGrid",
    "make_quantizer",
    "make_scale",
    "make_surrogate",
    "soft_form",
]


@dataclass(frozen=True)
class Preset:
    """A named quantizer: its grid and the defaults that its paper uses."""

    grid: Callable[[], Grid]
    scale: str
    surrogate: str
    stochastic: bool
    summary: str


QUANTIZERS: dict[str, Preset] = {
    # Latents stay in [-1, 1] (optim.clip_latent), where identity and clipped are the same.
    "binary": Preset(BinaryGrid, "none", "identity", False, "sign(w); deterministic BinaryConnect"),
    "binaryconnect-stochastic": Preset(
        BinaryGrid,
        "none",
        "identity",
        True,
        "+1 with probability clamp((w+1)/2, 0, 1); sign in evaluation",
    ),
    "ternary": Preset(
        TernaryGrid, "mean-abs", "identity", False, "round(w / mean|w|) clamped to -1, 0, 1"
    ),
}


def make_quantizer(
    name: str, *, scale: str | None = None, surrogate: str | None = None
) -> Quantizer:
    """Build a registered quantizer, with another scale or surrogate where one is named."""
    if name not in QUANTIZERS:
        raise unknown_name("quantizer", name, QUANTIZERS)
    preset = QUANTIZERS[name]
    return Quantizer(
        preset.grid(),
        scale=make_scale(preset.scale if scale is None else scale),
        surrogate=make_surrogate(preset.surrogate if surrogate is None else surrogate),
        stochastic=preset.stochastic,
    )
