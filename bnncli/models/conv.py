"""Convolutional networks; each 2×2 pool halves the image, so sizes follow the data set."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from bnncli.errors import UsageError
from bnncli.models.blocks import Stack
from bnncli.models.registry import Layers, Quantization, register

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def convnet(
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    convs: Sequence[tuple[int, int]],
    hidden: Sequence[int],
    norm: str,
    norm_options: Mapping[str, Any] | None,
    dropout: float = 0.0,
) -> Layers:
    """List (channels, pool) convolution blocks, then linear blocks, then the classes."""
    channels, height, width = image_shape
    stack = Stack(quantization, norm, norm_options)
    for out_channels, pool in convs:
        stack.conv(channels, out_channels, pool=pool)
        channels, height, width = out_channels, height // pool, width // pool
    if height < 1 or width < 1:
        raise UsageError(
            f"images of {image_shape[1]}×{image_shape[2]} are too small for this network's pools; "
            f"choose a data set with larger images or a smaller network"
        )
    stack.flatten()
    sizes = [channels * height * width, *hidden]
    for n_in, n_out in itertools.pairwise(sizes):
        stack.linear(n_in, n_out, dropout=dropout)
    stack.linear(sizes[-1], n_classes, last=True)
    return stack.layers


@register("smallconv", "conv 32, conv 64, fc 256: small enough for any laptop")
def smallconv(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    norm: str = "batch",
    norm_options: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
) -> Layers:
    """List conv 32 - pool - conv 64 - pool - fc 256 - fc classes."""
    convs = [(32, 2), (64, 2)]
    return convnet(image_shape, n_classes, quantization, convs, [256], norm, norm_options, dropout)


@register(
    "bitconv",
    "conv 64, conv 128, fc 256, BatchNorm; binary weights scaled by mean |w| per output",
    weights="binary",
    scale="mean-abs-per-output",
)
def bitconv(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    norm: str = "batch",
    norm_options: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
) -> Layers:
    """List conv 64 - pool - conv 128 - pool - fc 256 - fc classes."""
    convs = [(64, 2), (128, 2)]
    return convnet(image_shape, n_classes, quantization, convs, [256], norm, norm_options, dropout)


@register(
    "bnn-vgg",
    "VGG-small with binary weights and activations: 128-128-256-256-512-512, fc",
    weights="binary",
    activations="binary",
)
def bnn_vgg(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    norm: str = "batch",
    norm_options: Mapping[str, Any] | None = None,
    width_factor: float = 1.0,
) -> Layers:
    """List six 3×3 convolutions in three pooled pairs, then the classes, all × width_factor."""
    widths = [max(1, round(width_factor * c)) for c in (128, 128, 256, 256, 512, 512)]
    convs = [(c, 1 + i % 2) for i, c in enumerate(widths)]
    return convnet(image_shape, n_classes, quantization, convs, [], norm, norm_options)
