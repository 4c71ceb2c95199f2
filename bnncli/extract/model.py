"""A packed model, one of its layers or one of its neurons as a design."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from bnncli.circuit import Builder, Design, PixelInputs
from bnncli.circuit.arith import add_columns, weigh
from bnncli.data import find_source
from bnncli.errors import BnnError, UsageError
from bnncli.extract.activations import Bits, Images, Sums
from bnncli.extract.gates import automaton, classifier, is_automaton, network_layer
from bnncli.extract.neurons import advance, of_neuron
from bnncli.extract.scores import ClassLogits, class_design
from bnncli.packed import NumpyBackend
from bnncli.packed.elementwise import Affine
from bnncli.packed.layers import Conv2d, Layer, Linear
from bnncli.packed.logic import LogicNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.extract.neurons import Value
    from bnncli.packed import PackedModel

    Shape = tuple[int, int, int]

BITS_OF_BYTE = 8


def identifier(text: str) -> str:
    """Turn a name into one that languages accept: letters, digits and underscores.

    >>> identifier("gol-rule-B3-S23")
    'gol_rule_B3_S23'
    """
    word = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return word if word[:1].isalpha() else f"bnn_{word}".rstrip("_")


def design_of(
    packed: PackedModel,
    *,
    name: str,
    pure: bool = False,
    layer: int | None = None,
    neuron: int | None = None,
    image_shape: tuple[int, int, int] | None = None,
) -> Design:
    """Turn a packed model into a circuit with the same answers on every input.

    A classifier ends in class sums, or with ``pure`` in the index of its class as gates; an
    automaton is the rule of its neighbourhood. Layers count from 1, neurons from 0; of a layer the
    inputs are what it reads and the outputs what it gives. ``image_shape`` is by default that of
    the data set which the model names.
    """
    name = identifier(name)
    data = packed.metadata.get("data")
    first, tail = packed.steps[0], packed.steps[1:]
    if neuron is not None and layer is None:
        raise UsageError(f"--neuron {neuron}: give its layer too, such as --layer 1")
    if isinstance(first, LogicNetwork):
        if layer is not None:
            return network_layer(first, name, layer, neuron)
        if data is not None and is_automaton(data):
            return automaton(first, tail, name, data)
        n_pixels = int(first.pixel.max()) + 1
        if image_shape or data is not None:
            n_pixels = int(np.prod(image_shape or _image_shape(packed)))
        return classifier(first, tail, name, n_pixels=n_pixels, pure=pure)
    shape = image_shape or _image_shape(packed)
    if layer is not None:
        return _layer(packed, shape, name, layer, neuron, pure=pure)
    return _whole(packed, shape, name, pure=pure)


def n_layers(packed: PackedModel) -> int:
    """Count the layers of weights."""
    return sum(isinstance(step, Layer) for step in packed.steps)


def _image_shape(packed: PackedModel) -> Shape:
    data = packed.metadata.get("data")
    if data is None:
        raise BnnError(
            "packed model: does not say what it was trained on, so the size of its images is not "
            "known; freeze its run again"
        )
    return find_source(data).image_shape


def _pixel_bits(shape: Shape) -> tuple[Builder, Value, PixelInputs]:
    """Begin with every bit of every byte of an image as an input."""
    n_pixels = int(np.prod(shape))
    build = Builder(n_pixels * BITS_OF_BYTE)
    literals = np.array(build.inputs(), np.int64).reshape(*shape, BITS_OF_BYTE)
    masks = np.left_shift(1, np.arange(BITS_OF_BYTE)).astype(np.uint8)
    pixels = PixelInputs(
        n_pixels,
        np.repeat(np.arange(n_pixels, dtype=np.int32), BITS_OF_BYTE),
        np.zeros(build.n_inputs, np.uint8),
        np.tile(masks, n_pixels),
    )
    return build, Images(literals), pixels


def _whole(packed: PackedModel, shape: Shape, name: str, *, pure: bool) -> Design:
    build, value, pixels = _pixel_bits(shape)
    for step in packed.steps:
        value = advance(step, value, build)
    return class_design(build, _logits(value), name, pixels, pure=pure)


def _logits(value: Value) -> ClassLogits:
    if not isinstance(value, Sums) or value.n_positions != 1:
        raise BnnError("packed model: does not end in sums for classes; freeze a whole model")
    chain = [step for step in value.pending if isinstance(step, Affine)]
    if len(chain) != len(value.pending):
        raise BnnError("packed model: pools or flattens its class sums; freeze a whole model")
    weights = value.weights(0)
    literals = np.broadcast_to(value.literals(0), weights.shape)
    return ClassLogits(literals, weights, value.offset(0), value.inputs.unit, tuple(chain))


def _layer(
    packed: PackedModel, images: Shape, name: str, layer: int, neuron: int | None, *, pure: bool
) -> Design:
    """Build the steps from one layer of weights up to the next, on inputs of their own."""
    starts = [i for i, step in enumerate(packed.steps) if isinstance(step, Layer)]
    if not 1 <= layer <= len(starts):
        raise UsageError(f"--layer {layer}: {name} has layers 1 to {len(starts)}")
    start = starts[layer - 1]
    end = starts[layer] if layer < len(starts) else len(packed.steps)
    pixels = None
    value: Value
    if layer == 1:
        build, value, pixels = _pixel_bits(images)
        for step in packed.steps[:start]:
            value = advance(step, value, build)
    else:
        shape = _shape_before(packed, images, start)
        build = Builder(int(np.prod(shape)))
        value = Bits(np.array(build.inputs(), np.int64).reshape(shape))
    name = f"{name}_layer{layer}"
    steps, picked = packed.steps[start:end], neuron
    if neuron is not None and isinstance(steps[0], Linear):
        n_neurons = next(iter(steps[0].arrays().values())).shape[-2]  # of (…, out, words)
        if neuron >= n_neurons:
            raise UsageError(f"--neuron {neuron}: {name} has neurons 0 to {n_neurons - 1}")
        steps, picked = tuple(of_neuron(step, neuron) for step in steps), 0
    for step in steps:
        value = advance(step, value, build)
    if isinstance(value, Bits):
        return _neurons(value, build, name, pixels, neuron, picked)
    if neuron is not None and picked is not None:
        return _sum_of(_logits(value), build, f"{name}_neuron{neuron}", pixels, picked)
    return class_design(build, _logits(value), name, pixels, pure=pure)


def _shape_before(packed: PackedModel, images: Shape, start: int) -> tuple[int, ...]:
    """Give the shape of the ±1 values that a layer reads, from a run on one blank image."""
    step = packed.steps[start]
    if not isinstance(step, Conv2d):
        assert isinstance(step, Layer)
        return (step.n_bits,)
    x = np.zeros((1, *images), np.uint8)
    for before in packed.steps[:start]:
        x = before.bind(NumpyBackend())(x)
    return (*x.shape[1:3], step.in_channels)


def _neurons(
    value: Bits,
    build: Builder,
    name: str,
    pixels: PixelInputs | None,
    neuron: int | None,
    picked: int | None,
) -> Design:
    literals: Sequence[int] = value.literals.ravel().tolist()
    if picked is None:
        return Design(name, build.build(literals), pixels)
    if picked >= len(literals):
        raise UsageError(f"--neuron {neuron}: {name} has neurons 0 to {len(literals) - 1}")
    return Design(f"{name}_neuron{neuron}", build.build([literals[picked]]), pixels)


def _sum_of(
    logits: ClassLogits, build: Builder, name: str, pixels: PixelInputs | None, picked: int
) -> Design:
    """Build one class's sum as a number: (sum - least value) / step."""
    weights = logits.weights[picked] // logits.step
    columns, _ = weigh(logits.literals[picked].tolist(), weights.tolist())
    number = add_columns(build, columns)
    names = [f"sum{k}" for k in range(len(number))]
    return Design(name, build.build(number, (), names), pixels)
