"""The passes of logic-gate layers: their operands, checked once for every implementation.

Activations are feature-major float32, ``(features, batch)``. Shapes and types are checked at every
call; indices are not: whoever makes a wiring checks it once with :func:`check_wires`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

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
    """Refuse an array of another type or shape, or that is not contiguous."""
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
    """Refuse to compute with no thread."""
    if threads < 1:
        raise BnnError(f"{what}: threads={threads} given, expected at least 1")


def _output(what: str, out: Floats | None, shape: tuple[int, int]) -> Floats:
    """Give ``out``, checked, or a new array."""
    if out is None:
        return np.empty(shape, dtype=FLOAT)
    check_exact(f"{what}: out", out, FLOAT, shape)
    return out


class Gates(NamedTuple):
    """The operands of a gate layer: wires int32 ``(outputs,)``, coefficients ``(outputs, 4)``."""

    x: Floats
    a: Wires
    b: Wires
    coefficients: Floats

    def check(self, what: str) -> tuple[int, int]:
        """Refuse wrong shapes and types; give the shape of the layer's output."""
        inputs, batch = _size(f"{what}: x", self.x)
        outputs, _ = _size(f"{what}: coefficients", self.coefficients)
        check_exact(f"{what}: x", self.x, FLOAT, (inputs, batch))
        check_exact(f"{what}: a", self.a, WIRE, (outputs,))
        check_exact(f"{what}: b", self.b, WIRE, (outputs,))
        check_exact(f"{what}: coefficients", self.coefficients, FLOAT, (outputs, 4))
        return outputs, batch


class Mixed(NamedTuple):
    """The operands of gates between mixes: ``mix = sum_i weights[i] x[candidates[i]]``.

    Candidates and weights are ``(2, outputs, k)``, ``[0]`` of input A and ``[1]`` of B;
    coefficients ``(outputs, 4)``.
    """

    x: Floats
    candidates: Wires
    weights: Floats
    coefficients: Floats

    def check(self, what: str) -> tuple[int, int]:
        """Refuse wrong shapes and types; give the shape of the layer's output."""
        inputs, batch = _size(f"{what}: x", self.x)
        outputs, _ = _size(f"{what}: coefficients", self.coefficients)
        k = self.candidates.shape[-1] if self.candidates.ndim else 0
        check_exact(f"{what}: x", self.x, FLOAT, (inputs, batch))
        check_exact(f"{what}: candidates", self.candidates, WIRE, (2, outputs, max(k, 1)))
        check_exact(f"{what}: weights", self.weights, FLOAT, (2, outputs, k))
        check_exact(f"{what}: coefficients", self.coefficients, FLOAT, (outputs, 4))
        return outputs, batch


class Chosen(NamedTuple):
    """The operands of gates whose inputs are chosen: input s of gate g is ``x[wires[s, g]]``.

    Candidates and logits are ``(2, outputs, k)``, wires ``(2, outputs)`` the candidates of the
    largest logits. ``weights`` of the candidates are ``softmax(sharpness · logits)``.
    """

    x: Floats
    candidates: Wires
    logits: Floats
    wires: Wires
    coefficients: Floats
    sharpness: float

    def check(self, what: str) -> tuple[int, int]:
        """Refuse wrong shapes and types; give the shape of the layer's output."""
        outputs, batch = Mixed(self.x, self.candidates, self.logits, self.coefficients).check(what)
        check_exact(f"{what}: wires", self.wires, WIRE, (2, outputs))
        return outputs, batch


class LogicKernels(ABC):
    """The passes of a gate layer, alone, with the mixing in front of it, or with chosen wires.

    Operands are those of :class:`Gates`, :class:`Mixed` and :class:`Chosen`. An implementation is
    given them checked, with the arrays that it writes, where there is no gradient of x None.
    """

    name: str
    """The implementation and its instruction set."""

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
        gates = Gates(x, a, b, coefficients)
        out = _output("gate_forward", out, gates.check("gate_forward"))
        check_threads("gate_forward", threads)
        self._gate_forward(gates, out, threads)
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
        """Give the gradients of x (None unless ``need_x``) and of the coefficients.

        Shape: ``(outputs, batch) -> (inputs, batch), (outputs, 4)``.
        """
        gates = Gates(x, a, b, coefficients)
        check_exact("gate_backward: grad", grad, FLOAT, gates.check("gate_backward"))
        check_threads("gate_backward", threads)
        dx = np.empty_like(x) if need_x else None
        dcoefficients = np.empty_like(coefficients)
        self._gate_backward(gates, grad, dx, dcoefficients, threads)
        return dx, dcoefficients

    def mixed_forward(
        self,
        x: Floats,
        candidates: Wires,
        weights: Floats,
        coefficients: Floats,
        out: Floats | None = None,
        threads: int = 1,
    ) -> Floats:
        """Evaluate gates whose inputs are mixes.

        Shape: ``(inputs, batch) -> (outputs, batch)``.
        """
        mixed = Mixed(x, candidates, weights, coefficients)
        out = _output("mixed_forward", out, mixed.check("mixed_forward"))
        check_threads("mixed_forward", threads)
        self._mixed_forward(mixed, out, threads)
        return out

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
        mixed = Mixed(x, candidates, weights, coefficients)
        check_exact("mixed_backward: grad", grad, FLOAT, mixed.check("mixed_backward"))
        check_threads("mixed_backward", threads)
        dx = np.empty_like(x) if need_x else None
        dweights, dcoefficients = np.empty_like(weights), np.empty_like(coefficients)
        self._mixed_backward(mixed, grad, dx, dweights, dcoefficients, threads)
        return dx, dweights, dcoefficients

    def choose(self, candidates: Wires, logits: Floats) -> Wires:
        """Give the candidates of the largest logits, the first of equals.

        Shape: ``(2, outputs, k) -> (2, outputs)``.
        """
        if logits.ndim != 3 or logits.size == 0:
            raise BnnError(f"choose: logits have shape {logits.shape}, expected (2, outputs, k)")
        check_exact("choose: logits", logits, FLOAT, logits.shape)
        check_exact("choose: candidates", candidates, WIRE, logits.shape)
        wires = np.empty(logits.shape[:2], dtype=WIRE)
        self._choose(candidates, logits, wires)
        return wires

    def chosen_backward(
        self, chosen: Chosen, grad: Floats, need_x: bool = True, threads: int = 1
    ) -> tuple[Floats | None, Floats, Floats]:
        """Give the gradients of x (None unless ``need_x``), the logits and the coefficients.

        They are those of the mixed gates with all weight on the wires, whose weights are a softmax:
        ``dlogits = sharpness · weights · (dweights - sum over the candidates of weights ·
        dweights)``.

        Shape: ``(outputs, batch) -> (inputs, batch), (2, outputs, k), (outputs, 4)``.
        """
        shape = chosen.check("chosen_backward")
        check_exact("chosen_backward: grad", grad, FLOAT, shape)
        check_threads("chosen_backward", threads)
        dx = np.empty_like(chosen.x) if need_x else None
        dlogits, dcoefficients = np.empty_like(chosen.logits), np.empty_like(chosen.coefficients)
        self._chosen_backward(chosen, grad, dx, dlogits, dcoefficients, threads)
        return dx, dlogits, dcoefficients

    @abstractmethod
    def _gate_forward(self, gates: Gates, y: Floats, threads: int) -> None: ...

    @abstractmethod
    def _gate_backward(
        self, gates: Gates, grad: Floats, dx: Floats | None, dcoefficients: Floats, threads: int
    ) -> None: ...

    @abstractmethod
    def _mixed_forward(self, mixed: Mixed, y: Floats, threads: int) -> None: ...

    @abstractmethod
    def _mixed_backward(
        self,
        mixed: Mixed,
        grad: Floats,
        dx: Floats | None,
        dweights: Floats,
        dcoefficients: Floats,
        threads: int,
    ) -> None: ...

    @abstractmethod
    def _choose(self, candidates: Wires, logits: Floats, wires: Wires) -> None: ...

    @abstractmethod
    def _chosen_backward(
        self,
        chosen: Chosen,
        grad: Floats,
        dx: Floats | None,
        dlogits: Floats,
        dcoefficients: Floats,
        threads: int,
    ) -> None: ...
