"""BLIF, the Berkeley Logic Interchange Format: written, and its part without memory read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bnncli.codegen.c import head_lines
from bnncli.codegen.c_gates import Style, gate_statements
from bnncli.codegen.emitter import emitter, refuse_sums
from bnncli.codegen.names import design_name, end_names
from bnncli.codegen.netlist import Nets, unique_names
from bnncli.errors import BnnError
from bnncli.gates import N_GATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bnncli.circuit.builder import Builder
    from bnncli.circuit.design import Design
    from bnncli.circuit.ir import Circuit

_COVERS = {
    0x1: "00 1",
    0x2: "10 1",
    0x4: "01 1",
    0x6: "10 1\n01 1",
    0x7: "0- 1\n-0 1",
    0x8: "11 1",
    0x9: "00 1\n11 1",
    0xB: "1- 1\n-0 1",
    0xD: "0- 1\n-1 1",
    0xE: "1- 1\n-1 1",
}
"""The rows of .names by truth table of a and b."""

_INVERTERS = {0x3: "{b}|0 1", 0x5: "{a}|0 1"}

BLIF = Style(
    gates=[_INVERTERS.get(op, f"{{a}} {{b}}|{_COVERS.get(op, '')}") for op in range(N_GATES)],
    false="bnn_false",
    true="bnn_true",
    statement="{name}|{value}",
)

MAX_TABLE = 8
"""Inputs up to which a cover becomes a table, and gates by expanding it; beyond, a sum of products."""


def _wrapped(keyword: str, names: Iterable[str]) -> Iterator[str]:
    line = keyword
    for name in names:
        if len(line) + len(name) > 96:
            yield line + " \\"
            line = "   "
        line += f" {name}"
    yield line


@emitter("blif", ".blif", "BLIF, a table of two inputs a gate")
def emit_blif(design: Design) -> str:
    """Write a design as BLIF."""
    refuse_sums(design, "BLIF")
    name = design_name(design)
    inputs, labels = end_names(design, (name,))
    statements, outputs = gate_statements(design.circuit, inputs, style=BLIF)
    lines = [f"# {line}".rstrip() for line in head_lines(design)]
    lines.append(f".model {name}")
    lines += _wrapped(".inputs", inputs)
    lines += _wrapped(".outputs", labels)
    body = []
    for statement in statements:
        label, operands, cover = statement.split("|")
        body += [f".names {operands} {label}", cover]
    for label, value in zip(labels, outputs, strict=True):
        body += [f".names {value} {label}", "1 1"]
    words = {word for line in body for word in line.split()}
    if "bnn_false" in words:
        lines.append(".names bnn_false")
    if "bnn_true" in words:
        lines += [".names bnn_true", "1"]
    return "\n".join([*lines, *body, ".end"]) + "\n"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Give the lines without comments, continued ones joined, with the number of the first."""
    held, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        content = line.split("#", 1)[0].rstrip()
        start = start or number
        if content.endswith("\\"):
            held += content[:-1] + " "
            continue
        content = (held + content).strip()
        if content:
            yield start, content
        held, start = "", 0


class _Model:
    """The directives of a file, collected."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.nets = Nets(source)
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.ended = False
        self._models = 0
        self._names: list[str] | None = None
        self._rows: list[tuple[str, str]] = []

    def take(self, number: int, line: str) -> None:
        """Take the next line."""
        word, *rest = line.split()
        if not word.startswith("."):
            self._row(number, line)
            return
        self._close()
        if word == ".names" and rest:
            self._names = rest
        elif word == ".inputs":
            self.inputs += rest
        elif word == ".outputs":
            self.outputs += rest
        elif word == ".end":
            self.ended = True
        elif word == ".model" and not self._models:
            self._models = 1
        elif word == ".latch":
            raise BnnError(
                f"{self.source}, line {number}: a latch; only circuits without memory can be read"
            )
        else:
            raise BnnError(
                f"{self.source}, line {number}: {line[:60]!r} given, expected one flat model of "
                f".inputs, .outputs and .names"
            )

    def _row(self, number: int, line: str) -> None:
        """Take a row of a cover."""
        parts = line.split()
        n = len(self._names) - 1 if self._names else -1
        if n == 0:
            parts = ["", *parts]
        right = len(parts) == 2 and len(parts[0]) == n and not set(parts[0]) - set("01-")
        if not right or parts[1] not in {"0", "1"}:
            raise BnnError(
                f"{self.source}, line {number}: {line[:60]!r} given, expected a row of "
                f"{max(n, 0)} of 0, 1 and -, then 0 or 1"
            )
        if self._rows and self._rows[0][1] != parts[1]:
            raise BnnError(
                f"{self.source}, line {number}: rows for 0 and for 1 in one table; give one kind"
            )
        self._rows.append((parts[0], parts[1]))

    def _close(self) -> None:
        """End the table that is open."""
        if self._names is None:
            return
        *reads, net = self._names
        off = bool(self._rows) and self._rows[0][1] == "0"
        cover = [row for row, _ in self._rows]
        self.nets.drive(net, reads, partial(_cover, cover=cover, off=off))
        self._names, self._rows = None, []


def _cover(build: Builder, literals: list[int], cover: list[str], *, off: bool) -> int:
    """Give the literal of a cover: the cases in one of its rows, or with ``off`` the others."""
    if len(literals) <= MAX_TABLE:
        table = 0
        for case in range(2 ** len(literals)):
            bits = [str(case >> i & 1) for i in range(len(literals))]
            hit = any(all(r in {"-", b} for r, b in zip(row, bits, strict=True)) for row in cover)
            table |= hit << case
        found = _expand(build, literals, table)
    else:
        products = []
        for row in cover:
            used = [x ^ (r == "0") for r, x in zip(row, literals, strict=True) if r != "-"]
            products.append(_balanced(build, used, all_of=True))
        found = _balanced(build, products, all_of=False)
    return found ^ off


def _balanced(build: Builder, literals: list[int], *, all_of: bool) -> int:
    """Give the AND or the OR of literals as a balanced tree."""
    join = build.and_ if all_of else build.or_
    while len(literals) > 1:
        odd = literals[len(literals) & ~1 :]
        pairs = zip(literals[::2], literals[1::2], strict=False)
        literals = [join(x, y) for x, y in pairs] + odd
    return literals[0] if literals else int(all_of)


def _expand(build: Builder, literals: list[int], table: int) -> int:
    """Give the literal of a truth table, by its last input first (Shannon)."""
    size = 2 ** len(literals)
    full = (1 << size) - 1
    if table in {0, full}:
        return int(table != 0)
    if len(literals) == 2:
        return build.gate(table, literals[0], literals[1])
    *rest, x = literals
    half = size // 2
    low, high = table & ((1 << half) - 1), table >> half
    if low == high:
        return _expand(build, rest, low)
    if low ^ high == (1 << half) - 1:
        return build.xor(x, _expand(build, rest, low))
    one, zero = _expand(build, rest, high), _expand(build, rest, low)
    if zero == 0 or one == 1:
        return build.and_(x, one) if zero == 0 else build.or_(x, zero)
    if zero == 1 or one == 0:
        return build.or_(x ^ 1, one) if zero == 1 else build.and_(x ^ 1, zero)
    # x chooses: zero differs from the output where x and the two differ.
    return build.xor(zero, build.and_(x, build.xor(zero, one)))


def read_blif(text: str, source: str) -> Circuit:
    """Read BLIF of one model without memory; tables of any size become gates of two inputs."""
    model = _Model(source)
    for number, line in _lines(text):
        if model.ended:
            raise BnnError(f"{source}, line {number}: text after .end; expected one model")
        model.take(number, line)
    if not model.ended:
        raise BnnError(f"{source}: truncated; expected .end as its last line")
    if len(set(model.outputs)) < len(model.outputs):
        raise BnnError(f"{source}: an output is named twice")
    model.nets.inputs = list(model.inputs)
    return model.nets.circuit(
        model.outputs, unique_names(model.inputs), unique_names(model.outputs)
    )
