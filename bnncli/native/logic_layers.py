"""Forward and backward passes of logic-gate layers in C, and the default functions.

Activations are feature-major float32, ``(features, batch)``. Shapes and types are checked at every
call; indices are not: whoever makes a wiring checks it once with :func:`check_wires`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from bnncli.native import kernels
from bnncli.native.logic_reference import (
    FLOAT,
    LogicKernels,
    NumpyLogic,
    check_exact,
    check_gates,
    check_mix,
    check_mixed,
    check_threads,
    check_wires,
    output_for,
)

if TYPE_CHECKING:
    from bnncli.native.logic_reference import Floats, Wires

__all__ = [
    "CLogic",
    "LogicKernels",
    "NumpyLogic",
    "check_wires",
    "default_logic",
]


def _check_memory(what: str, status: int) -> None:
    if status != 0:
        raise MemoryError(f"{what}: no memory for the kernel's scratch columns")


class CLogic:
    """The passes in C. ``isa`` is one of ``ISA_NAMES``; by default ``BNN_ISA``, else the fastest.

    Results are the same for every number of ``threads``.
    """

    def __init__(self, isa: str | None = None) -> None:
        library = kernels.load_library(isa)
        self.name = "c:" + library.isa_name
        self._isa, self._null = library.isa, library.null
        self._lib, self._pointer = library.functions, library.pointer

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
        inputs, outputs, batch = check_gates("gate_forward", x, a, b, coefficients)
        check_threads("gate_forward", threads)
        out = output_for("gate_forward", out, (outputs, batch))
        p = self._pointer
        self._lib.bnn_gates_forward(
            *(self._isa, p(x, "float"), inputs, batch, p(a, "int32_t"), p(b, "int32_t")),
            *(p(coefficients, "float"), outputs, p(out, "float"), threads),
        )
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
        inputs, outputs, batch = check_gates("gate_backward", x, a, b, coefficients)
        check_exact("gate_backward: grad", grad, FLOAT, (outputs, batch))
        check_threads("gate_backward", threads)
        dx = np.empty_like(x) if need_x else None
        dcoefficients = np.empty_like(coefficients)
        p = self._pointer
        status = self._lib.bnn_gates_backward(
            *(self._isa, p(x, "float"), inputs, batch, p(a, "int32_t"), p(b, "int32_t")),
            *(p(coefficients, "float"), outputs, p(grad, "float")),
            *(self._null if dx is None else p(dx, "float"), p(dcoefficients, "float"), threads),
        )
        _check_memory("gate_backward", status)
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
        inputs, rows, k, batch = check_mix("mix_forward", x, candidates, weights)
        check_threads("mix_forward", threads)
        out = output_for("mix_forward", out, (rows, batch))
        p = self._pointer
        status = self._lib.bnn_mix_forward(
            *(self._isa, p(x, "float"), inputs, batch, p(candidates, "int32_t")),
            *(p(weights, "float"), rows, k, p(out, "float"), threads),
        )
        _check_memory("mix_forward", status)
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
        inputs, rows, k, batch = check_mix("mix_backward", x, candidates, weights)
        check_exact("mix_backward: grad", grad, FLOAT, (rows, batch))
        check_threads("mix_backward", threads)
        dx = np.empty_like(x) if need_x else None
        dweights = np.empty_like(weights)
        p = self._pointer
        status = self._lib.bnn_mix_backward(
            *(self._isa, p(x, "float"), inputs, batch, p(candidates, "int32_t")),
            *(p(weights, "float"), rows, k, p(grad, "float")),
            *(self._null if dx is None else p(dx, "float"), p(dweights, "float"), threads),
        )
        _check_memory("mix_backward", status)
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
        inputs, outputs, k, batch = check_mixed(
            "mixed_forward", x, candidates, weights, coefficients
        )
        check_threads("mixed_forward", threads)
        out = output_for("mixed_forward", out, (outputs, batch))
        p = self._pointer
        status = self._lib.bnn_mixed_forward(
            *(self._isa, p(x, "float"), inputs, batch, p(candidates, "int32_t")),
            *(p(weights, "float"), p(coefficients, "float"), outputs, k, p(out, "float"), threads),
        )
        _check_memory("mixed_forward", status)
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
        """Give the gradients of x, the weights and the coefficients."""
        inputs, outputs, k, batch = check_mixed(
            "mixed_backward", x, candidates, weights, coefficients
        )
        check_exact("mixed_backward: grad", grad, FLOAT, (outputs, batch))
        check_threads("mixed_backward", threads)
        dx = np.empty_like(x) if need_x else None
        dweights, dcoefficients = np.empty_like(weights), np.empty_like(coefficients)
        p = self._pointer
        status = self._lib.bnn_mixed_backward(
            *(self._isa, p(x, "float"), inputs, batch, p(candidates, "int32_t")),
            *(p(weights, "float"), p(coefficients, "float"), outputs, k, p(grad, "float")),
            *(self._null if dx is None else p(dx, "float"), p(dweights, "float")),
            *(p(dcoefficients, "float"), threads),
        )
        _check_memory("mixed_backward", status)
        return dx, dweights, dcoefficients


@cache
def default_logic() -> LogicKernels:
    """Return the passes of the backend that BNN_KERNEL asks for; see ``default_backend``."""
    backend = kernels.default_backend()
    return CLogic() if isinstance(backend, kernels.CBackend) else NumpyLogic()
