"""The circuit: two-input gates as flat arrays, in an order in which they can be computed.

Signals are numbered 0 = false, 1 = true, then the inputs, then the gates. Gate i drives signal
2 + n_inputs + i and reads two signals of smaller numbers, so no circuit has a loop.
See ``book/decisions/circuits.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.circuit.levels import gate_levels
from bnncli.errors import BnnError
from bnncli.gates import N_GATES, TRIVIAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

FALSE, TRUE = 0, 1
"""The signals that are always 0 and always 1."""

FIRST_INPUT = 2
"""The number of the first input's signal, after the constants."""

MAX_INPUTS = 1 << 22
"""More inputs are taken for a damaged file, before memory is asked for."""


def _frozen(given: NDArray[Any], dtype: type) -> NDArray[Any]:
    if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
        raise BnnError(
            f"circuit: array of {given.dtype}, shape {given.shape}; expected a row of integers"
        )
    if given.size and (given.min() < 0 or given.max() > np.iinfo(dtype).max):
        raise BnnError(
            f"circuit: numbers from {given.min()} to {given.max()}, expected 0 to "
            f"{np.iinfo(dtype).max}"
        )
    copy: NDArray[Any] = given.astype(dtype)
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, eq=False)
class Circuit:
    """Gates over ``n_inputs`` bits: gate i computes the truth table op[i] of signals a[i], b[i].

    A truth table has the output for (a, b) at bit a + 2b (see :mod:`bnncli.gates`). The arrays are
    copied, checked and made read-only; a pass takes a circuit and gives a new one. Names are for
    emitted text; none or one for each input (output).

    Shape: op, a, b (n_gates,); outputs (n_outputs,).
    """

    n_inputs: int
    op: NDArray[np.uint8]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    outputs: NDArray[np.int32]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, dtype in (("op", np.uint8), ("a", np.int32), ("b", np.int32)):
            object.__setattr__(self, name, _frozen(getattr(self, name), dtype))
        object.__setattr__(self, "outputs", _frozen(self.outputs, np.int32))
        object.__setattr__(self, "input_names", tuple(self.input_names))
        object.__setattr__(self, "output_names", tuple(self.output_names))
        self._check()

    @classmethod
    def of_gates(
        cls,
        n_inputs: int,
        gates: Iterable[tuple[int, int, int]],
        outputs: Sequence[int],
        input_names: Sequence[str] = (),
        output_names: Sequence[str] = (),
    ) -> Circuit:
        """Make a circuit of gates (op, a, b), in order."""
        table: NDArray[Any] = np.array(list(gates), dtype=np.int64).reshape(-1, 3)
        ends: NDArray[Any] = np.array(outputs, dtype=np.int64)
        names = (tuple(input_names), tuple(output_names))
        return cls(n_inputs, table[:, 0], table[:, 1], table[:, 2], ends, *names)

    def _check(self) -> None:
        if not 0 <= self.n_inputs <= MAX_INPUTS:
            raise BnnError(f"circuit: {self.n_inputs} inputs, expected 0 to {MAX_INPUTS}")
        if not len(self.op) == len(self.a) == len(self.b):
            raise BnnError(f"circuit: {len(self.op)} op, {len(self.a)} a and {len(self.b)} b")
        if self.n_gates and self.op.max() >= N_GATES:
            raise BnnError(f"circuit: truth table {self.op.max()}, expected 0 to {N_GATES - 1}")
        before = np.arange(self.first_gate, self.n_signals, dtype=np.int32)
        for name, signals, limit in (
            ("a", self.a, before),
            ("b", self.b, before),
            ("outputs", self.outputs, np.full(len(self.outputs), self.n_signals, np.int32)),
        ):
            wrong = np.flatnonzero(signals >= limit)
            if len(wrong):
                i = wrong[0]
                raise BnnError(
                    f"circuit: {name}[{i}] is signal {signals[i]}, expected 0 to {limit[i] - 1}; a "
                    f"gate reads only signals before it"
                )
        for kind, names, count in (
            ("inputs", self.input_names, self.n_inputs),
            ("outputs", self.output_names, self.n_outputs),
        ):
            if names and len(names) != count:
                raise BnnError(f"circuit: {len(names)} names for {count} {kind}; give one for each")
            if len(set(names)) != len(names):
                raise BnnError(f"circuit: two {kind} have the same name; give each its own")

    @property
    def n_gates(self) -> int:
        """Count the declared gates: all of them, whether an output needs them or not."""
        return len(self.op)

    @property
    def n_outputs(self) -> int:
        """Count the outputs."""
        return len(self.outputs)

    @property
    def first_gate(self) -> int:
        """Give the signal that gate 0 drives."""
        return FIRST_INPUT + self.n_inputs

    @property
    def n_signals(self) -> int:
        """Count the constants, inputs and gates."""
        return self.first_gate + self.n_gates

    def live(self) -> NDArray[np.bool_]:
        """Tell for each gate whether an output depends on it through the wires.

        Shape: (n_gates,).
        """
        needed = np.zeros(self.n_signals, dtype=np.bool_)
        needed[self.outputs] = True
        a, b = self.a.tolist(), self.b.tolist()
        alive = needed.tolist()
        for i in range(self.n_gates - 1, -1, -1):
            if alive[self.first_gate + i]:
                alive[a[i]] = alive[b[i]] = True
        return np.array(alive[self.first_gate :], dtype=np.bool_)

    @property
    def size(self) -> int:
        """Count the live gates that are neither constants nor wires; an inverter counts as one."""
        free = np.isin(self.op, sorted(TRIVIAL - {0x3, 0x5}))
        return int(np.count_nonzero(self.live() & ~free))

    @property
    def depth(self) -> int:
        """Count the gates on the longest path from an input to an output."""
        if not self.n_gates:
            return 0
        levels = gate_levels(self.first_gate, self.a, self.b)
        driven = self.outputs[self.outputs >= self.first_gate] - self.first_gate
        return int(levels[driven].max(initial=0))

    def __eq__(self, other: object) -> bool:
        """Compare gates, outputs and names, not functions."""
        if not isinstance(other, Circuit):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        arrays = (self.op, self.a, self.b, self.outputs)
        names = (self.input_names, self.output_names)
        return (self.n_inputs, *(array.tobytes() for array in arrays), *names)
