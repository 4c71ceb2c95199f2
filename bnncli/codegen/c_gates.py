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

IGNORES_A, IGNORES_B = frozenset({0x0, 0x3, 0xC, 0xF}), frozenset({0x0, 0x5, 0xA, 0xF})
"""Truth tables that do not depend on an operand."""


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


def needed(circuit: Circuit) -> list[bool]:
    """Tell for each signal whether an output depends on it by the truth tables on the way."""
    first = FIRST_INPUT + circuit.n_inputs
    need = [False] * circuit.n_signals
    for signal in circuit.outputs.tolist():
        need[signal] = True
    op, a, b = circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist()
    for i in range(circuit.n_gates - 1, -1, -1):
        if need[first + i]:
            need[a[i]] |= op[i] not in IGNORES_A
            need[b[i]] |= op[i] not in IGNORES_B
    return need


def gate_statements(
    circuit: Circuit, inputs: Sequence[str], *, prefix: str = "g", style: Style = C_STYLE
) -> tuple[list[str], list[str]]:
    """Give one statement for each gate needed, in order, and the expressions of the outputs.

    Values are named g0, g1, … Wires and constants get no statement, nor does what only an operand
    that does not matter would read; so there are at most ``circuit.size``.
    """
    names = [style.false, style.true, *inputs, *[""] * circuit.n_gates]
    lines: list[str] = []
    first = FIRST_INPUT + circuit.n_inputs
    gates = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True)
    need = needed(circuit)
    for signal, (op, a, b) in enumerate(gates, first):
        if not need[signal]:
            continue
        if op in FREE:
            names[signal] = names[{0x0: 0, 0xF: 1, WIRE_A: a, WIRE_B: b}[op]]
            continue
        name = f"{prefix}{len(lines)}"
        value = style.value(op, names[a], names[b])
        lines.append(style.statement.format(name=name, value=value))
        names[signal] = name
    return lines, [names[signal] for signal in circuit.outputs.tolist()]
