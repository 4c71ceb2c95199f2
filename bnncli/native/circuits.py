"""Circuits in C: simulation, 512 cases a pass, and the walk that makes small ones smaller.

The functions have the signatures of their numpy references in :mod:`bnncli.circuit.simulate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import WORD
from bnncli.circuit import Builder, signal_values, simulate
from bnncli.errors import BnnError
from bnncli.native import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.circuit import Circuit
    from bnncli.native.kernels import Library

NO_SHIFTS, ROW_SHIFTS, CELL_SHIFTS = 0, 1, 2
"""What a walk counts: all gates, or those of a cell's neighbourhood up to shifts by rows, or any."""

MAX_WALK_INPUTS = 12
MAX_WALK_GATES = 16384


class CircuitKernels(ABC):
    """Simulate circuits on packed cases."""

    name: str
    """The implementation and its instruction set."""

    @abstractmethod
    def signal_values(self, circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute all signals from the inputs.

        Shape: (n_inputs, words) -> (n_signals, words).
        """

    @abstractmethod
    def simulate(self, circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute the outputs from the inputs; bit k of word w is case 64 w + k of each.

        Shape: (n_inputs, words) -> (n_outputs, words).
        """


class NumpyCircuits(CircuitKernels):
    """The reference."""

    name = "numpy"

    def signal_values(self, circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute all signals from the inputs."""
        return signal_values(circuit, inputs)

    def simulate(self, circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute the outputs from the inputs."""
        return simulate(circuit, inputs)


def _c_circuit(library: Library, circuit: Circuit) -> Any:
    """Give the structure of a circuit and the pointers that it does not keep alive."""
    arrays = [
        library.pointer(circuit.op, "uint8_t"),
        *(library.pointer(x, "int32_t") for x in (circuit.a, circuit.b, circuit.outputs)),
    ]
    counts = (circuit.n_inputs, circuit.n_gates, circuit.n_outputs)
    return library.new("bnn_circuit *", (*counts, *arrays)), arrays


class CCircuits(CircuitKernels):
    """Simulation in C. ``isa`` is one of ``ISA_NAMES``; by default ``BNN_ISA``, else the fastest."""

    def __init__(self, isa: str | None = None) -> None:
        self._library = kernels.load_library(isa)
        self.name = "c:" + self._library.isa_name

    def signal_values(self, circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute all signals from the inputs."""
        return self._values(circuit, inputs, np.arange(circuit.n_signals, dtype=np.int32))

    def simulate(self, circuit: Circuit, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute the outputs from the inputs."""
        return self._values(circuit, inputs, circuit.outputs)

    def _values(
        self, circuit: Circuit, inputs: NDArray[np.uint64], wanted: NDArray[np.int32]
    ) -> NDArray[np.uint64]:
        if inputs.ndim != 2 or len(inputs) != circuit.n_inputs or inputs.dtype != WORD:
            raise BnnError(
                f"simulate: inputs of {inputs.dtype}, shape {inputs.shape}; expected uint64, "
                f"({circuit.n_inputs}, words)"
            )
        library = self._library
        structure, kept = _c_circuit(library, circuit)
        words = inputs.shape[1]
        out = np.empty((len(wanted), words), dtype=WORD)
        status = library.functions.bnn_circuit_simulate(
            *(library.isa, structure),
            *(library.pointer(np.ascontiguousarray(inputs), "uint64_t"), words),
            *(library.pointer(wanted, "int32_t"), len(wanted), library.pointer(out, "uint64_t")),
        )
        del kept
        if status != 0:
            raise MemoryError(f"simulate: no memory for {circuit.n_signals} signals")
        return out


class Walk:
    """A random walk over circuits that are equal on all rows, and the cheapest that it met.

    It takes don't-care resubstitutions at a constant temperature: a step that makes the circuit
    d gates larger is taken with probability exp(-d / temperature). Shared operations cost a gate
    each, and 0.04 for every gate that they stand for. The walk depends on the
    start, ``seed``, ``temperature``, ``shifts`` and the number of steps alone, on any machine.
    Steps release the GIL; a walk belongs to one thread at a time.
    """

    def __init__(
        self,
        circuit: Circuit,
        *,
        seed: int,
        temperature: float,
        shifts: int = NO_SHIFTS,
        isa: str | None = None,
    ) -> None:
        if circuit.n_inputs > MAX_WALK_INPUTS or circuit.n_gates > MAX_WALK_GATES:
            raise BnnError(
                f"circuit of {circuit.n_inputs} inputs and {circuit.n_gates} gates: a walk takes "
                f"at most {MAX_WALK_INPUTS} and {MAX_WALK_GATES}; minimize it by windows"
            )
        if shifts != NO_SHIFTS and circuit.n_inputs != 9:
            raise BnnError(
                f"circuit of {circuit.n_inputs} inputs: work is shared between cells of one "
                f"channel, expected the 9 inputs of a neighbourhood"
            )
        if not temperature > 0:
            raise BnnError(f"temperature={temperature} given, expected more than 0")
        self._circuit = circuit
        self._library = library = kernels.load_library(isa)
        structure, kept = _c_circuit(library, circuit)
        create = library.functions.bnn_resub_create
        state = create(library.isa, structure, seed % 2**64, temperature, shifts)
        del kept
        if state == library.null:
            raise MemoryError(f"minimize: no memory for {circuit.n_signals} signals")
        self._state = library.collected(state, library.functions.bnn_resub_free)
        self.steps = 0

    def step(self, n_steps: int) -> None:
        """Take steps."""
        if self._library.functions.bnn_resub_step(self._state, n_steps) != 0:
            raise BnnError("minimize: internal error, a circuit lost its function; report this")
        self.steps += n_steps

    @property
    def cost(self) -> int:
        """Count the gates, or with shifts the operations that cells share, of the best circuit."""
        return int(self._library.functions.bnn_resub_cost(self._state))

    def best(self) -> Circuit:
        """Give the best circuit so far."""
        library, circuit = self._library, self._circuit
        size = int(library.functions.bnn_resub_gates(self._state))
        op, ends = np.empty(size, np.uint8), np.empty(circuit.n_outputs, np.uint32)
        a, b = np.empty(size, np.int32), np.empty(size, np.int32)
        library.functions.bnn_resub_best(
            self._state,
            library.pointer(op, "uint8_t"),
            *(library.pointer(x, "int32_t") for x in (a, b)),
            library.pointer(ends, "uint32_t"),
        )
        build = Builder(circuit.n_inputs)
        literals = [0, 1, *build.inputs()]
        for table, x, y in zip(op.tolist(), a.tolist(), b.tolist(), strict=True):
            literals.append(build.gate(table, literals[x], literals[y]))
        wanted = [literals[x >> 1] ^ x & 1 for x in ends.tolist()]
        return build.build(wanted, circuit.input_names, circuit.output_names)


@cache
def default_circuits() -> CircuitKernels:
    """Return the simulation of the backend that BNN_KERNEL asks for; see ``default_backend``."""
    backend = kernels.default_backend()
    return CCircuits() if isinstance(backend, kernels.CBackend) else NumpyCircuits()
