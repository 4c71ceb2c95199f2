"""The calls of the logic-gate kernels, and the same in numpy.

Activations are feature-major float32, ``(features, batch)``. Shapes and types are checked at every
call; indices are not: whoever makes a wiring checks it once with :func:`check_wires`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Wires = NDArray[np.int32]

FLOAT = np.dtype(np.float32)
WIRE = np.dtype(np.int32)


def check_wires(what: str, wires: NDArray[Any], n_rows: int) -> None:
    """Refuse indices that are not int32 or do not name one of ``n_rows`` rows."""
    if wires.dtype != WIRE or not wires.flags.c_contiguous:
        raise BnnError(f"{what}: the indices have dtype {wires.dtype}, expected contiguous int32")
    low, high = (int(wires.min()), int(wires.max())) if wires.size else (0, 0)
    if low < 0 or high >= n_rows:
        wrong = low if low < 0 else high
        raise BnnError(f"{what}: index {wrong} given, expected 0 to {n_rows - 1}")


def check_exact(
    what: str, array: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    """Refuse an array of another type, shape or memory order."""
    if array.shape == shape and array.dtype == dtype and array.flags.c_contiguous:
        return
    order = "" if array.flags.c_contiguous else ", not contiguous"
    raise BnnError(
        f"{what} has dtype {array.dtype} and shape {array.shape}{order}; "
        f"expected contiguous {dtype} of shape {shape}"
    )


def _size(what: str, array: NDArray[Any]) -> tuple[int, int]:
    if array.ndim != 2 or array.size == 0:
        raise BnnError(
            f"{what} has shape {array.shape}, expected two dimensions, neither of them empty"
        )
    return array.shape[0], array.shape[1]


def check_threads(what: str, threads: int) -> None:
    """Refuse fewer threads than one."""
    if threads < 1:
        raise BnnError(f"{what}: threads={threads} given, expected at least 1")


def check_gates(
    what: str, x: Floats, a: Wires, b: Wires, coefficients: Floats
) -> tuple[int, int, int]:
    """Check the operands of a gate layer and give its inputs, outputs and batch."""
    inputs, batch = _size(f"{what}: x", x)
    outputs, _ = _size(f"{what}: coefficients", coefficients)
    check_exact(f"{what}: x", x, FLOAT, (inputs, batch))
    check_exact(f"{what}: a", a, WIRE, (outputs,))
    check_exact(f"{what}: b", b, WIRE, (outputs,))
    check_exact(f"{what}: coefficients", coefficients, FLOAT, (outputs, 4))
    return inputs, outputs, batch


def check_mix(
    what: str, x: Floats, candidates: Wires, weights: Floats
) -> tuple[int, int, int, int]:
    """Check the operands of a mix and give its inputs, rows, k and batch."""
    inputs, batch = _size(f"{what}: x", x)
    rows, k = _size(f"{what}: candidates", candidates)
    check_exact(f"{what}: x", x, FLOAT, (inputs, batch))
    check_exact(f"{what}: candidates", candidates, WIRE, (rows, k))
    check_exact(f"{what}: weights", weights, FLOAT, (rows, k))
    return inputs, rows, k, batch


def check_mixed(
    what: str, x: Floats, candidates: Wires, weights: Floats, coefficients: Floats
) -> tuple[int, int, int, int]:
    """Check the operands of gates between mixes and give inputs, outputs, k and batch."""
    inputs, batch = _size(f"{what}: x", x)
    outputs, _ = _size(f"{what}: coefficients", coefficients)
    k = candidates.shape[-1] if candidates.ndim else 0
    check_exact(f"{what}: x", x, FLOAT, (inputs, batch))
    check_exact(f"{what}: candidates", candidates, WIRE, (2, outputs, max(k, 1)))
    check_exact(f"{what}: weights", weights, FLOAT, (2, outputs, k))
    check_exact(f"{what}: coefficients", coefficients, FLOAT, (outputs, 4))
    return inputs, outputs, k, batch


def output_for(what: str, out: Floats | None, shape: tuple[int, int]) -> Floats:
    """Give ``out``, checked, or a new array."""
    if out is None:
        return np.empty(shape, dtype=FLOAT)
    check_exact(f"{what}: out", out, FLOAT, shape)
    return out


class LogicKernels(Protocol):
    """The passes of a gate layer and of the mixing in front of it.

    ``a`` and ``b`` are int32 ``(outputs,)``, ``coefficients`` float32 ``(outputs, 4)``,
    ``candidates`` int32 ``(rows, k)``, ``weights`` float32 ``(rows, k)``; in the mixed passes both
    are ``(2, outputs, k)``.
    """

    @property
    def name(self) -> str:
        """Name the implementation and its instruction set."""
        ...

    def gate_forward(
        self,
        x: Floats,
        a: Wires,
        b: Wires,
        coefficients: Floats,
        out: Floats | None = None,
        threads: int = 1,
    ) -> Floats:
        """Evaluate relaxed gates: ``y = (c0 + c1 A) + B (c2 + c3 A)``.

        Shape: ``(inputs, batch) -> (outputs, batch)``.
        """
        ...

    def gate_backward(
        self,
        x: Floats,
        a: Wires,
        b: Wires,
        coefficients: Floats,
        grad: Floats,
        need_x: bool = True,
        threads: int = 1,
    ) -> tuple[Floats | None, Floats]:
        """Give the gradients of x (None unless ``need_x``) and of the coefficients.

        Shape: ``(outputs, batch) -> (inputs, batch), (outputs, 4)``.
        """
        ...

    def mix_forward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        out: Floats | None = None,
        threads: int = 1,
    ) -> Floats:
        """Add up weighted rows of x: ``y[r] = sum_i weights[r, i] x[candidates[r, i]]``.

        Shape: ``(inputs, batch) -> (rows, batch)``.
        """
        ...

    def mix_backward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        grad: Floats,
        need_x: bool = True,
        threads: int = 1,
    ) -> tuple[Floats | None, Floats]:
        """Give the gradients of x (None unless ``need_x``) and of the weights.

        Shape: ``(rows, batch) -> (inputs, batch), (rows, k)``.
        """
        ...

    def mixed_forward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        coefficients: Floats,
        out: Floats | None = None,
        threads: int = 1,
    ) -> Floats:
        """Evaluate gates whose inputs are mixes: ``candidates[0]`` of A, ``[1]`` of B.

        Shape: ``(inputs, batch) -> (outputs, batch)``.
        """
        ...

    def mixed_backward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        coefficients: Floats,
        grad: Floats,
        need_x: bool = True,
        threads: int = 1,
    ) -> tuple[Floats | None, Floats, Floats]:
        """Give the gradients of x (None unless ``need_x``), the weights and the coefficients.

        Shape: ``(outputs, batch) -> (inputs, batch), (2, outputs, k), (outputs, 4)``.
        """
        ...


class NumpyLogic:
    """The passes in numpy, for comparison and for machines without a compiler.

    ``threads`` is accepted and not used.
    """

    name = "numpy"

    def gate_forward(
        self,
        x: Floats,
        a: Wires,
        b: Wires,
        coefficients: Floats,
        out: Floats | None = None,
        threads: int = 1,
    ) -> Floats:
        """Evaluate relaxed gates."""
        _, outputs, batch = check_gates("gate_forward", x, a, b, coefficients)
        check_threads("gate_forward", threads)
        out = output_for("gate_forward", out, (outputs, batch))
        c0, c1, c2, c3 = (column[:, np.newaxis] for column in coefficients.T)
        rows_a = x[a]
        out[:] = (c0 + c1 * rows_a) + x[b] * (c2 + c3 * rows_a)
        return out

    def gate_backward(
        self,
        x: Floats,
        a: Wires,
        b: Wires,
        coefficients: Floats,
        grad: Floats,
        need_x: bool = True,
        threads: int = 1,
    ) -> tuple[Floats | None, Floats]:
        """Give the gradients of x and of the coefficients."""
        _, outputs, batch = check_gates("gate_backward", x, a, b, coefficients)
        check_exact("gate_backward: grad", grad, FLOAT, (outputs, batch))
        check_threads("gate_backward", threads)
        rows_a, rows_b = x[a], x[b]
        with_a = grad * rows_a
        products = (grad, with_a, grad * rows_b, with_a * rows_b)
        dcoefficients = np.stack([product.sum(axis=1) for product in products], axis=1)
        if not need_x:
            return None, dcoefficients
        _, c1, c2, c3 = (column[:, np.newaxis] for column in coefficients.T)
        dx = np.zeros_like(x)
        np.add.at(dx, a, grad * (c1 + c3 * rows_b))
        np.add.at(dx, b, grad * (c2 + c3 * rows_a))
        return dx, dcoefficients

    def mix_forward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        out: Floats | None = None,
        threads: int = 1,
    ) -> Floats:
        """Add up weighted rows of x."""
        _, rows, k, batch = check_mix("mix_forward", x, candidates, weights)
        check_threads("mix_forward", threads)
        out = output_for("mix_forward", out, (rows, batch))
        np.multiply(weights[:, :1], x[candidates[:, 0]], out=out)
        for i in range(1, k):
            out += weights[:, i : i + 1] * x[candidates[:, i]]
        return out

    def mix_backward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        grad: Floats,
        need_x: bool = True,
        threads: int = 1,
    ) -> tuple[Floats | None, Floats]:
        """Give the gradients of x and of the weights."""
        _, rows, k, batch = check_mix("mix_backward", x, candidates, weights)
        check_exact("mix_backward: grad", grad, FLOAT, (rows, batch))
        check_threads("mix_backward", threads)
        dweights = np.empty_like(weights)
        dx = np.zeros_like(x) if need_x else None
        for i in range(k):
            dweights[:, i] = np.einsum("rb,rb->r", grad, x[candidates[:, i]])
            if dx is not None:
                np.add.at(dx, candidates[:, i], weights[:, i : i + 1] * grad)
        return dx, dweights

    def mixed_forward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        coefficients: Floats,
        out: Floats | None = None,
        threads: int = 1,
    ) -> Floats:
        """Evaluate gates whose inputs are mixes."""
        _, outputs, k, batch = check_mixed("mixed_forward", x, candidates, weights, coefficients)
        check_threads("mixed_forward", threads)
        out = output_for("mixed_forward", out, (outputs, batch))
        mixed = self.mix_forward(x, candidates.reshape(-1, k), weights.reshape(-1, k))
        a, b = np.arange(2 * outputs, dtype=WIRE).reshape(2, outputs)
        return self.gate_forward(mixed, a, b, coefficients, out)

    def mixed_backward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        coefficients: Floats,
        grad: Floats,
        need_x: bool = True,
        threads: int = 1,
    ) -> tuple[Floats | None, Floats, Floats]:
        """Give the gradients of x, the weights and the coefficients."""
        _, outputs, k, batch = check_mixed("mixed_backward", x, candidates, weights, coefficients)
        check_exact("mixed_backward: grad", grad, FLOAT, (outputs, batch))
        check_threads("mixed_backward", threads)
        rows, flat = candidates.reshape(-1, k), weights.reshape(-1, k)
        a, b = np.arange(2 * outputs, dtype=WIRE).reshape(2, outputs)
        mixed = self.mix_forward(x, rows, flat)
        dmixed, dcoefficients = self.gate_backward(mixed, a, b, coefficients, grad)
        assert dmixed is not None
        dx, dweights = self.mix_backward(x, rows, flat, dmixed, need_x)
        return dx, dweights.reshape(weights.shape), dcoefficients
