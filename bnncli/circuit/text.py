"""The text form of a circuit, which round-trips and is the golden format of the tests.

    bnn-circuit 1
    inputs 3: a b carry
    5 = 6(2, 3)
    6 = 6(5, 4)
    outputs 6: sum

A line gives a gate's signal, its truth table as a hexadecimal digit (bit a + 2b) and the signals
that it reads; 0 is false, 1 is true, 2 the first input. Names may be left out with their colon.
What follows a # is a comment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bnncli.circuit.ir import FIRST_INPUT, Circuit
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "bnn-circuit 1"
_GATE = re.compile(r"(\d+) = ([0-9a-f])\((\d+), (\d+)\)")
_DIGITS = 10
"""More are no number of a signal, and would fit no array."""
_ENDS = re.compile(r"(inputs|outputs)((?: \d+)*)(?:: (.+))?")


def _ends(word: str, numbers: str, names: tuple[str, ...]) -> str:
    line = f"{word} {numbers}".rstrip()
    return f"{line}: {' '.join(names)}" if names else line


def to_text(circuit: Circuit) -> str:
    """Write a circuit as text."""
    for name in (*circuit.input_names, *circuit.output_names):
        if not re.fullmatch(r"[^\s#]+", name):
            raise BnnError(f"circuit: the name {name!r} has blanks or a #; give plain words")
    lines = [HEADER, _ends("inputs", str(circuit.n_inputs), circuit.input_names)]
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    lines += [f"{s} = {op:x}({a}, {b})" for s, (op, a, b) in enumerate(gates, circuit.first_gate)]
    numbers = " ".join(map(str, circuit.outputs.tolist()))
    return "\n".join([*lines, _ends("outputs", numbers, circuit.output_names)]) + "\n"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.split("#", 1)[0].strip()
        if content:
            yield number, content


def from_text(text: str, source: str = "circuit") -> Circuit:
    """Read what :func:`to_text` wrote; ``source`` names it in errors."""
    lines = list(_lines(text))

    def _number(digits: str, line: int) -> int:
        if len(digits) > _DIGITS:
            raise BnnError(f"{source}, line {line}: a number of {len(digits)} digits, too large")
        return int(digits)

    def ends(index: int, word: str) -> tuple[list[int], tuple[str, ...]]:
        number, line = lines[index]
        found = _ENDS.fullmatch(line)
        if not found or found[1] != word:
            raise BnnError(f"{source}, line {number}: {line!r} given, expected {word!r}")
        return [_number(n, number) for n in found[2].split()], tuple((found[3] or "").split())

    if len(lines) < 3 or lines[0][1] != HEADER:
        raise BnnError(f"{source}: expected a first line {HEADER!r}, then inputs, gates, outputs")
    count, input_names = ends(1, "inputs")
    if len(count) != 1:
        raise BnnError(f"{source}, line {lines[1][0]}: expected one number of inputs")
    outputs, output_names = ends(-1, "outputs")
    gates = []
    for expected, (number, line) in enumerate(lines[2:-1], FIRST_INPUT + count[0]):
        found = _GATE.fullmatch(line)
        if not found or found[1] != str(expected):
            raise BnnError(
                f"{source}, line {number}: {line!r} given, expected a gate such as "
                f"'{expected} = 8(2, 3)'"
            )
        gates.append((int(found[2], 16), _number(found[3], number), _number(found[4], number)))
    try:
        return Circuit.of_gates(count[0], gates, outputs, input_names, output_names)
    except BnnError as error:
        raise BnnError(f"{source}: {error}") from None
