"""Layers: quantized linear and convolution, and the pixel scaling in front of them."""

from bnncli.layers.pixels import PIXEL_SCALINGS, Pixels
from bnncli.layers.quant import QuantConv2d, QuantLayer, QuantLinear

__all__ = ["PIXEL_SCALINGS", "Pixels", "QuantConv2d", "QuantLayer", "QuantLinear"]
