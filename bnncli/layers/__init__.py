"""Layers: quantized linear and convolution, gates, and what turns pixels into their inputs."""

from bnncli.layers.encoders import THRESHOLDS, Thermometer
from bnncli.layers.logic import (
    SAMPLINGS,
    Annealed,
    BitLogits,
    FixedWiring,
    GroupSum,
    LearnedWiring,
    LogicDense,
    set_progress,
)
from bnncli.layers.logic_conv import Features, LogicConv2d, OrPool2d, Planes
from bnncli.layers.parametrization import INITS, PARAMETRIZATIONS
from bnncli.layers.pixels import PIXEL_SCALINGS, Pixels
from bnncli.layers.quant import QuantConv2d, QuantLayer, QuantLinear
from bnncli.layers.wiring import (
    WIRINGS,
    Wires,
    draw_candidates,
    draw_local_candidates,
    draw_wires,
)

__all__ = [
    "INITS",
    "PARAMETRIZATIONS",
    "PIXEL_SCALINGS",
    "SAMPLINGS",
    "THRESHOLDS",
    "WIRINGS",
    "Annealed",
    "BitLogits",
    "Features",
    "FixedWiring",
    "GroupSum",
    "LearnedWiring",
    "LogicConv2d",
    "LogicDense",
    "OrPool2d",
    "Pixels",
    "Planes",
    "QuantConv2d",
    "QuantLayer",
    "QuantLinear",
    "Thermometer",
    "Wires",
    "draw_candidates",
    "draw_local_candidates",
    "draw_wires",
    "set_progress",
]
