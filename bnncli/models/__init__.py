"""Architectures by name. Importing this package registers them all."""

from bnncli.models import conv, dlca, gol, logic, mlp
from bnncli.models.registry import (
    ARCHS,
    Arch,
    Quantization,
    build_model,
    find_arch,
    quantized_weights,
)

__all__ = [
    "ARCHS",
    "Arch",
    "Quantization",
    "build_model",
    "conv",
    "dlca",
    "find_arch",
    "gol",
    "logic",
    "mlp",
    "quantized_weights",
]
