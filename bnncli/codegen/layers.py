"""Lay a small circuit out from left to right: layers, order, heights, tracks of wires.

The method is that of Sugiyama, Tagawa and Toda (1981): every signal passes each layer between its
source and its last reader; neighbours are sorted by the mean of what they are connected to; heights
are least squares under that order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from bnncli.codegen.c_gates import FREE, IGNORES_A, IGNORES_B, needed
from bnncli.gates import WIRE_A, WIRE_B

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bnncli.circuit.ir import Circuit

SWEEPS = 24
GATE_HEIGHT, WIRE_HEIGHT = 46.0, 16.0


@dataclass(eq=False)
class Node:
    """A place in a layer: an input, a gate, an output, or where a wire passes.

    ``op`` is None for all but gates; ``reads`` are the signals at its pins, which are ``spread``
    above and below ``y`` where there are two.
    """

    signal: int
    layer: int
    op: int | None = None
    label: str = ""
    reads: tuple[int, ...] = ()
    sources: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)
    y: float = 0.0
    spread: float = 9.0

    @property
    def passes(self) -> bool:
        """Tell whether it is only a wire that passes."""
        return self.op is None and not self.label

    @property
    def height(self) -> float:
        """Give the height that it takes."""
        return WIRE_HEIGHT if self.passes else GATE_HEIGHT


def _followed(circuit: Circuit) -> list[int]:
    """Give for each signal the one that it is a wire of."""
    same = list(range(circuit.n_signals))
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for signal, (op, a, b) in enumerate(gates, circuit.first_gate):
        if op in FREE:
            same[signal] = {0x0: 0, 0xF: 1, WIRE_A: same[a], WIRE_B: same[b]}[op]
    return same


def lay_out_nodes(circuit: Circuit, inputs: Sequence[str], outputs: Sequence[str]) -> list[Node]:
    """Make the nodes of inputs, constants in use, gates and outputs, with their layers."""
    same, need = _followed(circuit), needed(circuit)
    ends = [same[signal] for signal in circuit.outputs.tolist()]
    by_signal = {i: Node(i, 0, label=name) for i, name in enumerate(["0", "1", *inputs])}
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for signal, (op, a, b) in enumerate(gates, circuit.first_gate):
        if need[signal] and op not in FREE:
            operands = [(a, op in IGNORES_A), (b, op in IGNORES_B)]
            reads = tuple(same[x] for x, ignored in operands if not ignored)
            layer = 1 + max(by_signal[x].layer for x in reads)
            by_signal[signal] = Node(signal, layer, op, reads=reads)
    read = {x for node in by_signal.values() for x in node.reads} | {*ends}
    nodes = [node for i, node in by_signal.items() if i > 1 or i in read]
    last = 1 + max((node.layer for node in nodes), default=0)
    named = zip(ends, outputs, strict=True)
    return [*nodes, *(Node(-1, last, label=name, reads=(end,)) for end, name in named)]


def _connect(nodes: Sequence[Node]) -> list[list[Node]]:
    """Add the places where wires pass and connect neighbours; give the layers."""
    layers: list[list[Node]] = [[] for _ in range(1 + max((n.layer for n in nodes), default=0))]
    trunk: dict[tuple[int, int], Node] = {}
    for node in nodes:
        layers[node.layer].append(node)
        if node.signal >= 0:
            trunk[node.signal, node.layer] = node
    first = {node.signal: node.layer for node in nodes if node.signal >= 0}
    for node in nodes:
        for signal in node.reads:
            for layer in range(first[signal] + 1, node.layer):
                if (signal, layer) not in trunk:
                    passing = trunk[signal, layer] = Node(signal, layer)
                    layers[layer].append(passing)
                    _join(trunk[signal, layer - 1], passing)
            _join(trunk[signal, node.layer - 1], node)
    return layers


def _join(source: Node, reader: Node) -> None:
    source.readers.append(reader)
    reader.sources.append(source)


def _crossings(layers: Sequence[Sequence[Node]]) -> int:
    """Count pairs of wires between neighbouring layers that cross."""
    total = 0
    for layer in layers[1:]:
        edges = sorted((s.y, node.y) for node in layer for s in node.sources)
        for i, (y0, y1) in enumerate(edges):
            total += sum(1 for x0, x1 in edges[i + 1 :] if x0 > y0 and x1 < y1)
    return total


def _order(layers: list[list[Node]]) -> None:
    """Sort each layer by the mean place of its neighbours; keep the order with fewest crossings."""
    for layer in layers:
        for i, node in enumerate(layer):
            node.y = float(i)
    best, least = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers[1:] if forward else layers[-2::-1]:
            for node in layer:
                near = node.sources if forward else node.readers
                node.y = sum(n.y for n in near) / len(near) if near else node.y
            layer.sort(key=lambda node: node.y)
            for i, node in enumerate(layer):
                node.y = float(i)
        found = _crossings(layers)
        if found < least:
            best, least = [list(layer) for layer in layers], found
    layers[:] = best


def _settle(
    wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]
) -> list[float]:
    """Give the heights nearest to those wanted, in order and apart by the gaps (least squares).

    Pools of neighbours that push each other move to the mean of their wishes.
    """
    offset, total = [0.0], 0.0
    for gap in gaps:
        total += gap
        offset.append(total)
    pools: list[tuple[float, float, int]] = []
    for want, weight, shift in zip(wanted, weights, offset, strict=False):
        mean, heavy, size = want - shift, weight, 1
        while pools and pools[-1][0] > mean:
            other, more, n = pools.pop()
            mean = (other * more + mean * heavy) / (more + heavy)
            heavy, size = more + heavy, n + size
        pools.append((mean, heavy, size))
    flat = [mean for mean, _, size in pools for _ in range(size)]
    return [y + shift for y, shift in zip(flat, offset, strict=False)]


def _pulls(node: Node) -> list[tuple[float, float]]:
    """Give the heights of a node's neighbours with their weights: long wires pull to be straight."""
    near = [*node.sources, *node.readers]
    return [(n.y, (4.0 if n.passes else 1.0) * (4.0 if node.passes else 1.0)) for n in near]


def _place(layers: Sequence[Sequence[Node]]) -> None:
    """Give every node its height, the topmost 0."""
    for layer in layers:
        y = 0.0
        for node in layer:
            node.y = y
            y += node.height
    for sweep in range(4 * SWEEPS):
        for layer in layers if sweep % 2 else reversed(layers):
            pulls = [_pulls(node) or [(node.y, 1.0)] for node in layer]
            weights = [sum(weight for _, weight in pull) for pull in pulls]
            wanted = [
                sum(y * weight for y, weight in pull) / total
                for pull, total in zip(pulls, weights, strict=True)
            ]
            gaps = [(x.height + y.height) / 2 for x, y in pairwise(layer)]
            for node, y in zip(layer, _settle(wanted, weights, gaps), strict=True):
                node.y = y
    # The mean lets long wires fall in steps: from left to right each keeps its height if it can.
    for layer in layers[1:]:
        wanted = [node.sources[0].y if node.passes else node.y for node in layer]
        weights = [0.25 if node.passes else 1.0 for node in layer]
        gaps = [(x.height + y.height) / 2 for x, y in pairwise(layer)]
        for node, y in zip(layer, _settle(wanted, weights, gaps), strict=True):
            node.y = y
    top = min((node.y for layer in layers for node in layer), default=0.0)
    for layer in layers:
        for node in layer:
            node.y = round(node.y - top)


def _keep_apart(layers: Sequence[Sequence[Node]]) -> None:
    """Move pins that lie at the height of a wire of another signal on the left of its channel."""
    for layer, following in pairwise(layers):
        rows = {node.y: node for node in layer}

        def free(y: float, source: Node, rows: dict[float, Node] = rows) -> bool:
            return rows.get(y, source) is source

        for node in following:
            if len(node.sources) == 2:
                upper, lower = (source for _, source, _ in pins(node))
                spreads = (9.0, 8.0, 10.0, 7.0, 11.0, 6.0, 12.0)
                node.spread = next(
                    d for d in spreads if free(node.y - d, upper) and free(node.y + d, lower)
                )
            elif node.sources:
                moves = (0.0, 2.0, -2.0, 3.0, -3.0)
                node.y += next(d for d in moves if free(node.y + d, node.sources[0]))


def lay_out(circuit: Circuit, inputs: Sequence[str], outputs: Sequence[str]) -> list[list[Node]]:
    """Give the layers of a drawing, from the inputs to the outputs, each from top to bottom."""
    layers = _connect(lay_out_nodes(circuit, inputs, outputs))
    _order(layers)
    _place(layers)
    _keep_apart(layers)
    return layers


def pins(node: Node) -> Iterator[tuple[int, Node, float]]:
    """Give a gate's operands from top to bottom: index in ``reads``, where it comes from, offset."""
    order = sorted(range(len(node.sources)), key=lambda i: (node.sources[i].y, i))
    for place, i in enumerate(order):
        offset = 0.0 if len(order) == 1 else (-node.spread, node.spread)[place]
        yield i, node.sources[i], offset


def tracks(sources: Sequence[Node], ends: dict[int, list[float]]) -> tuple[dict[int, int], int]:
    """Give each source that bends a track of the channel right of it, and the number of tracks.

    ``ends`` has the heights at which its wire leaves the channel, by id. Wires that go up take
    tracks from the right to the left with growing height, those that go down from the left to the
    right, so that neighbours do not cross; wires that do not overlap share a track.
    """
    spans = []
    for node in sources:
        heights = ends.get(id(node), [])
        if any(h != node.y for h in heights):
            spans.append((min(node.y, *heights), max(node.y, *heights), node))
    track: dict[int, int] = {}
    taken: list[list[tuple[float, float]]] = []
    down = [s for s in spans if s[1] > s[2].y]
    up = [s for s in spans if s[1] <= s[2].y]
    ordered = sorted(up, key=lambda s: s[2].y) + sorted(down, key=lambda s: -s[2].y)
    for low, high, node in ordered:
        free = (
            i for i, used in enumerate(taken) if all(high + 4 < a or b + 4 < low for a, b in used)
        )
        place = next(free, len(taken))
        if place == len(taken):
            taken.append([])
        taken[place].append((low, high))
        track[id(node)] = place
    return track, len(taken)
