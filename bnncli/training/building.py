"""Build the network of resolved settings, on a device."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from bnncli.errors import UsageError
from bnncli.layers import Pixels, Thermometer
from bnncli.models import Quantization, build_model, find_arch
from bnncli.optim import make_optimizer
from bnncli.options import check_options
from bnncli.training.seeds import mix, seed_default

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from bnncli.data import ImageData, ImageSplit
    from bnncli.training.config import Settings, TrainSettings

QUANTIZATION_FIELDS = (
    *("weights", "weight_options", "activations"),
    *("scale", "surrogate", "activation_surrogate"),
)


def pixel_statistics(split: ImageSplit) -> tuple[list[float], list[float]]:
    """Give mean and standard deviation of each channel's pixels, in 0 … 255."""
    means, deviations = [], []
    for channel in range(split.images.shape[1]):
        pixels = split.images[:, channel]
        mean = float(pixels.mean())
        square = float(np.square(pixels, dtype=np.uint16).mean())
        means.append(mean)
        deviations.append(max(square - mean * mean, 0.0) ** 0.5)
    return means, deviations


def build(settings: Settings, data: ImageData) -> nn.Sequential:
    """Build the network of resolved settings; its initial weights follow from the seed."""
    model = settings.model
    quantization = Quantization(**{name: getattr(model, name) for name in QUANTIZATION_FIELDS})
    options = {
        name: value
        for name, value in dataclasses.asdict(model).items()
        if name not in {"arch", "arch_options", "pixels", *QUANTIZATION_FIELDS}
        and value is not None
    }
    entry = find_arch(model.arch)
    chosen = check_options(f"arch {model.arch}", entry.layers, model.arch_options or {})
    if twice := options.keys() & chosen.keys():
        raise UsageError(f"arch option {min(twice)}: it has a setting of its own; give one of them")
    options |= chosen
    seed_default(mix(settings.train.seed, "init"), torch.device("cpu"))
    built = build_model(
        model.arch,
        image_shape=data.image_shape,
        n_classes=data.n_classes,
        quantization=quantization,
        pixels=Pixels(model.pixels, data.image_shape[0], lambda: pixel_statistics(data.train)),
        **options,
    )
    for module in built.modules():
        if isinstance(module, Thermometer):
            module.fit(data.train.images)
    # Convolutions on a CPU are half as fast again with the channels innermost.
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_optimizer(model: nn.Module, train: TrainSettings) -> Optimizer:
    """Build the optimizer of resolved settings."""
    return make_optimizer(
        model,
        train.optimizer,
        lr=train.lr,
        options=_optimizer_options(train),
        plain_optimizer=train.plain_optimizer,
        plain_options=train.plain_options,
        plain_lr=train.plain_lr,
        weight_decay=train.weight_decay,
        latent_clip=train.latent_clip,
    )


def _optimizer_options(train: TrainSettings) -> dict[str, Any]:
    """Give the optimizer's options; ``momentum`` has a setting of its own, being so common."""
    options: dict[str, Any] = dict(train.optimizer_options or {})
    if train.momentum is not None:
        if "momentum" in options:
            raise UsageError("train.momentum with an option momentum: give one of them")
        options["momentum"] = train.momentum
    return options


def pick_device(name: str) -> torch.device:
    """Give the named device; ``auto`` is a CUDA GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device(name)
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise UsageError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); give cpu"
        ) from error
    return torch.device(name)


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Tell whether layers multiply in bfloat16 here; ``auto`` does where that is fast.

    Sums, norms, latent weights and all evaluation stay float32; ±1 is exact in either.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # The kernels check the processor (AVX-512 BF16 or AMX); elsewhere bfloat16 is emulated.
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
