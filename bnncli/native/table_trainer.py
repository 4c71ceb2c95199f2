"""Train a whole network of relaxed two-input gates on every row of a truth table at once.

The state lies in numpy arrays of the caller: a call takes some steps and returns, so that training
is stopped, saved and resumed at any step and gives the same bits. See
:mod:`bnncli.native.table_reference` for the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bnncli.bits import pack_bits
from bnncli.errors import BnnError
from bnncli.native.kernels import CBackend, default_backend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TableProblem:
    """Hold the wires of a network and the truth table that it shall compute.

    Signals are the inputs, then the gates in order; ``a[g], b[g] < n_inputs + g``; the last gates
    are the outputs. Build it with :func:`table_problem`, which checks that.
    Shape: a, b (n_gates,) int32; x (n_inputs, words), y (n_outputs, words) packed rows.
    """

    a: NDArray[np.int32]
    b: NDArray[np.int32]
    x: NDArray[np.uint64]
    y: NDArray[np.uint64]
    n_rows: int

    @property
    def n_inputs(self) -> int:
        """Count the inputs."""
        return len(self.x)

    @property
    def n_gates(self) -> int:
        """Count the gates."""
        return len(self.a)

    @property
    def n_outputs(self) -> int:
        """Count the outputs."""
        return len(self.y)


@dataclass(frozen=True)
class AdamW:
    """Set the update: w -= lr (m̂ / (√v̂ + epsilon) + decay w), gradient clipped by value."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    decay: float = 0.01
    clip: float = 100.0


@dataclass
class TableState:
    """Hold what training changes.

    ``logits`` (n_gates, 4) are those of the truth table's bits f00, f10, f01, f11, through a
    sigmoid; (n_gates, 16) those of the truth tables 0 to 15, through a softmax.
    Shape: logits, m, v (n_gates, 4 or 16) float32.
    """

    logits: Floats
    m: Floats
    v: Floats
    steps: int = 0

    @classmethod
    def start(cls, logits: Floats) -> TableState:
        """Begin at given logits, which are copied."""
        logits = np.array(logits, dtype=np.float32, order="C")
        return cls(logits, np.zeros_like(logits), np.zeros_like(logits))


class TableTrainer(Protocol):
    """Compute steps, gradients and errors of a network on its truth table."""

    name: str

    def train(
        self, problem: TableProblem, state: TableState, how: AdamW, n_steps: int
    ) -> tuple[float, int]:
        """Take steps in place; give the loss before the last step and the wrong bits after it."""

    def gradient(self, problem: TableProblem, logits: Floats) -> tuple[Floats, float]:
        """Give dloss/dlogits and the loss, the mean of squares over rows and outputs."""

    def errors(self, problem: TableProblem, logits: Floats) -> int:
        """Count the wrong bits, over rows and outputs, of the gates that the logits choose.

        A bit is entry > 0; of 16 logits the first of the largest counts.
        """


def table_problem(
    a: NDArray[np.int32], b: NDArray[np.int32], x: NDArray[np.bool_], y: NDArray[np.bool_]
) -> TableProblem:
    """Check wires and a truth table and pack the table's rows.

    Shape: a, b (n_gates,); x (n_rows, n_inputs), y (n_rows, n_outputs).
    """
    limit = x.shape[1] + np.arange(len(a))
    wrong = len(b) != len(a) or ((a < 0) | (b < 0) | (a >= limit) | (b >= limit)).any()
    if wrong:
        raise BnnError(
            f"wires of {len(a)} and {len(b)} gates: expected equally many, each from an input "
            f"(0 to {x.shape[1] - 1}) or an earlier gate"
        )
    if len(x) == 0 or len(x) != len(y) or not 0 < y.shape[1] <= len(a):
        raise BnnError(
            f"truth table with inputs {x.shape} and outputs {y.shape} for {len(a)} gates: expected "
            "equally many rows, at least one, and 1 output up to one for each gate"
        )
    return TableProblem(
        np.ascontiguousarray(a, dtype=np.int32),
        np.ascontiguousarray(b, dtype=np.int32),
        pack_bits(np.ascontiguousarray(x.T)),
        pack_bits(np.ascontiguousarray(y.T)),
        len(x),
    )


def check_logits(problem: TableProblem, *arrays: Floats) -> None:
    """Refuse logits or moments that do not fit the network."""
    for array in arrays:
        if (
            array.dtype != np.float32
            or not array.flags.c_contiguous
            or array.shape not in {(problem.n_gates, 4), (problem.n_gates, 16)}
            or array.shape != arrays[0].shape
        ):
            raise BnnError(
                f"logits or moments of shape {array.shape}, {array.dtype}: expected C-contiguous "
                f"float32, all ({problem.n_gates}, 4) or all ({problem.n_gates}, 16)"
            )


class CTableTrainer:
    """Compute with the C kernels; see :class:`TableTrainer`.

    ``isa`` is as for :class:`bnncli.native.CBackend`. Instruction sets round differently; equal
    bits need the same one.
    """

    def __init__(self, isa: str | None = None) -> None:
        self.name = CBackend(isa).name
        from bnncli._kernels import ffi, lib

        self._ffi, self._lib = ffi, lib
        self._isa = lib.bnn_isa_find(self.name.removeprefix("c:").encode())

    def train(
        self, problem: TableProblem, state: TableState, how: AdamW, n_steps: int
    ) -> tuple[float, int]:
        """Take steps in place; give the loss before the last step and the wrong bits after it."""
        check_logits(problem, state.logits, state.m, state.v)
        values = (how.lr, how.beta1, how.beta2, how.epsilon, how.decay, how.clip)
        loss = self._ffi.new("double *")
        status = self._lib.bnn_table_train(
            self._isa,
            self._table(problem, state.logits),
            self._ffi.new("bnn_adamw *", values),
            *(state.steps, n_steps),
            *(self._floats(array) for array in (state.logits, state.m, state.v)),
            loss,
        )
        _check_memory(status)
        state.steps += n_steps
        return loss[0], self.errors(problem, state.logits)

    def gradient(self, problem: TableProblem, logits: Floats) -> tuple[Floats, float]:
        """Give dloss/dlogits and the loss, the mean of squares over rows and outputs."""
        check_logits(problem, logits)
        out = np.empty_like(logits)
        loss = self._ffi.new("double *")
        table = self._table(problem, logits)
        status = self._lib.bnn_table_gradient(
            self._isa, table, self._floats(logits), self._floats(out), loss
        )
        _check_memory(status)
        return out, loss[0]

    def errors(self, problem: TableProblem, logits: Floats) -> int:
        """Count the wrong bits, over rows and outputs, of the gates that the logits choose."""
        check_logits(problem, logits)
        count = self._ffi.new("uint64_t *")
        table = self._table(problem, logits)
        _check_memory(self._lib.bnn_table_errors(table, self._floats(logits), count))
        return int(count[0])

    def _table(self, problem: TableProblem, logits: Floats) -> Any:
        """Point at the arrays of the problem, which must outlive the call."""
        return self._ffi.new(
            "bnn_table *",
            (
                *(problem.n_inputs, problem.n_gates, problem.n_outputs, problem.n_rows),
                logits.shape[1],
                *(self._ffi.from_buffer("int32_t[]", wires) for wires in (problem.a, problem.b)),
                *(self._ffi.from_buffer("uint64_t[]", bits) for bits in (problem.x, problem.y)),
            ),
        )

    def _floats(self, array: Floats) -> Any:
        return self._ffi.from_buffer("float[]", array)


def _check_memory(status: int) -> None:
    if status != 0:
        raise MemoryError("training on a truth table: no memory for the values of its signals")


def default_table_trainer() -> TableTrainer:
    """Return the trainer of the backend that BNN_KERNEL asks for; see ``default_backend``."""
    if isinstance(default_backend(), CBackend):
        return CTableTrainer()
    from bnncli.native.table_reference import NumpyTableTrainer

    return NumpyTableTrainer()
