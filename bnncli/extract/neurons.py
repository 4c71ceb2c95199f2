"""Networks of ±1 activations as gates: each neuron a count of agreements and a threshold.

The steps of a packed model are walked through with literals instead of values. Weights are fixed,
so a product with one is a literal or its complement, and a sum behind them is a number of literals
that carry-save adders count; scale, norm and sign behind it are one comparison with a constant.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnncli.bits import unpack_bits, unpack_signs
from bnncli.circuit.arith import weighted_at_least
from bnncli.errors import BnnError
from bnncli.extract.activations import Bits, Images, Numbers, Sums
from bnncli.packed import elementwise, layers, uniform
from bnncli.packed.elementwise import Affine, MaxPool, PoolBits
from bnncli.packed.thresholds import falling, find_thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.circuit import Builder
    from bnncli.extract.activations import Ints
    from bnncli.packed.step import Step

Value = Images | Bits | Numbers | Sums

PLANES = 3
"""Axes of weights in planes: (planes, out, words)."""

PIXEL_STEPS = 256
"""Pixels enter as whole multiples of 1 / 256."""

MAX_LITERALS = 2**21
"""Products with a literal in one layer: more, at two or three gates each, would fill the memory."""


def _refused(step: Step) -> BnnError:
    return BnnError(
        f"the step {step.kind} computes with real numbers, but a circuit is made of bits; give a "
        f"network of gates (--arch logic-mlp) or of ±1 weights and activations (--arch bnn-mlp)"
    )


@functools.singledispatch
def advance(step: Step, value: Value, build: Builder) -> Value:
    """Give what a step makes of a value; register a function for each kind of step."""
    raise _refused(step)


@advance.register(elementwise.Pixels)
def _pixels(step: elementwise.Pixels, value: Value, build: Builder) -> Value:
    if not isinstance(value, Images):
        raise _refused(step)
    scaled = [np.float64(x) * PIXEL_STEPS for x in (step.gain, step.offset)]
    gain, offset = (np.rint(x).astype(np.int64) for x in scaled)
    if not (np.array_equal(gain, scaled[0]) and np.array_equal(offset, scaled[1])):
        raise BnnError(
            f"pixels become real numbers, not whole multiples of 1/{PIXEL_STEPS}; train with "
            f"--pixels signed or unit"
        )
    literals = value.literals.transpose(1, 2, 0, 3)
    weights = gain[:, None] << np.arange(literals.shape[-1])
    offsets = np.broadcast_to(offset, literals.shape[:-1])
    return Numbers(literals, np.broadcast_to(weights, literals.shape), offsets, 1 / PIXEL_STEPS)


@advance.register(elementwise.Flatten)
def _flatten(step: elementwise.Flatten, value: Value, build: Builder) -> Value:
    if isinstance(value, Sums):
        return value.then(step)
    if isinstance(value, Bits):
        return Bits(value.literals.reshape(-1))
    if isinstance(value, Numbers):
        return value.reshaped(-1)
    raise _refused(step)


@advance.register(elementwise.FlattenBits)
def _flatten_bits(step: elementwise.FlattenBits, value: Value, build: Builder) -> Value:
    if not isinstance(value, Bits):
        raise _refused(step)
    return Bits(value.literals.reshape(-1))


@advance.register(elementwise.Affine)
@advance.register(elementwise.MaxPool)
def _behind_sums(step: Affine | MaxPool, value: Value, build: Builder) -> Value:
    if not isinstance(value, Sums):
        raise _refused(step)
    return value.then(step)


@advance.register(elementwise.Binarize)
@advance.register(elementwise.Sign)
def _sign(step: elementwise.Binarize | elementwise.Sign, value: Value, build: Builder) -> Value:
    if isinstance(value, Bits):
        return value
    if not isinstance(value, Sums):
        raise _refused(step)
    chain = [s for s in value.pending if isinstance(s, Affine)]
    bits = Bits(_signs(value, chain, build))
    for i, pending in enumerate(value.pending):
        if isinstance(pending, MaxPool):
            after = [s for s in value.pending[i:] if isinstance(s, Affine)]
            rows = falling(after, len(value.matrix))
            bits = Bits(_pooled(bits.literals, pending.size, rows, build))
        elif not isinstance(pending, Affine):
            bits = Bits(bits.literals.reshape(-1))
    return bits


@advance.register(PoolBits)
def _pool_bits(step: PoolBits, value: Value, build: Builder) -> Value:
    if not isinstance(value, Bits):
        raise _refused(step)
    some = unpack_bits(step.any_mask, value.literals.shape[-1])
    return Bits(_pooled(value.literals, step.size, some, build))


def _pooled(literals: Ints, size: int, some: np.ndarray, build: Builder) -> Ints:
    """Combine windows: all of their bits, or any where ``some`` says so."""
    height, width, channels = literals.shape
    out = np.empty((height // size, width // size, channels), np.int64)
    for y, x, c in np.ndindex(out.shape):
        window = literals[y * size : (y + 1) * size, x * size : (x + 1) * size, c]
        combine = build.or_ if some[c] else build.and_
        out[y, x, c] = functools.reduce(combine, window.ravel().tolist())
    return out


@advance.register(layers.SignWeights)
def _sign_weights(step: layers.SignWeights, value: Value, build: Builder) -> Value:
    return _sums(step, value, unpack_signs(step.words, step.n_bits).astype(np.int64))


@advance.register(layers.TernaryWeights)
def _ternary(step: layers.TernaryWeights, value: Value, build: Builder) -> Value:
    planes = unpack_signs(step.planes, step.n_bits).astype(np.int64)
    return _sums(step, value, (planes[0] + planes[1]) // 2)


@advance.register(uniform.UniformWeights)
def _uniform(step: uniform.UniformWeights, value: Value, build: Builder) -> Value:
    return _sums(step, value, step.weights().astype(np.int64))


@advance.register(layers.XnorWeights)
def _xnor(step: layers.XnorWeights, value: Value, build: Builder) -> Value:
    return _sums(step, value, unpack_signs(step.words, step.n_bits).astype(np.int64))


@advance.register(layers.ThresholdWeights)
def _threshold(step: layers.ThresholdWeights, value: Value, build: Builder) -> Value:
    sums = _sums(step, value, unpack_signs(step.words, step.n_bits).astype(np.int64))
    below = _Threshold(step.thresholds.astype(np.int64), np.zeros(len(step.words), np.bool_))
    return Bits(_compared(sums, below, build))


def _sums(step: layers.Layer, value: Value, matrix: Ints) -> Sums:
    if isinstance(value, Bits):
        value = value.numbers()
    if not isinstance(value, Numbers):
        raise _refused(step)
    if isinstance(step, layers.Conv2d):
        inputs, places = _windows(value, step)
    else:
        inputs, places = value.reshaped(1, -1), None
    if inputs.offset.shape[-1] != step.n_bits:
        raise BnnError(
            f"{step.kind}: {step.n_bits} weights an output for {inputs.offset.shape[-1]} inputs"
        )
    products = inputs.literals.size * len(matrix)
    if products > MAX_LITERALS:
        raise BnnError(
            f"{step.kind}: {products:,} products with a bit, expected at most {MAX_LITERALS:,} in "
            f"a layer of a circuit; extract one neuron with --layer and --neuron, or train a "
            f"smaller network"
        )
    return Sums(inputs, matrix, places)


def _windows(value: Numbers, step: layers.Conv2d) -> tuple[Numbers, tuple[int, int]]:
    """Gather what each output position reads; beyond an edge lies 0.

    Shape: (h, w, channels, b) -> (h' · w', taps · channels, b).
    """
    (kernel_h, kernel_w), (step_h, step_w) = step.kernel_size, step.stride
    (pad_h, pad_w) = step.padding
    height, width = value.offset.shape[:2]
    rows = np.pad(
        np.arange(height * width).reshape(height, width) + 1, [(pad_h,) * 2, (pad_w,) * 2]
    )
    index = np.lib.stride_tricks.sliding_window_view(rows, (kernel_h, kernel_w))
    index = index[::step_h, ::step_w]
    places = index.shape[:2]
    flat = value.reshaped(height * width, -1)
    picked = index.reshape(places[0] * places[1], kernel_h * kernel_w)

    def gather(values: Ints) -> Ints:
        # Entry 0 stands for what lies beyond the edge.
        with_edge = np.concatenate([np.zeros_like(values[:1]), values])
        gathered: Ints = with_edge[picked].reshape(len(picked), -1, *values.shape[2:])
        return gathered

    inputs = Numbers(gather(flat.literals), gather(flat.weights), gather(flat.offset), value.unit)
    return inputs, (int(places[0]), int(places[1]))


def of_neuron(step: Step, neuron: int) -> Step:
    """Keep one output of a linear layer, or of a step that follows one."""
    if isinstance(step, Affine):
        one = {n: v if len(v) == 1 else v[neuron : neuron + 1] for n, v in step.arrays().items()}
        return dataclasses.replace(step, **one)
    if isinstance(step, layers.Linear):
        rows: dict[str, Any] = {
            n: v[:, neuron : neuron + 1] if v.ndim == PLANES else v[neuron : neuron + 1]
            for n, v in step.arrays().items()
        }
        return dataclasses.replace(step, **rows)
    return step


class _Threshold(NamedTuple):
    """bit = s < bound, or -s < bound where flipped, of sums s in units. Shape: (out,)."""

    bound: Ints
    flipped: np.ndarray


def _signs(sums: Sums, chain: Sequence[Affine], build: Builder) -> Ints:
    """Build the signs behind sums and a chain of float steps."""
    unit = Affine(gain=np.full(1, sums.inputs.unit, np.float32), offset=np.zeros(1, np.float32))
    reach = np.abs(sums.inputs.weights).sum(axis=-1) + np.abs(sums.inputs.offset)
    largest = int((reach @ np.abs(sums.matrix).T).max())
    bound, flipped = find_thresholds([unit, *chain], largest, len(sums.matrix))
    return _compared(sums, _Threshold(bound.astype(np.int64), flipped), build)


def _compared(sums: Sums, below: _Threshold, build: Builder) -> Ints:
    out = np.empty((sums.n_positions, len(sums.matrix)), np.int64)
    for position in range(sums.n_positions):
        literals, weights = sums.literals(position).tolist(), sums.weights(position)
        offset = sums.offset(position)
        for k, row in enumerate(weights):
            sign = -1 if below.flipped[k] else 1
            bound = int(below.bound[k] - sign * offset[k])
            reached = weighted_at_least(build, literals, (sign * row).tolist(), bound)
            out[position, k] = build.not_(reached)
    return out[0] if sums.places is None else out.reshape(*sums.places, -1)
