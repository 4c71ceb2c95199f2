"""Gates as statements of C-like languages; shared by every emitter of one line a gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.circuit.ir import FIRST_INPUT
from bnncli.gates import TRIVIAL, WIRE_A, WIRE_B

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.circuit.ir import Circuit

C_GATES = (
    *("{false}", "~({a} | {b})", "{a} & ~{b}", "~{b}", "~{a} & {b}", "~{a}", "{a} ^ {b}"),
    *("~({a} & {b})", "{a} & {b}", "~({a} ^ {b})", "{a}", "{a} | ~{b}", "{b}", "~{a} | {b}"),
    *("{a} | {b}", "{true}"),
)
"""Each gate as an expression of bitwise operators, by truth table: C, JavaScript, Verilog."""

FREE = frozenset(TRIVIAL - {0x3, 0x5})
"""Constants and wires: no statement, their readers read what they stand for."""


@dataclass(frozen=True)
class Style:
    """How a language writes gates, constants and the statement that names a value."""

    gates: Sequence[str] = C_GATES
    false: str = "BNN_FALSE"
    true: str = "BNN_TRUE"
    statement: str = "const bnn_word {name} = {value};"

    def value(self, op: int, a: str, b: str) -> str:
        """Give the expression of a gate on operands that are names."""
        return self.gates[op].format(a=a, b=b, false=self.false, true=self.true)


C_STYLE = Style()


def gate_statements(
    circuit: Circuit, inputs: Sequence[str], *, prefix: str = "g", style: Style = C_STYLE
) -> tuple[list[str], list[str]]:
    """Give one statement for each live gate, in order, and the expressions of the outputs.

    Values are named g0, g1, … Wires and constants get no statement, so that there are
    ``circuit.size`` of them.
    """
    names = [style.false, style.true, *inputs, *[""] * circuit.n_gates]
    lines: list[str] = []
    first = FIRST_INPUT + circuit.n_inputs
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    for signal, ((op, a, b), live) in enumerate(
        zip(gates, circuit.live().tolist(), strict=True), first
    ):
        if not live:
            continue
        if op in FREE:
            names[signal] = names[{0x0: 0, 0xF: 1, WIRE_A: a, WIRE_B: b}[op]]
            continue
        name = f"{prefix}{len(lines)}"
        value = style.value(op, names[a], names[b])
        lines.append(style.statement.format(name=name, value=value))
        names[signal] = name
    return lines, [names[signal] for signal in circuit.outputs.tolist()]
