"""The one bridge from torch to packed words: a latent model becomes a PackedModel.

Each torch module is lowered to steps, then chains from an integer sum to the next sign are fused
into thresholds. See ``book/decisions/thresholds.md``.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bnncli.bits import pack_bits, pack_signs
from bnncli.errors import BnnError
from bnncli.layers import Pixels, QuantConv2d, QuantLayer, QuantLinear
from bnncli.models import quantized_weights
from bnncli.norms import (
    BatchNorm,
    HomeostaticScaleShift,
    HomeostaticThreshold,
    RMSNorm,
    SimpleCentering,
)
from bnncli.packed import PackedModel, elementwise, fuse, layers, uniform
from bnncli.quantizers import BinaryGrid, Quantizer, TernaryGrid, UniformGrid
from bnncli.quantizers.scales import NoScale

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bnncli.freeze.netlist import Netlist
    from bnncli.packed import Step
    from bnncli.packed.step import Array


def freeze(
    model: nn.Sequential,
    *,
    sample_seed: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> PackedModel:
    """Turn a latent model into a packed one that gives what its hard form gives in evaluation.

    Weights are rounded to the nearest code, or drawn once at random with ``sample_seed``
    (BinaryConnect, arXiv:1511.00363). The model is not changed.
    """
    source = model if sample_seed is None else sampled_model(model, sample_seed)
    # A copy: evaluation mode and the move to the CPU must not show in the caller's model.
    hard = copy.deepcopy(source).cpu().eval()
    with torch.no_grad():
        steps = lower(hard, Layout())
    return PackedModel(fuse(steps), dict(metadata or {}))


@dataclass(frozen=True)
class FixedScale:
    """Use a scale computed elsewhere, whatever the latent."""

    value: Tensor | None

    def __call__(self, latent: Tensor) -> Tensor | None:
        """Give the scale."""
        return self.value


def sampled_model(model: nn.Sequential, seed: int) -> nn.Sequential:
    """Copy a model with every quantized weight drawn once at random and then fixed.

    Its hard form is exactly what ``freeze(model, sample_seed=seed)`` packs.
    """
    sampled = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight, quantizer in quantized_weights(sampled):
            if quantizer.adopts:  # its weights are codes already
                continue
            scale = FixedScale(quantizer.scale(weight))
            weight.copy_(quantizer.levels(*quantizer.codes(weight, generator)))
            fixed = Quantizer(quantizer.grid, scale=scale, surrogate=quantizer.surrogate)
            sampled.get_submodule(name.removesuffix(".weight")).weight_quantizer = fixed
    return sampled


def float_bytes(model: nn.Module) -> int:
    """Count the bytes of all weights, other parameters and real buffers at 4 bytes a number.

    However many agents stand behind a weight, the float network has one number there.
    """
    weights = {id(w): q.codes(w).codes for _, w, q in quantized_weights(model)}
    tensors = [*model.parameters(), *model.buffers()]
    return 4 * sum(weights.get(id(t), t).numel() for t in tensors if t.is_floating_point())


@dataclass
class Layout:
    """Where the features of the activations lie, as lowering walks through the layers.

    Packed images are channels last, so a flattened image has another order than in torch. Rather
    than moving activations, whatever follows has its parameters put in the packed order.
    """

    channels: int = 0
    flat: bool = False
    image_channels: int | None = None  # of a flattened image no layer has mixed yet
    netlist: Netlist | None = None  # of the gates so far, which become one step

    def gates(self, module: nn.Module) -> Netlist:
        """Give the netlist that a module of gates goes on with."""
        if self.netlist is None:
            raise BnnError(
                f"freeze: {type(module).__name__} without an encoder before it; begin the model "
                f"with Thermometer"
            )
        return self.netlist

    def end_gates(self, n_features: int) -> None:
        """Go on with rows of features that a sum of gates gave."""
        self.channels, self.flat, self.netlist = n_features, True, None

    def order(self, n_features: int) -> NDArray[np.intp]:
        """Give the torch index of each packed feature."""
        channels = self.image_channels or n_features
        return np.arange(n_features).reshape(channels, -1).T.ravel()


AffineNorm = BatchNorm | HomeostaticThreshold | SimpleCentering | HomeostaticScaleShift


@functools.singledispatch
def lower(module: nn.Module, layout: Layout) -> list[Step]:
    """Give the steps of a module in evaluation mode; register a function for each new type."""
    raise BnnError(
        f"freeze: no packed form for a layer of type {type(module).__name__}; build the model "
        f"from the layers that bnn list archs uses"
    )


@lower.register(nn.Sequential)
def _sequential(module: nn.Sequential, layout: Layout) -> list[Step]:
    return [step for child in module for step in lower(child, layout)]


@lower.register(nn.Identity)
@lower.register(nn.Dropout)
def _nothing(module: nn.Module, layout: Layout) -> list[Step]:
    return []


@lower.register(nn.ReLU)
def _relu(module: nn.ReLU, layout: Layout) -> list[Step]:
    return [elementwise.ReLU()]


@lower.register(Pixels)
def _pixels(module: Pixels, layout: Layout) -> list[Step]:
    layout.channels = len(module.gain)
    return [elementwise.Pixels(gain=vector(module.gain), offset=vector(module.offset))]


@lower.register(nn.Flatten)
def _flatten(module: nn.Flatten, layout: Layout) -> list[Step]:
    if layout.flat:
        return []
    layout.flat = True
    layout.image_channels = layout.channels
    return [elementwise.Flatten()]


@lower.register(nn.MaxPool2d)
def _max_pool(module: nn.MaxPool2d, layout: Layout) -> list[Step]:
    size = module.kernel_size
    plain = (module.stride, module.padding, module.dilation, module.ceil_mode) == (size, 0, 1, 0)
    if not isinstance(size, int) or not plain:
        raise BnnError(
            f"freeze: {module} given, expected a square window whose stride is its size, without "
            f"padding, dilation or ceil_mode"
        )
    return [elementwise.MaxPool(size=size)]


@lower.register(BatchNorm)
@lower.register(HomeostaticThreshold)
@lower.register(SimpleCentering)
@lower.register(HomeostaticScaleShift)
def _affine_norm(module: AffineNorm, layout: Layout) -> list[Step]:
    order = layout.order(module.num_features)
    gain, offset = (vector(values) for values in module.gain_and_offset())
    # One gain serves all channels and has no order.
    return [elementwise.Affine(gain=gain if len(gain) == 1 else gain[order], offset=offset[order])]


@lower.register(RMSNorm)
def _rms_norm(module: RMSNorm, layout: Layout) -> list[Step]:
    weight = vector(module.weight)[layout.order(module.num_features)]
    return [elementwise.RMSNorm(weight=weight, eps=module.eps)]


@lower.register(QuantLinear)
def _linear(module: QuantLinear, layout: Layout) -> list[Step]:
    weights = _weights(module)
    rows = weights.values[:, layout.order(module.in_features)]
    forms = _forms(module)
    step = forms.linear(rows, in_features=module.in_features)
    layout.flat, layout.image_channels = True, None
    return [*forms.inputs(), step, *_affine(weights.scale, module.bias)]


@lower.register(QuantConv2d)
def _conv2d(module: QuantConv2d, layout: Layout) -> list[Step]:
    weights = _weights(module)
    rows = weights.values.transpose(0, 2, 3, 1).reshape(module.out_channels, -1)
    forms = _forms(module)
    step = forms.conv2d(
        rows,
        in_channels=module.in_channels,
        kernel_size=_pair(module.kernel_size),
        stride=_pair(module.stride),
        padding=_pair(module.padding),
    )
    layout.channels = module.out_channels
    return [*forms.inputs(), step, *_affine(weights.scale, module.bias)]


def vector(values: Tensor) -> NDArray[np.float32]:
    """Give the values in order. Shape: (...) -> (n,)."""
    return values.detach().reshape(-1).numpy().astype(np.float32)


def _pair(values: Any) -> tuple[int, int]:
    height, width = values
    return int(height), int(width)


def _affine(scale: Tensor | None, bias: Tensor | None) -> list[Step]:
    """Scale and shift the sums; absent parts are 1 and 0, which change nothing."""
    if scale is None and bias is None:
        return []
    gain = np.ones(1, np.float32) if scale is None else vector(scale)
    offset = np.zeros(1, np.float32) if bias is None else vector(bias)
    return [elementwise.Affine(gain=gain, offset=offset)]


class _Weights(NamedTuple):
    """Codes with their scale, or the real weights of a layer without quantizer."""

    values: Array
    scale: Tensor | None


def _weights(module: QuantLayer) -> _Weights:
    if module.weight_quantizer is None:
        return _Weights(module.weight.detach().numpy().astype(np.float32), None)
    codes, scale = module.weight_quantizer.codes(module.weight)
    return _Weights(codes.numpy(), scale)


class _Forms(NamedTuple):
    """How a pair of grids is computed: steps on the input, and the layer's step from its rows."""

    inputs: Callable[[], list[Step]]
    linear: Callable[..., Step]
    conv2d: Callable[..., Step]


def _one_plane(step: Callable[..., Step]) -> Callable[..., Step]:
    return lambda rows, **shape: step(words=pack_signs(rows), **shape)


def _two_planes(step: Callable[..., Step]) -> Callable[..., Step]:
    def build(rows: Array, **shape: Any) -> Step:
        return step(planes=np.stack([pack_bits(rows < 0), pack_bits(rows <= 0)]), **shape)

    return build


def _all_planes(step: Callable[..., Step], grid: UniformGrid) -> Callable[..., Step]:
    return lambda rows, **shape: step(planes=grid.pack(rows), n_levels=grid.n_levels, **shape)


def _float_linear(rows: Array, *, in_features: int) -> Step:
    return layers.FloatLinear(weight=rows)


def _float_conv2d(
    rows: Array,
    *,
    in_channels: int,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Step:
    weight = np.ascontiguousarray(rows.T).reshape(*kernel_size, in_channels, -1)
    return layers.FloatConv2d(weight=weight, stride=stride, padding=padding)


# Keyed by the type of the grid; NoneType where there is no quantizer.
_INPUTS: dict[type, Callable[[], list[Step]]] = {
    NoneType: list,
    BinaryGrid: lambda: [elementwise.Sign()],
    TernaryGrid: lambda: [elementwise.RoundTernary()],
}
# Linear and convolutional, for weights on a grid.
_LAYERS: dict[type, Callable[[Any], tuple[Callable[..., Step], Callable[..., Step]]]] = {
    NoneType: lambda grid: (_float_linear, _float_conv2d),
    BinaryGrid: lambda grid: (_one_plane(layers.SignLinear), _one_plane(layers.SignConv2d)),
    TernaryGrid: lambda grid: (
        _two_planes(layers.TernaryLinear),
        _two_planes(layers.TernaryConv2d),
    ),
    UniformGrid: lambda grid: (
        _all_planes(uniform.UniformLinear, grid),
        _all_planes(uniform.UniformConv2d, grid),
    ),
}
_XNOR = _Forms(
    lambda: [elementwise.Binarize()], _one_plane(layers.XnorLinear), _one_plane(layers.XnorConv2d)
)
# (weights, inputs) that are computed on packed inputs.
_ON_BITS: dict[tuple[type, type], _Forms] = {(BinaryGrid, BinaryGrid): _XNOR}


def _forms(module: QuantLayer) -> _Forms:
    inputs, weights = module.input_quantizer, module.weight_quantizer
    if inputs is not None and not isinstance(inputs.scale, NoScale):
        raise BnnError(
            f"freeze: inputs quantized with the scale {inputs.scale}, which changes with the "
            f"data; train with activations that have no scale"
        )
    grid = getattr(weights, "grid", None)
    key = (type(grid), type(getattr(inputs, "grid", None)))
    if key in _ON_BITS:
        return _ON_BITS[key]
    if key[0] not in _LAYERS or key[1] not in _INPUTS:
        raise BnnError(
            f"freeze: no packed form for weights on {key[0].__name__} with inputs on "
            f"{key[1].__name__}; binary, ternary, uniform and float weights have one"
        )
    return _Forms(_INPUTS[key[1]], *_LAYERS[key[0]](grid))
