"""Fully connected networks."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from bnncli.errors import UsageError
from bnncli.models.blocks import Stack
from bnncli.models.registry import Layers, Quantization, register

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def perceptron(
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    widths: Sequence[int],
    norm: str,
    norm_options: Mapping[str, Any] | None,
    dropout: float,
) -> Layers:
    """List the layers of pixels - widths[0] - … - classes."""
    if any(width < 1 for width in widths):
        raise UsageError(f"widths={list(widths)}; give positive layer sizes such as 256,256")
    stack = Stack(quantization, norm, norm_options)
    stack.flatten()
    sizes = [math.prod(image_shape), *widths]
    for n_in, n_out in itertools.pairwise(sizes):
        stack.linear(n_in, n_out, dropout=dropout)
    stack.linear(sizes[-1], n_classes, last=True)
    return stack.layers


@register("mlp", "fully connected, any widths (default: one hidden layer of 128)")
def mlp(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    widths: Sequence[int] = (128,),
    norm: str = "batch",
    norm_options: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
) -> Layers:
    """List the layers of a perceptron."""
    return perceptron(image_shape, n_classes, quantization, widths, norm, norm_options, dropout)


@register("mlp-large", "fully connected, two hidden layers of 1024")
def mlp_large(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    norm: str = "batch",
    norm_options: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
) -> Layers:
    """List the layers of pixels-1024-1024-classes."""
    return perceptron(
        image_shape, n_classes, quantization, (1024, 1024), norm, norm_options, dropout
    )


@register(
    "bnn-mlp",
    "fully connected, binary weights and activations, BatchNorm before each sign",
    weights="binary",
    activations="binary",
)
def bnn_mlp(
    *,
    image_shape: tuple[int, int, int],
    n_classes: int,
    quantization: Quantization,
    widths: Sequence[int] = (1024, 1024),
    norm: str = "batch",
    norm_options: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
) -> Layers:
    """List the layers of a perceptron whose hidden layers are xor and popcount."""
    return perceptron(image_shape, n_classes, quantization, widths, norm, norm_options, dropout)
