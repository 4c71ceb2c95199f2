"""AIGER: circuits of AND gates and complements, binary and as text; written and read.

A literal is 2 · variable + complement; variable 0 is false. See Biere, *The AIGER And-Inverter
Graph (AIG) Format Version 20071012*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from bnncli.circuit.ir import MAX_INPUTS
from bnncli.codegen.c import head_lines
from bnncli.codegen.c_gates import needed
from bnncli.codegen.emitter import emitter, refuse_sums
from bnncli.codegen.names import design_name, end_names
from bnncli.codegen.netlist import Nets, unique_names
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.circuit.builder import Builder
    from bnncli.circuit.design import Design
    from bnncli.circuit.ir import Circuit


@dataclass
class AndGraph:
    """AND gates in order, each of two literals, the larger one first; equal ones once."""

    n_inputs: int
    ands: list[tuple[int, int]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    _known: dict[tuple[int, int], int] = field(default_factory=dict)

    def and_(self, x: int, y: int) -> int:
        """Give the literal of x and y."""
        key = (max(x, y), min(x, y))
        if key[1] == 0 or key[0] == key[1] ^ 1:
            return 0
        if key[1] == 1 or key[0] == key[1]:
            return key[0]
        if key not in self._known:
            self.ands.append(key)
            self._known[key] = 2 * (self.n_inputs + len(self.ands))
        return self._known[key]

    def gate(self, op: int, a: int, b: int) -> int:
        """Give the literal of a truth table of two literals."""
        turn = op.bit_count() > 2 or op == 0x9
        table = op ^ 0xF if turn else op
        if table == 0x6:
            found = self.and_(self.and_(a, b) ^ 1, self.and_(a ^ 1, b ^ 1) ^ 1)
        elif table in {0x0, 0x3, 0x5, 0xA, 0xC}:
            found = {0x0: 0, 0x3: b ^ 1, 0x5: a ^ 1, 0xA: a, 0xC: b}[table]
        else:
            # One case is true: complement the operands that are 0 in it.
            invert_a = table in {0x1, 0x4}
            invert_b = table in {0x1, 0x2}
            found = self.and_(a ^ invert_a, b ^ invert_b)
        return found ^ turn


def and_graph(circuit: Circuit) -> AndGraph:
    """Write a circuit with AND gates and complements; an XOR needs three."""
    graph = AndGraph(circuit.n_inputs)
    literals = [0, 1, *(2 * i for i in range(1, circuit.n_inputs + 1))]
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    need = needed(circuit)
    for signal, (op, a, b) in enumerate(gates, circuit.first_gate):
        literals.append(graph.gate(op, literals[a], literals[b]) if need[signal] else 0)
    graph.outputs = [literals[signal] for signal in circuit.outputs.tolist()]
    return graph


def _header(kind: str, graph: AndGraph) -> str:
    n = graph.n_inputs + len(graph.ands)
    return f"{kind} {n} {graph.n_inputs} 0 {len(graph.outputs)} {len(graph.ands)}\n"


def _symbols(design: Design) -> str:
    inputs, outputs = end_names(design, (design_name(design),))
    lines = [f"i{k} {name}" for k, name in enumerate(inputs)]
    lines += [f"o{k} {name}" for k, name in enumerate(outputs)]
    return "\n".join([*lines, "c", *head_lines(design)]) + "\n"


def _delta(number: int) -> Iterator[int]:
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


@emitter("aiger", ".aig", "binary AIGER: AND gates and complements")
def emit_aiger(design: Design) -> bytes:
    """Write a design as binary AIGER."""
    refuse_sums(design, "AIGER")
    graph = and_graph(design.circuit)
    data = bytearray(_header("aig", graph).encode())
    data += "".join(f"{literal}\n" for literal in graph.outputs).encode()
    for left, (x, y) in enumerate(graph.ands, 1 + graph.n_inputs):
        data += bytes([*_delta(2 * left - x), *_delta(x - y)])
    return bytes(data) + _symbols(design).encode()


@emitter("aag", ".aag", "AIGER as text: AND gates and complements")
def emit_aag(design: Design) -> str:
    """Write a design as AIGER text."""
    refuse_sums(design, "AIGER")
    graph = and_graph(design.circuit)
    lines = [str(2 * i) for i in range(1, graph.n_inputs + 1)]
    lines += map(str, graph.outputs)
    ands = enumerate(graph.ands, 1 + graph.n_inputs)
    lines += [f"{2 * left} {x} {y}" for left, (x, y) in ands]
    return _header("aag", graph) + "".join(line + "\n" for line in lines) + _symbols(design)


def _and(build: Builder, literals: list[int], flips: tuple[int, int]) -> int:
    return build.and_(literals[0] ^ flips[0], literals[1] ^ flips[1])


def _xor(build: Builder, literals: list[int]) -> int:
    return build.xor(literals[0], literals[1])


def _plain(word: str) -> bool:
    return word.isascii() and word.isdigit()


class _Reader:
    """Read lines and bytes of a file in order."""

    def __init__(self, data: bytes, source: str) -> None:
        self._data, self._at, self._source = data, 0, source

    def line(self, expected: str) -> str:
        """Give the next line."""
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise BnnError(f"{self._source}: truncated; expected {expected}, but the file ends")
        text = self._data[self._at : end].decode("utf-8", "replace").strip()
        self._at = end + 1
        return text

    def numbers(self, count: int, expected: str) -> list[int]:
        """Give the numbers of the next line."""
        text = self.line(expected)
        words = text.split()
        if len(words) != count or not all(map(_plain, words)):
            raise BnnError(f"{self._source}: {text[:60]!r} given, expected {expected}")
        return [int(word) for word in words]

    def delta(self) -> int:
        """Give the next number of the binary form."""
        number = shift = 0
        while True:
            if self._at >= len(self._data):
                raise BnnError(f"{self._source}: truncated among its AND gates")
            byte = self._data[self._at]
            self._at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7

    def symbols(self, counts: dict[str, int]) -> dict[str, list[str]]:
        """Give the names of the ends, "" where one has none."""
        names = {kind: [""] * count for kind, count in counts.items()}
        for line in self._data[self._at :].decode("utf-8", "replace").splitlines():
            if line == "c":
                break
            place, _, name = line.partition(" ")
            kind, number = place[:1], place[1:]
            if kind in names and _plain(number) and int(number) < counts[kind]:
                names[kind][int(number)] = name
        return names


def read_aiger(data: bytes, source: str) -> Circuit:
    """Read AIGER, binary or text, without latches; three ANDs that are an XOR become one gate."""
    reader = _Reader(data, source)
    kind, *words = reader.line("a header").split()
    if kind not in {"aig", "aag"} or len(words) < 5 or not all(map(_plain, words)):
        raise BnnError(f"{source}: expected a header such as 'aig 5 2 0 1 3'")
    largest, n_inputs, n_latches, n_outputs, n_ands, *more = map(int, words)
    if n_latches or any(more):
        what = f"{n_latches} latches" if n_latches else "bad states or constraints"
        raise BnnError(f"{source}: {what}; only circuits without memory can be read, and outputs")
    if largest > len(data) + n_inputs or (kind == "aig" and largest != n_inputs + n_ands):
        raise BnnError(f"{source}: {largest} variables do not fit {n_inputs} inputs, {n_ands} ANDs")
    # The binary form names inputs by their number alone: a damaged one would fill the memory.
    if n_inputs > MAX_INPUTS:
        raise BnnError(f"{source}: {n_inputs} inputs, expected at most {MAX_INPUTS}")
    binary = kind == "aig"
    inputs = (
        list(range(1, n_inputs + 1))
        if binary
        else [reader.numbers(1, "an input's literal")[0] >> 1 for _ in range(n_inputs)]
    )
    outputs = [reader.numbers(1, "an output's literal")[0] for _ in range(n_outputs)]
    ands: dict[int, tuple[int, int]] = {}
    for i in range(n_ands):
        left, x, y = (
            _binary_and(reader, n_inputs + 1 + i) if binary else reader.numbers(3, "an AND")
        )
        if left & 1 or left >> 1 in ands or y < 0 or max(left, x, y) > 2 * largest + 1:
            raise BnnError(f"{source}: {left} {x} {y} is no AND gate of its own")
        ands[left >> 1] = (x, y)
    names = reader.symbols({"i": n_inputs, "o": n_outputs})
    nets = _nets(source, inputs, ands, outputs)
    ends = [("output", j) for j in range(n_outputs)]
    return nets.circuit(ends, unique_names(names["i"]), unique_names(names["o"]))


def _binary_and(reader: _Reader, variable: int) -> tuple[int, int, int]:
    x = 2 * variable - reader.delta()
    return 2 * variable, x, x - reader.delta()


def _nets(
    source: str, inputs: list[int], ands: dict[int, tuple[int, int]], outputs: list[int]
) -> Nets:
    nets = Nets(source, list(inputs))
    nets.drive(0, (), lambda _build, _: 0)
    for variable, (x, y) in ands.items():
        first, second = ands.get(x >> 1), ands.get(y >> 1)
        if x & y & 1 and first and second and {first[0] ^ 1, first[1] ^ 1} == {*second}:
            p, q = first
            flip = (p ^ q) & 1
            nets.drive(variable, (p >> 1, q >> 1), partial(_flipped_xor, flip=flip))
        else:
            nets.drive(variable, (x >> 1, y >> 1), partial(_and, flips=(x & 1, y & 1)))
    for j, literal in enumerate(outputs):
        nets.drive(("output", j), (literal >> 1,), partial(_wire, flip=literal & 1))
    return nets


def _flipped_xor(build: Builder, literals: list[int], flip: int) -> int:
    return _xor(build, literals) ^ flip


def _wire(_build: Builder, literals: list[int], flip: int) -> int:
    return literals[0] ^ flip
