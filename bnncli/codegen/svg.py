"""Drawings of small circuits as SVG, with the usual symbols of gates, from inputs to outputs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from bnncli.codegen.emitter import emitter, refuse_sums
from bnncli.codegen.layers import Node, lay_out, pins, tracks
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bnncli.circuit.design import Design

MAX_GATES = 150
PLACES = ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")

INK = "#222222"
# Okabe and Ito's colours that stand out on white: told apart with any colour vision.
WIRES = ("#0072B2", "#D55E00", "#007A5A", "#9B4F81", "#5A5A5A", "#8A6D00")

WIDTH, HALF = 40.0, 17.0
"""Width and half the height of a gate."""

TRACK, MARGIN, PIN, LINE = 7.0, 24.0, 12.0, 16.0
BUBBLE = 3.5

_AND = "M0 -17 H20 A17 17 0 0 1 20 17 H0 Z"
_OR = "M-2 -17 H12 Q32 -15 40 0 Q32 15 12 17 H-2 Q8 0 -2 -17 Z"
_XOR = "M-7 -17 Q3 0 -7 17"
_NOT = "M4 -13 L33 0 L4 13 Z"

# By truth table: symbol, whether a, b and the output are complemented.
SYMBOLS = {
    0x8: ("AND", 0, 0, 0),
    0x7: ("AND", 0, 0, 1),
    0x2: ("AND", 0, 1, 0),
    0x4: ("AND", 1, 0, 0),
    0xE: ("OR", 0, 0, 0),
    0x1: ("OR", 0, 0, 1),
    0xB: ("OR", 0, 1, 0),
    0xD: ("OR", 1, 0, 0),
    0x6: ("XOR", 0, 0, 0),
    0x9: ("XOR", 0, 0, 1),
    0x3: ("NOT", 0, 0, 1),
    0x5: ("NOT", 0, 0, 1),
}


def labels(design: Design) -> tuple[list[str], list[str]]:
    """Give what stands at the ends: their names, else places of the neighbourhood or numbers."""
    circuit = design.circuit
    inputs = list(circuit.input_names) or [f"i{k}" for k in range(circuit.n_inputs)]
    outputs = list(circuit.output_names) or [f"o{k}" for k in range(circuit.n_outputs)]
    if design.channels == 1:
        inputs = list(circuit.input_names) or list(PLACES)
        outputs = list(circuit.output_names) or ["alive"]
    return inputs, outputs


def _colour(signal: int) -> str:
    return WIRES[signal % len(WIRES)]


def _line(points: Sequence[tuple[float, float]], signal: int) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline data-signal="{signal}" points="{path}" stroke="{_colour(signal)}"/>'


def _gate(node: Node, x: float, y: float) -> Iterator[str]:
    """Draw a gate whose left edge is x."""
    symbol, invert_a, invert_b, invert = SYMBOLS[node.op or 0]
    paths = {"AND": [_AND], "OR": [_OR], "XOR": [_OR, _XOR], "NOT": [_NOT]}[symbol]
    yield f'<g transform="translate({x:g} {y:g})">'
    for path in paths:
        fill = "none" if path == _XOR else "white"
        yield f'<path d="{path}" fill="{fill}" stroke="{INK}"/>'
    inverted = (invert_a, invert_b)
    for i, _, offset in pins(node):
        if symbol != "NOT" and inverted[i]:
            yield _bubble(-BUBBLE if symbol == "AND" else -BUBBLE - 1, offset)
    if invert:
        yield _bubble(
            (37.0 if symbol != "NOT" else 33.0) + BUBBLE + (symbol in {"OR", "XOR"}) * 3, 0
        )
    if symbol != "NOT":
        yield f'<text x="{15 if symbol == "AND" else 17}" y="4" class="gate">{symbol}</text>'
    yield "</g>"


def _bubble(x: float, y: float) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{BUBBLE}" fill="white" stroke="{INK}"/>'


class _Drawing:
    """Wires below, then junctions, gates and names, with the columns from left to right."""

    def __init__(self, layers: list[list[Node]], text_width: float) -> None:
        self.wires: list[str] = []
        self.dots: list[str] = []
        self.shapes: list[str] = []
        left = MARGIN + text_width
        for i, layer in enumerate(layers):
            right = self._column(layer, left, last=i == len(layers) - 1)
            left = self._channel(layer, right) if i < len(layers) - 1 else right
        self.width = left + text_width + MARGIN

    def _column(self, layer: Sequence[Node], left: float, *, last: bool) -> float:
        """Draw a layer from its left edge; give its right one."""
        gates = any(node.op is not None for node in layer)
        right = left + (WIDTH + PIN if gates else 0.0)
        for node in layer:
            if node.op is not None:
                self.shapes += _gate(node, left, node.y)
                self.wires.append(_line([(left + 30, node.y), (right, node.y)], node.signal))
            elif node.passes:
                self.wires.append(_line([(left - PIN, node.y), (right, node.y)], node.signal))
            else:
                anchor, x = ("start", left + 6) if last else ("end", left - 6)
                text = f'<text x="{x:g}" y="{node.y + 4:g}" text-anchor="{anchor}">'
                self.shapes.append(f"{text}{escape(node.label)}</text>")
                self.wires.append(
                    _line([(left - PIN * last, node.y), (right, node.y)], _wire_of(node))
                )
        return right

    def _channel(self, layer: Sequence[Node], left: float) -> float:
        """Draw the wires between a layer and the next one; give where that begins."""
        ends: dict[int, list[float]] = {}
        targets: dict[int, list[tuple[float, Node]]] = {}
        for node in {id(r): r for source in layer for r in source.readers}.values():
            for _, source, offset in pins(node):
                at = node.y + (offset if node.op is not None else 0.0)
                ends.setdefault(id(source), []).append(at)
                targets.setdefault(id(source), []).append((at, node))
        track, count = tracks(layer, ends)
        right = left + PIN + TRACK * max(count, 1) + PIN + BUBBLE
        for source in layer:
            heights = ends.get(id(source), [])
            bend = left + PIN + TRACK * track.get(id(source), 0)
            for at, node in targets.get(id(source), []):
                # OR is hollow on its left: its wires go on into it.
                into = 4.0 if node.op is not None else -PIN
                signal = _wire_of(source)
                points = [(left, source.y), (bend, source.y), (bend, at), (right + into, at)]
                self.wires.append(_line(points, signal))
            self._junctions(source, heights, bend)
        return right

    def _junctions(self, source: Node, heights: list[float], bend: float) -> None:
        """Draw dots where a wire branches."""
        around = sorted({*heights, source.y})
        for y in around:
            up, down = y > around[0], y < around[-1]
            if up + down + (y in heights) + (y == source.y) > 2:
                self.dots.append(
                    f'<circle cx="{bend:g}" cy="{y:g}" r="2.6" fill="{_colour(_wire_of(source))}"/>'
                )


def _wire_of(node: Node) -> int:
    return node.signal if node.signal >= 0 else node.reads[0]


@emitter("svg", ".svg", "a drawing of a small circuit")
def emit_svg(design: Design) -> str:
    """Draw a circuit with its gates as symbols, inputs on the left, outputs on the right."""
    refuse_sums(design, "SVG")
    circuit = design.circuit
    if circuit.size > MAX_GATES:
        raise BnnError(
            f"{design.name} has {circuit.size:,} live gates; a drawing of more than {MAX_GATES} "
            f"cannot be read, emit dot instead"
        )
    inputs, outputs = labels(design)
    layers = lay_out(circuit, inputs, outputs)
    names = [node.label for layer in (layers[0], layers[-1]) for node in layer]
    drawing = _Drawing(layers, 9.0 * max(map(len, names), default=0))
    title = f"{circuit.size} two-input gates, depth {circuit.depth}"
    said = [title, *(line for note in design.notes for line in note.splitlines())]
    top = 42.0 + LINE * len(said)
    height = top + max((node.y for layer in layers for node in layer), default=0.0) + MARGIN + HALF
    widest = max(6.5 * max(map(len, said)), 10.0 * len(design.name))
    width = max(drawing.width, widest + 2 * MARGIN)
    size = f'width="{width:g}" height="{height:g}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" {size}>',
        f"<title>{escape(design.name)}: {title}</title>",
        "<style>",
        f"text {{ font: 14px sans-serif; fill: {INK}; }}",
        ".gate { font-size: 9px; text-anchor: middle; }",
        ".note { font-size: 12px; }",
        ".name { font-size: 16px; font-weight: bold; }",
        "polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; }",
        "path, circle { stroke-width: 1.4; }",
        "</style>",
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
        f'<text x="{MARGIN:g}" y="26" class="name">{escape(design.name)}</text>',
        *(
            f'<text x="{MARGIN:g}" y="{44 + LINE * i:g}" class="note">{escape(line)}</text>'
            for i, line in enumerate(said)
        ),
        f'<g transform="translate(0 {top + HALF:g})">',
        *drawing.wires,
        *drawing.dots,
        *drawing.shapes,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
