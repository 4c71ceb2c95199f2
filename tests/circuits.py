"""Circuits for tests: drawn by Hypothesis, or by a generator for larger ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from bnncli.circuit import FIRST_INPUT, Builder, Circuit
from bnncli.gates import TRIVIAL

if TYPE_CHECKING:
    from collections.abc import Sequence

PROPER = [table for table in range(16) if table not in TRIVIAL]


def random_circuit(
    n_inputs: int,
    n_gates: int,
    n_outputs: int,
    seed: int,
    *,
    reach: int | None = None,
    tables: Sequence[int] = range(16),
) -> Circuit:
    """Draw a circuit; with ``reach`` a gate reads at most so far back."""
    rng = np.random.default_rng(seed)
    limits = np.arange(FIRST_INPUT + n_inputs, FIRST_INPUT + n_inputs + n_gates)
    lowest = np.zeros_like(limits) if reach is None else np.maximum(limits - reach, 0)
    a, b = rng.integers(lowest, limits, (2, n_gates))
    op = rng.choice(tables, n_gates)
    outputs = rng.integers(0, FIRST_INPUT + n_inputs + n_gates, n_outputs)
    return Circuit(n_inputs, op, a, b, outputs)


@st.composite
def circuits(
    draw: st.DrawFn, *, max_inputs: int = 7, max_gates: int = 30, max_outputs: int = 4
) -> Circuit:
    """Draw any circuit: constants, wires, dead gates and repeated outputs included."""
    n_inputs = draw(st.integers(0, max_inputs))
    gates = []
    for i in range(draw(st.integers(0, max_gates))):
        before = st.integers(0, FIRST_INPUT + n_inputs + i - 1)
        gates.append((draw(st.integers(0, 15)), draw(before), draw(before)))
    ends = st.integers(0, FIRST_INPUT + n_inputs + len(gates) - 1)
    outputs = draw(st.lists(ends, min_size=1, max_size=max_outputs))
    return Circuit.of_gates(n_inputs, gates, outputs)


def brute_force(circuit: Circuit) -> np.ndarray:
    """Give the outputs for all combinations, a case and a gate at a time."""
    out = np.zeros((circuit.n_outputs, 2**circuit.n_inputs), np.bool_)
    for case in range(2**circuit.n_inputs):
        values = [0, 1, *(case >> i & 1 for i in range(circuit.n_inputs))]
        for op, a, b in zip(circuit.op, circuit.a, circuit.b, strict=True):
            values.append(int(op) >> (values[a] + 2 * values[b]) & 1)
        out[:, case] = [values[i] for i in circuit.outputs]
    return out


FULL_ADDER = Circuit.of_gates(
    3,
    [(0x6, 2, 3), (0x6, 5, 4), (0x8, 2, 3), (0x8, 5, 4), (0xE, 7, 8)],
    [6, 9],
    ("a", "b", "carry"),
    ("sum", "next"),
)


def life_circuit() -> Circuit:
    """Build the Game of Life: sums of two or three cells a row, the rows' sums added, 2 or 3."""
    build = Builder(9)
    cells = np.array(build.inputs()).reshape(3, 3).tolist()

    def add(x: int, y: int, z: int) -> tuple[int, int]:
        half = build.xor(x, y)
        return build.xor(half, z), build.or_(build.and_(x, y), build.and_(half, z))

    above, below = (add(row[0], row[2], row[1]) for row in (cells[0], cells[2]))
    left, middle, right = cells[1]
    ones, carry = add(above[0], below[0], build.xor(left, right))
    three, both = build.xor(above[1], below[1]), build.and_(above[1], below[1])
    four = build.and_(left, right)
    # One two and no more: exactly one of the four carries.
    odd, pair = build.xor(four, carry), build.and_(four, carry)
    one = build.xor(three, odd)
    more = build.or_(build.or_(both, pair), build.and_(three, odd))
    alive = build.or_(ones, middle)
    return build.build([build.and_(build.and_(one, build.not_(more)), alive)])


def tiled_rule(channels: int, tile: tuple[int, int], n_gates: int, seed: int) -> Circuit:
    """Draw the rule of a cell: the same gates on each tile of its neighbourhood, then others."""
    build = Builder(9 * channels)
    cells = np.array(build.inputs()).reshape(channels, 3, 3)
    tiles = np.lib.stride_tricks.sliding_window_view(cells, tile, (1, 2))
    tiles = tiles.transpose(1, 2, 0, 3, 4).reshape(-1, channels * tile[0] * tile[1])
    part = random_circuit(tiles.shape[1], n_gates // 2, 0, seed, reach=8, tables=PROPER)
    ends = [x for inputs in tiles.tolist() for x in build.add(part, inputs)[-2:]]
    final = random_circuit(len(ends), n_gates // 2, 0, seed + 1, reach=len(ends), tables=PROPER)
    return build.build(build.add(final, ends)[-channels:])


@st.composite
def local_rules(draw: st.DrawFn, *, max_channels: int = 2, max_gates: int = 30) -> Circuit:
    """Draw the rule of a cell: any circuit, or one of like rows, like columns or like pairs."""
    channels = draw(st.integers(1, max_channels))
    seed, n_gates = draw(st.integers(0, 2**32)), draw(st.integers(0, max_gates))
    tile = draw(st.sampled_from([(3, 3), (1, 3), (3, 1), (1, 2), (2, 1)]))
    if tile == (3, 3):
        return random_circuit(9 * channels, n_gates, channels, seed, reach=12)
    return tiled_rule(channels, tile, n_gates, seed)


def brute_step(circuit: Circuit, board: np.ndarray) -> np.ndarray:
    """Step a torus a gate of all cells at a time, with a copy of the board for each input."""
    values = [np.zeros(board.shape[1:], int), np.ones(board.shape[1:], int)]
    for channel in board:
        for place in range(9):
            shift = (1 - place // 3, 1 - place % 3)
            values.append(np.roll(channel, shift, (0, 1)).astype(int))
    for op, a, b in zip(circuit.op, circuit.a, circuit.b, strict=True):
        values.append(int(op) >> (values[a] + 2 * values[b]) & 1)
    return np.stack([values[i] for i in circuit.outputs]).astype(np.uint8)


def random_board(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Draw cells."""
    return np.random.default_rng(seed).integers(0, 2, shape, dtype=np.uint8)


def counting_life() -> Circuit:
    """Build the Game of Life from half adders that count up to eight: 46 gates, far from few."""
    build = Builder(9)
    cells = build.inputs()
    bits = [0, 0, 0, 0]
    for cell in cells[:4] + cells[5:]:
        carry = cell
        for i in range(4):
            bits[i], carry = build.xor(bits[i], carry), build.and_(bits[i], carry)
    three = build.and_(bits[0], bits[1])
    two = build.and_(build.not_(bits[0]), bits[1])
    few = build.not_(build.or_(bits[2], bits[3]))
    alive = build.and_(few, build.or_(three, build.and_(two, cells[4])))
    return build.build([alive])
