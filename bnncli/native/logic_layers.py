"""The passes of logic-gate layers in C, and the default ones."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from bnncli.native import kernels
from bnncli.native.logic_passes import Chosen, Gates, LogicKernels, Mixed, check_wires
from bnncli.native.logic_reference import NumpyLogic

if TYPE_CHECKING:
    from bnncli.native.logic_passes import Floats, Wires

__all__ = [
    "CLogic",
    "Chosen",
    "LogicKernels",
    "NumpyLogic",
    "check_wires",
    "default_logic",
]


class CLogic(LogicKernels):
    """The passes in C. ``isa`` is one of ``ISA_NAMES``; by default ``BNN_ISA``, else the fastest.

    Results are the same for every number of ``threads``.
    """

    def __init__(self, isa: str | None = None) -> None:
        library = kernels.load_library(isa)
        self.name = "c:" + library.isa_name
        self._isa, self._null = library.isa, library.null
        self._lib, self._pointer = library.functions, library.pointer

    def _floats(self, array: Floats | None) -> Any:
        return self._null if array is None else self._pointer(array, "float")

    def _gates(self, gates: Gates) -> tuple[Any, ...]:
        """Give the operands as the C functions take them."""
        p = self._pointer
        return (
            *(self._isa, self._floats(gates.x), *gates.x.shape),
            *(p(gates.a, "int32_t"), p(gates.b, "int32_t")),
            *(self._floats(gates.coefficients), len(gates.coefficients)),
        )

    def _mixed(self, mixed: Mixed) -> tuple[Any, ...]:
        return (
            *(self._isa, self._floats(mixed.x), *mixed.x.shape),
            *(self._pointer(mixed.candidates, "int32_t"), self._floats(mixed.weights)),
            *(self._floats(mixed.coefficients), *mixed.candidates.shape[1:]),
        )

    def _gate_forward(self, gates: Gates, y: Floats, threads: int) -> None:
        self._lib.bnn_gates_forward(*self._gates(gates), self._floats(y), threads)

    def _gate_backward(
        self, gates: Gates, grad: Floats, dx: Floats | None, dcoefficients: Floats, threads: int
    ) -> None:
        arrays = map(self._floats, (grad, dx, dcoefficients))
        status = self._lib.bnn_gates_backward(*self._gates(gates), *arrays, threads)
        kernels.check_memory("gate_backward", status)

    def _mixed_forward(self, mixed: Mixed, y: Floats, threads: int) -> None:
        status = self._lib.bnn_mixed_forward(*self._mixed(mixed), self._floats(y), threads)
        kernels.check_memory("mixed_forward", status)

    def _mixed_backward(
        self,
        mixed: Mixed,
        grad: Floats,
        dx: Floats | None,
        dweights: Floats,
        dcoefficients: Floats,
        threads: int,
    ) -> None:
        arrays = map(self._floats, (grad, dx, dweights, dcoefficients))
        status = self._lib.bnn_mixed_backward(*self._mixed(mixed), *arrays, threads)
        kernels.check_memory("mixed_backward", status)

    def _choose(self, candidates: Wires, logits: Floats, wires: Wires) -> None:
        p = self._pointer
        self._lib.bnn_wires_choose(
            p(candidates, "int32_t"),
            self._floats(logits),
            wires.size,
            logits.shape[2],
            p(wires, "int32_t"),
        )

    def _chosen_backward(
        self,
        chosen: Chosen,
        grad: Floats,
        dx: Floats | None,
        dlogits: Floats,
        dcoefficients: Floats,
        threads: int,
    ) -> None:
        p, floats = self._pointer, self._floats
        status = self._lib.bnn_chosen_backward(
            *(self._isa, floats(chosen.x), *chosen.x.shape),
            *(p(chosen.candidates, "int32_t"), floats(chosen.logits), p(chosen.wires, "int32_t")),
            *(floats(chosen.coefficients), *chosen.candidates.shape[1:], chosen.sharpness),
            *(*map(floats, (grad, dx, dlogits, dcoefficients)), threads),
        )
        kernels.check_memory("chosen_backward", status)


@cache
def default_logic() -> LogicKernels:
    """Return the passes of the backend that BNN_KERNEL asks for; see ``default_backend``."""
    backend = kernels.default_backend()
    return CLogic() if isinstance(backend, kernels.CBackend) else NumpyLogic()
