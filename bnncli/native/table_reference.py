"""The numpy reference of training on a truth table; slow, one gate at a time.

    y = c0 + c1·a + c2·b + c3·a·b,  c = M f                    (M: gates.ENTRY_TO_COEFFICIENT)
    f = sigmoid(w)                                             for 4 logits a gate
    f_i = Σ_k p_k · (bit i of k),  p = softmax(w)              for 16 logits a gate
    loss = mean over rows and outputs of (y - wanted)²

Four logits are the input-wise parametrization (arXiv:2510.03250), sixteen that of difflogic
(arXiv:2210.08277); the update is AdamW.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.bits import unpack_bits
from bnncli.gates import ENTRY_TO_COEFFICIENT, N_GATES, table_entries
from bnncli.native.table_trainer import check_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.native.table_trainer import AdamW, Floats, TableProblem, TableState

ENTRIES = table_entries(np.arange(N_GATES))
"""Entries (f00, f10, f01, f11) of each truth table: (16, 4)."""


class NumpyTableTrainer:
    """Compute with numpy; see :class:`bnncli.native.table_trainer.TableTrainer`."""

    name = "numpy"

    def train(
        self, problem: TableProblem, state: TableState, how: AdamW, n_steps: int
    ) -> tuple[float, int]:
        """Take steps in place; give the loss before the last step and the wrong bits after it."""
        check_logits(problem, state.logits, state.m, state.v)
        loss = 0.0
        for _ in range(n_steps):
            gradient, loss = self.gradient(problem, state.logits)
            state.steps += 1
            _update(state, gradient, how)
        return loss, self.errors(problem, state.logits)

    def gradient(self, problem: TableProblem, logits: Floats) -> tuple[Floats, float]:
        """Give dloss/dlogits and the loss, the mean of squares over rows and outputs."""
        check_logits(problem, logits)
        chances, entries = _entries(logits)
        c = entries @ ENTRY_TO_COEFFICIENT.T
        n_inputs = problem.n_inputs
        values = np.empty((n_inputs + problem.n_gates, problem.n_rows), dtype=np.float32)
        values[:n_inputs] = unpack_bits(problem.x, problem.n_rows)
        for g, (i, j) in enumerate(zip(problem.a, problem.b, strict=True)):
            a, b = values[i], values[j]
            values[n_inputs + g] = (c[g, 0] + c[g, 1] * a) + b * (c[g, 2] + c[g, 3] * a)
        error = values[-problem.n_outputs :] - unpack_bits(problem.y, problem.n_rows)
        deltas = np.zeros_like(values)
        deltas[-problem.n_outputs :] = np.float32(2 / error.size) * error
        by_coefficient = np.empty((problem.n_gates, 4), dtype=np.float32)
        for g in reversed(range(problem.n_gates)):
            i, j = problem.a[g], problem.b[g]
            a, b, d = values[i], values[j], deltas[n_inputs + g]
            by_coefficient[g] = d.sum(), d @ a, d @ b, (d * a) @ b
            deltas[i] += d * (c[g, 1] + c[g, 3] * b)
            deltas[j] += d * (c[g, 2] + c[g, 3] * a)
        by_entry = by_coefficient @ ENTRY_TO_COEFFICIENT
        if logits.shape[1] == 4:
            return by_entry * chances * (1 - chances), float(np.square(error).mean(dtype=float))
        along = by_entry @ ENTRIES.T
        gradient = chances * (along - (chances * along).sum(axis=1, keepdims=True))
        return gradient.astype(np.float32), float(np.square(error).mean(dtype=float))

    def errors(self, problem: TableProblem, logits: Floats) -> int:
        """Count the wrong bits, over rows and outputs, of the gates that the logits choose."""
        check_logits(problem, logits)
        bits = (logits if logits.shape[1] == 4 else ENTRIES[logits.argmax(axis=1)]) > 0
        values = list(unpack_bits(problem.x, problem.n_rows).astype(np.int8))
        for g, (i, j) in enumerate(zip(problem.a, problem.b, strict=True)):
            values.append(bits[g].astype(np.int8)[values[i] + 2 * values[j]])
        found = np.stack(values[-problem.n_outputs :])
        return int((found != unpack_bits(problem.y, problem.n_rows)).sum())


def _entries(logits: Floats) -> tuple[Floats, Floats]:
    """Give sigmoid or softmax of the logits, and the entries f00, f10, f01, f11 of each gate."""
    if logits.shape[1] == 4:
        entries = (1 / (1 + np.exp(-np.clip(logits, -87, 87)))).astype(np.float32)
        return entries, entries
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return chances, chances @ ENTRIES


def _update(state: TableState, gradient: NDArray[np.float32], how: AdamW) -> None:
    """Take the AdamW step number ``state.steps``."""
    clipped = np.clip(gradient, -how.clip, how.clip)
    state.m += np.float32(1 - how.beta1) * (clipped - state.m)
    state.v += np.float32(1 - how.beta2) * (np.square(clipped) - state.v)
    m = state.m / np.float32(1 - how.beta1**state.steps)
    v = state.v / np.float32(1 - how.beta2**state.steps)
    step = m / (np.sqrt(v) + np.float32(how.epsilon)) + np.float32(how.decay) * state.logits
    state.logits -= np.float32(how.lr) * step
