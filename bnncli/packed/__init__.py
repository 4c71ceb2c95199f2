"""Packed models: words instead of floats, evaluated and stored without torch."""

from bnncli.packed.backend import Backend, BitMatrix, ConvGeometry
from bnncli.packed.file import load_packed, save_packed
from bnncli.packed.fuse import fuse
from bnncli.packed.model import ModelSize, PackedModel, Plan, model_size
from bnncli.packed.reference import NumpyBackend
from bnncli.packed.step import STEPS, Step

__all__ = [
    "STEPS",
    "Backend",
    "BitMatrix",
    "ConvGeometry",
    "ModelSize",
    "NumpyBackend",
    "PackedModel",
    "Plan",
    "Step",
    "fuse",
    "load_packed",
    "model_size",
    "save_packed",
]
