"""Quantizers and their registered names; ``base.py`` explains the interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnncli.errors import UsageError, unknown_name
from bnncli.options import check_options
from bnncli.quantizers.base import Codes, PackedCodes, Quantizer, TwoForms, soft_form
from bnncli.quantizers.grids import BinaryGrid, TernaryGrid, UniformGrid
from bnncli.quantizers.scales import SCALES, FanIn, Scale, constant_scale, make_scale
from bnncli.quantizers.stored import BitQuantizer, RegisterQuantizer, StoredQuantizer
from bnncli.quantizers.surrogates import SURROGATES, Identity, Surrogate, make_surrogate
from bnncli.quantizers.swarm import (
    FloatSwarm,
    Int8Population,
    PackedPopulation,
    Readout,
    make_readout,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "QUANTIZERS",
    "SCALES",
    "SURROGATES",
    "BinaryGrid",
    "Codes",
    "PackedCodes",
    "Preset",
    "Quantizer",
    "StoredQuantizer",
    "TernaryGrid",
    "TwoForms",
    "UniformGrid",
    "make_quantizer",
    "make_scale",
    "make_surrogate",
    "soft_form",
]


@dataclass(frozen=True)
class Preset:
    """A named quantizer: how to make it and the scale and surrogate that its paper uses.

    The keyword-only parameters of ``make`` are the quantizer's options.
    """

    make: Callable[..., Quantizer]
    summary: str
    scale: str = "none"
    surrogate: str = "identity"
    weights_only: bool = False


def _binary(scale: Scale, surrogate: Surrogate) -> Quantizer:
    return Quantizer(BinaryGrid(), scale=scale, surrogate=surrogate)


def _binaryconnect(scale: Scale, surrogate: Surrogate) -> Quantizer:
    return Quantizer(BinaryGrid(), scale=scale, surrogate=surrogate, stochastic=True)


def _ternary(scale: Scale, surrogate: Surrogate) -> Quantizer:
    return Quantizer(TernaryGrid(), scale=scale, surrogate=surrogate)


def _bits(scale: Scale, surrogate: Surrogate) -> Quantizer:
    _check_no_latent("bits", surrogate)
    return BitQuantizer(scale)


def _register(scale: Scale, surrogate: Surrogate, *, bits: int = 16) -> Quantizer:
    if not 1 <= bits <= 16:
        raise UsageError(f"register bits={bits}: expected 1 to 16")
    _check_no_latent("register", surrogate)
    return RegisterQuantizer(2**bits, scale)


def _ternary_register(scale: Scale, surrogate: Surrogate, *, trits: int = 10) -> Quantizer:
    if not 1 <= trits <= 10:
        raise UsageError(f"ternary-register trits={trits}: expected 1 to 10")
    _check_no_latent("ternary-register", surrogate)
    return RegisterQuantizer(3**trits, scale)


def _check_no_latent(name: str, surrogate: Surrogate) -> None:
    """Refuse a surrogate, the derivative at a latent, where no weight has one."""
    if surrogate != Identity():
        raise UsageError(
            f"weights {name} have no latent for a surrogate gradient; give --surrogate identity"
        )


def _readout(scale: Scale, readout: str, size: int, tie: int) -> tuple[Readout, Scale]:
    """Σ / sqrt(fan_in) is the mean of the votes with a scale of S / sqrt(fan_in)."""
    if readout == "log-scaled":
        constant_scale(scale, "the log-scaled readout has its own")
        return make_readout("analog", size, tie), FanIn(float(size))
    return make_readout(readout, size, tie), scale


def _swarm(
    scale: Scale,
    surrogate: Surrogate,
    *,
    size: int = 32,
    readout: str = "majority",
    tie: int = 1,
    storage: str = "packed",
) -> Quantizer:
    _check_no_latent("swarm", surrogate)
    kinds = {"packed": PackedPopulation, "int8": Int8Population}
    if storage not in kinds:
        raise unknown_name("swarm storage", storage, kinds)
    return kinds[storage](*_readout(scale, readout, size, tie))


def _swarm_float(
    scale: Scale,
    surrogate: Surrogate,
    *,
    size: int = 32,
    readout: str = "majority",
    tie: int = 1,
    proxy: bool = True,
) -> Quantizer:
    _check_no_latent("swarm-float", surrogate)
    return FloatSwarm(*_readout(scale, readout, size, tie), proxy=proxy)


QUANTIZERS: dict[str, Preset] = {
    # Latents stay in [-1, 1] (optim.clip_latent), where identity and clipped are the same.
    "binary": Preset(_binary, "sign(w); deterministic BinaryConnect"),
    "binaryconnect-stochastic": Preset(
        _binaryconnect, "+1 with probability clamp((w+1)/2, 0, 1); sign in evaluation"
    ),
    "ternary": Preset(_ternary, "round(w / mean|w|) clamped to -1, 0, 1", scale="mean-abs"),
    "bits": Preset(
        _bits,
        "±1 stored as int8, without a latent; for optimizers that flip",
        weights_only=True,
    ),
    "swarm": Preset(
        _swarm, "32 agents of ±1 a weight, stored as bits, read by a vote", weights_only=True
    ),
    "swarm-float": Preset(_swarm_float, "the same agents kept as real numbers", weights_only=True),
    "register": Preset(
        _register,
        "an integer of n bits on [-1, 1], no latent",
        scale="fan-in",
        weights_only=True,
    ),
    "ternary-register": Preset(
        _ternary_register,
        "an integer of n trits on [-1, 1], no latent",
        scale="fan-in",
        weights_only=True,
    ),
}
"""Every quantizer by name."""


def make_quantizer(
    name: str,
    *,
    scale: str | None = None,
    surrogate: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Quantizer:
    """Build a registered quantizer, with another scale or surrogate where one is named."""
    if name not in QUANTIZERS:
        raise unknown_name("quantizer", name, QUANTIZERS)
    preset = QUANTIZERS[name]
    checked = check_options(f"quantizer {name}", preset.make, options or {})
    return preset.make(
        make_scale(preset.scale if scale is None else scale),
        make_surrogate(preset.surrogate if surrogate is None else surrogate),
        **checked,
    )
