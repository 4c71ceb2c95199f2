"""Order the gates of a network and give every signal a slot: the program of the C interpreter.

Each level is sorted by truth table into runs without branches that write to consecutive slots. The
slots of a run are free again after the last level that reads one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import unpack_bits
from bnncli.circuit import FIRST_INPUT, TRUE, Builder, Circuit
from bnncli.circuit.levels import gate_levels
from bnncli.gates import NOT_A, SWAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

BLOCK_PIXELS = 64
NEVER = 255
"""No byte is above this threshold."""

MAX_NARROW = 2**16
"""Slots that 16 bits can number."""

NOR = 0x1
TO_SWAP = (0x4, 0xB)
"""Of these and the tables with exchanged inputs the interpreter knows only the latter."""

WINDOW = 384
"""Gates that are sorted by truth table together: what they read and write stays in the L1 cache."""


@dataclass(frozen=True, eq=False)
class InputBlocks:
    """Comparisons of 64 neighbouring pixels with a threshold each; see ``bnn_logic_program``."""

    offsets: NDArray[np.uint32]
    thresholds: NDArray[np.uint8]
    used: NDArray[np.uint64]
    span: int

    def comparisons(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Give the pixel and the threshold of each slot, in order."""
        block, position = np.nonzero(unpack_bits(self.used[:, None], BLOCK_PIXELS))
        return self.offsets[block].astype(np.int64) + position, self.thresholds[block, position]


@dataclass(frozen=True, eq=False)
class LogicProgram:
    """What the C interpreter runs; the fields are those of ``bnn_logic_program``.

    Shapes: runs (n, 2) of table and count; operands (gates, 3) of slots out, a and b; ends and
    biases (n_groups,).
    """

    inputs: InputBlocks
    n_inputs: int
    runs: NDArray[np.uint32]
    operands: NDArray[np.uint32]
    ends: NDArray[np.uint32]
    counted: NDArray[np.uint32]
    biases: NDArray[np.int32]
    n_planes: int
    n_slots: int

    @property
    def n_gates(self) -> int:
        """Count the gates that are computed."""
        return len(self.operands)


def _blocks(keys: NDArray[np.int64]) -> tuple[InputBlocks, NDArray[np.int64]]:
    """Arrange inputs, each pixel · 256 + threshold, in blocks; give the slot of each as well.

    ``keys`` are sorted and different. A pixel with k thresholds is in k blocks.
    """
    pixels, thresholds = keys >> 8, keys & 255
    last = int(pixels[-1]) if len(keys) else 0
    span = min(BLOCK_PIXELS, last + 1)
    starts = [-BLOCK_PIXELS]
    for pixel in np.unique(pixels).tolist():
        if pixel >= starts[-1] + span:
            starts.append(min(pixel, last + 1 - span))
    chunk = np.searchsorted(starts, pixels, side="right") - 1
    # How many smaller thresholds the same pixel has.
    rank = np.arange(len(keys)) - np.searchsorted(pixels, pixels)
    order = np.lexsort((pixels, rank, chunk))
    places, block = np.unique(chunk[order] << 32 | rank[order], return_inverse=True)
    offsets = np.array(starts)[places >> 32]
    position = pixels[order] - offsets[block]
    table = np.full((len(places), BLOCK_PIXELS), NEVER, dtype=np.uint8)
    table[block, position] = thresholds[order]
    used = np.zeros(len(places), dtype=np.uint64)
    np.bitwise_or.at(used, block, np.uint64(1) << position.astype(np.uint64))
    slots = np.empty(len(keys), dtype=np.int64)
    slots[order] = np.arange(len(keys))
    return InputBlocks(offsets.astype(np.uint32), table, used, span), slots


def walk(a: list[int], b: list[int]) -> list[int]:
    """Order gates so that neighbours share an operand wherever possible.

    From a gate go on to another one that reads its b, else its a, else to the first that is left.
    """
    readers: dict[int, list[int]] = {}
    for gate, (x, y) in enumerate(zip(a, b, strict=True)):
        readers.setdefault(x, []).append(gate)
        readers.setdefault(y, []).append(gate)
    done = [False] * len(a)
    order: list[int] = []
    for start in range(len(a)):
        gate = start
        while not done[gate]:
            done[gate] = True
            order.append(gate)
            for left in (readers[b[gate]], readers[a[gate]]):
                while left and done[left[-1]]:
                    left.pop()
                if left:
                    gate = left[-1]
                    break
    return order


def order_gates(circuit: Circuit) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Give the order in which gates are computed and the runs (truth table, count) in it."""
    op, a, b = circuit.op.astype(np.int64), circuit.a, circuit.b
    levels = gate_levels(circuit.first_gate, a, b)
    by_level = np.argsort(levels, kind="stable")
    starts = np.flatnonzero(np.diff(levels[by_level], prepend=0))
    parts = []
    for members in np.split(by_level, starts[1:]):
        walked = members[walk(a[members].tolist(), b[members].tolist())]
        window = np.arange(len(members)) // WINDOW
        parts.append(walked[np.lexsort((op[walked], window))])
    order = np.concatenate(parts)
    # Equal neighbours run together across windows, but not across levels.
    begin = np.flatnonzero(np.diff(op[order], prepend=0) | np.diff(levels[order], prepend=0))
    return order, np.stack([op[order][begin], np.diff(begin, append=len(order))], axis=1)


def allocate(
    circuit: Circuit, order: list[int], slot: list[int]
) -> tuple[list[tuple[int, int, int]], int]:
    """Give each gate a slot: the one that became free last, which is nearest to the processor.

    ``slot`` holds the slots of the inputs and is filled. A slot is free once the last gate that
    reads it is computed, and for the output of this very gate. Gives (out, a, b) of each gate in
    order and the number of slots.
    """
    reads = [0] * len(slot)
    left, right = circuit.a.tolist(), circuit.b.tolist()
    for signal in (*left, *right, *circuit.outputs.tolist()):
        reads[signal] += 1
    size = 1 + max(slot, default=0)
    free: list[int] = []
    operands = []
    for gate in order:
        a, b = left[gate], right[gate]
        for signal in (a, b):
            reads[signal] -= 1
            if not reads[signal]:
                free.append(slot[signal])
        if not free:
            free.append(size)
            size += 1
        slot[circuit.first_gate + gate] = out = free.pop()
        operands.append((out, slot[a], slot[b]))
    return operands, size


def _counted(
    network: LogicNetwork, outputs: NDArray[np.int32], slot: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int32]]:
    """Give the ends of the groups, the slots that they count, and their constant outputs."""
    by_group = outputs.reshape(network.n_groups, -1)
    fixed = by_group < FIRST_INPUT
    biases = (by_group == TRUE).sum(axis=1, dtype=np.int32)
    ends = np.cumsum((~fixed).sum(axis=1)).astype(np.uint32)
    slots = np.where(fixed, np.iinfo(np.int64).max, slot[by_group])
    slots.sort(axis=1)
    return ends, slots[slots < np.iinfo(np.int64).max].astype(np.uint32), biases


def number_inputs(network: LogicNetwork) -> tuple[NDArray[np.int64], list[int]]:
    """Give the different comparisons, sorted, and the literal of each input in a builder of them.

    A comparison is pixel · 256 + threshold; one that is never true is the literal 0.
    """
    keys = network.pixel.astype(np.int64) << 8 | network.threshold
    possible = network.threshold != NEVER
    different, numbers = np.unique(keys[possible], return_inverse=True)
    literals = np.zeros(len(keys), dtype=np.int64)
    literals[possible] = 2 * (FIRST_INPUT + numbers)
    return different, literals.tolist()


def _simplified(network: LogicNetwork, n_inputs: int, inputs: list[int]) -> Circuit:
    """Rebuild the gates in the truth tables that the interpreter knows.

    They are and, a & ~b, or, xor; their complements at outputs; and NOR as an inverter.
    """
    build = Builder(n_inputs)
    literals = build.add(network.circuit(), inputs)
    built = build.build(literals[i] for i in network.outputs.tolist())
    swap = np.isin(built.op, TO_SWAP)
    op = np.where(swap, np.array(SWAP)[built.op], built.op)
    op[op == NOT_A] = NOR  # of a signal with itself
    a, b = np.where(swap, built.b, built.a), np.where(swap, built.a, built.b)
    return Circuit(n_inputs, op, a, b, built.outputs)


def schedule(network: LogicNetwork) -> LogicProgram:
    """Make the program of a gate network."""
    keys, inputs = number_inputs(network)
    circuit = _simplified(network, len(keys), inputs)
    signals = np.unique(np.concatenate([circuit.a, circuit.b, circuit.outputs]))
    read = signals[(signals >= FIRST_INPUT) & (signals < circuit.first_gate)] - FIRST_INPUT
    blocks, input_slots = _blocks(keys[read])
    slot = np.zeros(circuit.n_signals, dtype=np.int64)
    slot[FIRST_INPUT + read] = input_slots
    order, runs = order_gates(circuit)
    slots = slot.tolist()
    operands, n_slots = allocate(circuit, order.tolist(), slots)
    ends, counted, biases = _counted(network, circuit.outputs, np.array(slots))
    return LogicProgram(
        inputs=blocks,
        n_inputs=len(read),
        runs=runs.astype(np.uint32),
        operands=np.array(operands, dtype=np.uint32).reshape(-1, 3),
        ends=ends,
        counted=counted,
        biases=biases,
        n_planes=max(1, int(np.diff(ends, prepend=np.uint32(0)).max()).bit_length()),
        n_slots=n_slots,
    )
