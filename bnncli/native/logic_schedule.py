"""Order the gates of a network and give every signal a slot: the program of the C interpreter.

Each level is sorted by truth table into runs without branches that write to consecutive slots. The
slots of a run are free again after the last level that reads one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bnncli.native.logic_plan import Netlist, polarize, simplify
from bnncli.packed.logic import gate_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

BLOCK_PIXELS = 64
NEVER = 255
"""No byte is above this threshold."""

MIN_SPLIT = 512
"""In levels of so many gates those that later levels read again get slots of their own."""

MIN_RANGE = 64
"""A run is cut in pieces of at least so many gates to fill free slots."""


@dataclass(frozen=True, eq=False)
class InputBlocks:
    """Comparisons of 64 neighbouring pixels with a threshold each; see ``bnn_logic_program``."""

    offsets: NDArray[np.uint32]
    thresholds: NDArray[np.uint8]
    used: NDArray[np.uint64]
    span: int


@dataclass(frozen=True, eq=False)
class LogicProgram:
    """What the C interpreter runs; the fields are those of ``bnn_logic_program``.

    Shapes: runs (n, 3) of table, count, first slot; operands (gates, 2); ends, biases (n_groups,).
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


class Slots:
    """Hand out slots in ranges, the lowest that are free and long enough."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []  # begin, end; sorted, apart from each other

    def take(self, count: int) -> list[tuple[int, int]]:
        """Give ranges (begin, end) with so many slots together."""
        taken: list[tuple[int, int]] = []
        free: list[tuple[int, int]] = []
        for begin, end in self._free:
            n = min(count, end - begin)
            if MIN_RANGE > n != count:
                n = 0
            taken.append((begin, begin + n))
            free.append((begin + n, end))
            count -= n
        taken.append((self.size, self.size + count))
        self.size += count
        self._free = [(begin, end) for begin, end in free if begin < end]
        return [(begin, end) for begin, end in taken if begin < end]

    def give_back(self, ranges: list[tuple[int, int]]) -> None:
        """Free ranges."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted([*self._free, *ranges]):
            if merged and merged[-1][1] == low:
                merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        self._free = merged


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


@dataclass
class _Gates:
    """Gates by node, when each is computed, and when it is read for the last time."""

    first: int
    op: NDArray[np.uint8]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    levels: NDArray[np.int32]
    last_use: NDArray[np.int32]

    @classmethod
    def of(cls, netlist: Netlist) -> _Gates:
        a, b = (np.array(nodes, dtype=np.int32) for nodes in (netlist.a, netlist.b))
        levels = gate_levels(netlist.first_gate, a, b)
        last_use = np.zeros(netlist.first_gate + len(a), dtype=np.int32)
        np.maximum.at(last_use, a, levels)
        np.maximum.at(last_use, b, levels)
        # Outputs are counted after the last level.
        last_use[np.array(netlist.outputs) >> 1] = levels.max(initial=0) + 1
        return cls(netlist.first_gate, np.array(netlist.op, np.uint8), a, b, levels, last_use)


@dataclass
class _Scheduler:
    """Give slots to one level after the other."""

    gates: _Gates
    slot: NDArray[np.int64]
    slots: Slots = field(default_factory=Slots)
    expiring: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    runs: list[NDArray[np.int64]] = field(default_factory=list)
    order: list[NDArray[np.int64]] = field(default_factory=list)

    def reserve(self, count: int, until: int) -> list[tuple[int, int]]:
        """Take slots until after a level."""
        ranges = self.slots.take(count)
        self.expiring.setdefault(until, []).extend(ranges)
        return ranges

    def run(self) -> None:
        """Go through all levels."""
        by_level = np.argsort(self.gates.levels, kind="stable")
        starts = np.flatnonzero(np.diff(self.gates.levels[by_level], prepend=0))
        for level, members in enumerate(np.split(by_level, starts[1:]), 1):
            self._level(level, members)
            self.slots.give_back(self.expiring.pop(level, []))

    def _level(self, level: int, members: NDArray[np.int64]) -> None:
        last_use = self.gates.last_use[self.gates.first + members]
        later = last_use > level + 1
        if len(members) < MIN_SPLIT or later.all() or not later.any():
            self._block(members, int(last_use.max()))
            return
        self._block(members[~later], level + 1)
        self._block(members[later], int(last_use.max()))

    def _block(self, members: NDArray[np.int64], until: int) -> None:
        a, b = (self.slot[nodes[members]] for nodes in (self.gates.a, self.gates.b))
        op = self.gates.op[members]
        # Neighbours of a run read near each other.
        order = np.lexsort((np.minimum(a, b), op))
        members, op = members[order], op[order]
        ranges = self.reserve(len(members), until)
        at = np.concatenate([np.arange(*slots) for slots in ranges])
        self.slot[self.gates.first + members] = at
        cut = (np.diff(op, prepend=0) != 0) | (np.diff(at, prepend=-1) != 1)
        starts = np.flatnonzero(cut)
        lengths = np.diff(starts, append=len(op))
        self.runs.append(np.stack([op[starts], lengths, at[starts]], axis=1))
        self.order.append(members)


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
    gates = _Gates.of(netlist)
    read = np.flatnonzero(gates.last_use[1 : gates.first])
    blocks, input_slots = _blocks(keys[read])
    slot = np.zeros(len(gates.last_use), dtype=np.int64)
    slot[1 + read] = input_slots
    scheduler = _Scheduler(gates, slot)
    if len(read):
        scheduler.reserve(len(read), int(gates.last_use[1 + read].max()))
    if len(gates.op):
        scheduler.run()
    order = np.concatenate([np.empty(0, np.int64), *scheduler.order])
    operands = np.stack([slot[gates.a[order]], slot[gates.b[order]]], axis=1)
    ends, counted, biases = _counted(network, np.array(netlist.outputs), slot)
    return LogicProgram(
        inputs=blocks,
        n_inputs=len(read),
        runs=np.concatenate([np.empty((0, 3), np.int64), *scheduler.runs]).astype(np.uint32),
        operands=operands.astype(np.uint32),
        ends=ends,
        counted=counted,
        biases=biases,
        n_planes=max(1, int(np.diff(ends, prepend=np.uint32(0)).max()).bit_length()),
        n_slots=max(1, scheduler.slots.size),
    )
