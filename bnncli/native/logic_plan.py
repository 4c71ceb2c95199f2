"""Make the gates of a network fewer and simpler before the C interpreter gets them.

    simplify   constants, wires and inverters become other names of signals
    polarize   gates that no output needs go; each other one is stored as it is or complemented

:mod:`bnncli.native.logic_schedule` does the rest.

See ``book/decisions/interpreter.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bnncli.gates import N_GATES, TRIVIAL, WIRE_A

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

ALL_TRUE, NOR = 0xF, 0x1


def _bits(table: int) -> tuple[int, ...]:
    return tuple(table >> i & 1 for i in range(4))


def _table(f00: int, f10: int, f01: int, f11: int) -> int:
    return f00 | f10 << 1 | f01 << 2 | f11 << 3


def _rewritten(order: tuple[int, int, int, int]) -> list[int]:
    """Give for every truth table the one whose entry i is the entry order[i]."""
    return [_table(*(_bits(t)[i] for i in order)) for t in range(N_GATES)]


NOT_A = _rewritten((1, 0, 3, 2))
NOT_B = _rewritten((2, 3, 0, 1))
SWAPPED = _rewritten((0, 2, 1, 3))
ZERO_A = _rewritten((0, 0, 2, 2))
ZERO_B = _rewritten((0, 1, 0, 1))
EQUAL = _rewritten((0, 3, 0, 3))
"""By truth table: the one with an input complemented, the inputs exchanged, one 0, both equal."""

INVERTED = ((list(range(N_GATES)), NOT_B), (NOT_A, [NOT_A[t] for t in NOT_B]))
"""By complement of a, complement of b and truth table: the table on the uncomplemented inputs."""

TO_SWAP = frozenset({0x4, 0xB})
"""Of these and the tables with exchanged inputs the interpreter knows only the latter."""


@dataclass
class Netlist:
    """Gates on nodes: 0 = false, then the inputs, then the gates.

    An output is a literal, 2 · node + complement.
    """

    n_inputs: int
    op: list[int] = field(default_factory=list)
    a: list[int] = field(default_factory=list)
    b: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    @property
    def first_gate(self) -> int:
        """Give the node of the first gate."""
        return 1 + self.n_inputs

    def add(self, op: int, a: int, b: int) -> int:
        """Append a gate and give its node."""
        self.op.append(op)
        self.a.append(a)
        self.b.append(b)
        return self.n_inputs + len(self.op)


def _literal(table: int, a: int, b: int) -> int:
    """Give the literal that a trivial gate on the nodes a and b stands for."""
    complement = table & 1
    positive = table ^ ALL_TRUE * complement
    node = 0 if positive == 0 else a if positive == WIRE_A else b
    return 2 * node + complement


def simplify(network: LogicNetwork, inputs: NDArray[np.int64]) -> Netlist:
    """Follow constants, wires and inverters; the gates that are left combine two nodes.

    ``inputs`` gives the number of each input's bit; repeated inputs may share one, and -1 stands
    for the constant false.
    """
    netlist = Netlist(int(inputs.max()) + 1)
    literals = [0, 1, *(2 + 2 * inputs).tolist()]
    for op, a, b in zip(network.op.tolist(), network.a.tolist(), network.b.tolist(), strict=True):
        x, y = literals[a], literals[b]
        table = INVERTED[x & 1][y & 1][op]
        x, y = x >> 1, y >> 1
        if not x:
            table = ZERO_A[table]
        if not y:
            table = ZERO_B[table]
        if x == y:
            table = EQUAL[table]
        trivial = table in TRIVIAL
        literals.append(_literal(table, x, y) if trivial else 2 * netlist.add(table, x, y))
    netlist.outputs = [literals[i] for i in network.outputs.tolist()]
    return netlist


def live_nodes(netlist: Netlist) -> list[bool]:
    """Tell which nodes some output needs."""
    first = netlist.first_gate
    live = [False] * (first + len(netlist.op))
    for literal in netlist.outputs:
        live[literal >> 1] = True
    for i in range(len(netlist.op) - 1, -1, -1):
        if live[first + i]:
            live[netlist.a[i]] = live[netlist.b[i]] = True
    return live


def polarize(netlist: Netlist) -> Netlist:
    """Drop the gates that no output needs and store the others with the polarity that costs least.

    A gate that is an output is stored as the output wants it, any other one so that f(0, 0) = 0:
    and, a & ~b, or, xor. An output that is the complement of a stored node becomes a NOR of the
    node with itself. Outputs are then the literals 0, 1 or 2 · node.
    """
    live = live_nodes(netlist)
    wanted = {literal >> 1: literal & 1 for literal in netlist.outputs}
    out = Netlist(netlist.n_inputs)
    # By old node: the literal of the new one.
    literals = [2 * node for node in range(netlist.first_gate)]
    gates = zip(netlist.op, netlist.a, netlist.b, strict=True)
    for node, (op, a, b) in enumerate(gates, netlist.first_gate):
        if not live[node]:
            literals.append(0)
            continue
        x, y = literals[a], literals[b]
        table = INVERTED[x & 1][y & 1][op]
        complement = wanted.get(node, table & 1)
        if complement:
            table ^= ALL_TRUE
        if table in TO_SWAP:
            table, x, y = SWAPPED[table], y, x
        literals.append(2 * out.add(table, x >> 1, y >> 1) + complement)
    inverters: dict[int, int] = {}
    for literal in netlist.outputs:
        new = literals[literal >> 1] ^ literal & 1
        if new > 1 and new & 1:
            if new not in inverters:
                inverters[new] = 2 * out.add(NOR, new >> 1, new >> 1)
            new = inverters[new]
        out.outputs.append(new)
    return out
