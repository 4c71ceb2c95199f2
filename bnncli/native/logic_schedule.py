"""Order the gates of a network and give every signal a slot: the program of the C interpreter.

Each level is sorted by truth table into runs without branches that write to consecutive slots. The
slots of a run are free again after the last level that reads one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import unpack_bits
from bnncli.circuit.levels import gate_levels
from bnncli.native.logic_plan import Netlist, polarize, simplify

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

BLOCK_PIXELS = 64
NEVER = 255
"""No byte is above this threshold."""

MAX_NARROW = 2**16
"""Slots that 16 bits can number."""

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


def order_gates(netlist: Netlist) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Give the order in which gates are computed and the runs (truth table, count) in it."""
    op = np.array(netlist.op, dtype=np.int64)
    a, b = (np.array(nodes, dtype=np.int32) for nodes in (netlist.a, netlist.b))
    levels = gate_levels(netlist.first_gate, a, b)
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
    netlist: Netlist, order: list[int], slot: list[int]
) -> tuple[list[tuple[int, int, int]], int]:
    """Give each gate a slot: the one that became free last, which is nearest to the processor.

    ``slot`` holds the slots of the inputs and is filled. A slot is free once the last gate that
    reads it is computed, and for the output of this very gate. Gives (out, a, b) of each gate in
    order and the number of slots.
    """
    reads = [0] * len(slot)
    for node in (*netlist.a, *netlist.b, *(literal >> 1 for literal in netlist.outputs)):
        reads[node] += 1
    size = 1 + max(slot, default=0)
    free: list[int] = []
    operands = []
    for gate in order:
        a, b = netlist.a[gate], netlist.b[gate]
        for node in (a, b):
            reads[node] -= 1
            if not reads[node]:
                free.append(slot[node])
        if not free:
            free.append(size)
            size += 1
        slot[netlist.first_gate + gate] = out = free.pop()
        operands.append((out, slot[a], slot[b]))
    return operands, size


def _counted(
    network: LogicNetwork, outputs: NDArray[np.int64], slot: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int32]]:
    """Give the ends of the groups, the slots that they count, and their constant outputs."""
    by_group = outputs.reshape(network.n_groups, -1)
    fixed = by_group <= 1
    biases = (by_group == 1).sum(axis=1, dtype=np.int32)
    ends = np.cumsum((~fixed).sum(axis=1)).astype(np.uint32)
    slots = np.where(fixed, np.iinfo(np.int64).max, slot[by_group >> 1])
    slots.sort(axis=1)
    return ends, slots[slots < np.iinfo(np.int64).max].astype(np.uint32), biases


def _number_inputs(network: LogicNetwork) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the different comparisons, sorted, and the number of each input's; -1 for never true."""
    keys = network.pixel.astype(np.int64) << 8 | network.threshold
    different, numbers = np.unique(keys[network.threshold != NEVER], return_inverse=True)
    inputs = np.full(len(keys), -1, dtype=np.int64)
    inputs[network.threshold != NEVER] = numbers
    return different, inputs


def schedule(network: LogicNetwork) -> LogicProgram:
    """Make the program of a gate network."""
    keys, inputs = _number_inputs(network)
    netlist = polarize(simplify(network, inputs))
    nodes = np.concatenate([netlist.a, netlist.b, np.array(netlist.outputs) >> 1])
    nodes = np.unique(nodes.astype(np.int64))
    read = nodes[(nodes > 0) & (nodes < netlist.first_gate)] - 1
    blocks, input_slots = _blocks(keys[read])
    slot = np.zeros(netlist.first_gate + len(netlist.op), dtype=np.int64)
    slot[1 + read] = input_slots
    order, runs = order_gates(netlist)
    slots = slot.tolist()
    operands, n_slots = allocate(netlist, order.tolist(), slots)
    slot = np.array(slots)
    ends, counted, biases = _counted(network, np.array(netlist.outputs), slot)
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
