"""The one bridge from torch to packed words."""

from bnncli.freeze import automaton, gates  # noqa: F401 (register the lowering of gates)
from bnncli.freeze.lowering import FixedScale, Layout, float_bytes, freeze, lower, sampled_model

__all__ = ["FixedScale", "Layout", "float_bytes", "freeze", "lower", "sampled_model"]
