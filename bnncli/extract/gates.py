"""Gate networks and automata as designs: their gates are circuits already."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.circuit import FIRST_INPUT, TRUE, Builder, Circuit, Design, PixelInputs
from bnncli.circuit.arith import ONE
from bnncli.circuit.design import NEIGHBOURS
from bnncli.circuit.levels import gate_levels
from bnncli.data import find_source
from bnncli.data.boards import PREFIX as BOARD_PREFIX
from bnncli.data.rules import PREFIX as RULE_PREFIX
from bnncli.errors import BnnError, UsageError
from bnncli.extract.scores import ClassLogits, class_design, class_sums, integer_lines
from bnncli.packed import NumpyBackend
from bnncli.packed.elementwise import Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bnncli.packed import Step
    from bnncli.packed.logic import LogicNetwork

NEIGHBOUR_NAMES = ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")
MIDDLE_ROW = 3
"""The cell of a 3x3 neighbourhood at which its middle row begins."""

ALIVE = 255
"""The byte that stands for a live cell in images of neighbourhoods."""


def is_automaton(data: str | None) -> bool:
    """Tell whether what a network learned is the local rule of a cellular automaton."""
    return data is not None and data.startswith((RULE_PREFIX, BOARD_PREFIX))


def automaton(network: LogicNetwork, tail: Sequence[Step], name: str, data: str) -> Design:
    """Give the local rule of an automaton: neighbourhoods in, next states out.

    An elementary rule reads the middle row of its neighbourhood: rows are boards of their own.
    """
    source = find_source(data)
    channels = source.channels
    _check_states(network, tail, channels, name)
    first = MIDDLE_ROW if source.height == 1 else 0
    cells = first + network.pixel.astype(np.int64)
    names = [
        place if channels == 1 else f"{place}{channel}"
        for channel in range(channels)
        for place in NEIGHBOUR_NAMES
    ]
    ends = ["alive"] if channels == 1 else [f"next{channel}" for channel in range(channels)]
    n_cells = channels * NEIGHBOURS
    # A threshold of 255 is above every byte, so that its bit is never true.
    inputs = np.where(network.threshold < ALIVE, FIRST_INPUT + cells, 0)
    moved = np.concatenate([[0, 1], inputs, np.arange(network.n_gates) + FIRST_INPUT + n_cells])
    wires = (moved[network.a], moved[network.b], moved[network.outputs])
    circuit = Circuit(n_cells, network.op, *wires, tuple(names), tuple(ends))
    return Design(name, circuit, channels=channels, task=data)


def _check_states(network: LogicNetwork, tail: Sequence[Step], channels: int, name: str) -> None:
    """Refuse scores that do not say just what the output bits say."""
    counts = np.zeros((2, network.n_groups), np.float32)
    counts[1] = 1
    scores = _through(tail, counts)
    two = channels == 1 and scores.shape[1] == 2  # scores of dead and alive
    states = scores[:, 1:] > scores[:, :1] if two else scores > 0
    whole = states.shape == (2, channels) and not states[0].any() and bool(states[1].all())
    if network.group_size != 1 or network.n_groups != channels or not whole:
        raise BnnError(
            f"{name}: {len(network.outputs)} output bits are not the next states of {channels} "
            f"channels; train it again with: bnn train --arch gol or dlca"
        )


def _through(tail: Sequence[Step], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    x = counts.copy()
    for step in tail:
        x = step.bind(NumpyBackend())(x)
    return x


def classifier(
    network: LogicNetwork,
    tail: Sequence[Step],
    name: str,
    *,
    n_pixels: int,
    pure: bool,
) -> Design:
    """Give a network of thresholds, gates and class sums; with ``pure`` the class as gates."""
    circuit = network.circuit()
    pixels = PixelInputs(n_pixels, network.pixel, network.threshold)
    build = Builder(circuit.n_inputs)
    if network.n_groups == 1 and not all(isinstance(step, Affine) for step in tail):
        return _one_bit(network, tail, name, pixels)
    chain = tuple(step for step in tail if isinstance(step, Affine))
    if len(chain) != len(tail):
        raise BnnError(f"{name}: steps behind the class counts that are no scales")
    # Outputs as they are: the declared circuit is the stored one, gate for gate.
    stored = np.where(network.outputs == TRUE, ONE, 2 * network.outputs.astype(np.int64))
    logits = _counts(network, stored, chain)
    if not pure and integer_lines(logits):
        outputs, sums = class_sums(build, logits)
        ends: NDArray[Any] = np.array(outputs, np.int64) // 2
        return Design(name, dataclasses.replace(circuit, outputs=ends), pixels, sums)
    signals = np.array(build.add(circuit, build.inputs()))
    return class_design(
        build, _counts(network, signals[network.outputs], chain), name, pixels, pure=pure
    )


def _counts(
    network: LogicNetwork, literals: NDArray[Any], chain: tuple[Affine, ...]
) -> ClassLogits:
    shape = (network.n_groups, network.group_size)
    offset = np.zeros(network.n_groups, np.int64)
    return ClassLogits(literals.reshape(shape), np.ones(shape, np.int64), offset, 1.0, chain)


def _one_bit(network: LogicNetwork, tail: Sequence[Step], name: str, pixels: PixelInputs) -> Design:
    """Give a network whose one output bit is the class."""
    scores = _through(tail, np.array([[0], [1]], np.float32))
    if network.group_size != 1 or scores.argmax(axis=1).tolist() != [0, 1]:
        raise BnnError(f"{name}: its one count is not the class; expected scores that follow a bit")
    circuit = dataclasses.replace(network.circuit(), output_names=("class0",))
    return Design(name, circuit, pixels)


def network_layer(network: LogicNetwork, name: str, layer: int, neuron: int | None) -> Design:
    """Give the gates of one level as a circuit of the signals that they read."""
    levels = gate_levels(network.first_gate, network.a, network.b)
    if not 1 <= layer <= levels.max():
        raise UsageError(f"--layer {layer}: {name} has layers 1 to {levels.max()}")
    gates = np.flatnonzero(levels == layer)
    if neuron is not None:
        if neuron >= len(gates):
            raise UsageError(f"--neuron {neuron}: layer {layer} has gates 0 to {len(gates) - 1}")
        gates = gates[neuron : neuron + 1]
    a, b = network.a[gates], network.b[gates]
    read = np.unique(np.concatenate([a, b]))
    read = read[read >= FIRST_INPUT]
    moved: NDArray[Any] = np.arange(network.n_signals)
    moved[read] = FIRST_INPUT + np.arange(len(read))
    driven: NDArray[Any] = np.arange(len(gates)) + FIRST_INPUT + len(read)
    circuit = Circuit(
        len(read),
        network.op[gates],
        moved[a],
        moved[b],
        driven,
        tuple(f"s{signal}" for signal in read),
        tuple(f"s{network.first_gate + gate}" for gate in gates),
    )
    return Design(f"{name}_layer{layer}", circuit)
