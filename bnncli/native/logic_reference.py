"""The passes of logic-gate layers in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.native.logic_passes import WIRE, Gates, LogicKernels, Mix, Mixed

if TYPE_CHECKING:
    from bnncli.native.logic_passes import Floats


class NumpyLogic(LogicKernels):
    """The passes in numpy, for comparison and for machines without a compiler.

    ``threads`` is accepted and not used.
    """

    name = "numpy"

    def _gate_forward(self, gates: Gates, y: Floats, threads: int) -> None:
        c0, c1, c2, c3 = (column[:, np.newaxis] for column in gates.coefficients.T)
        a, b = gates.x[gates.a], gates.x[gates.b]
        y[:] = (c0 + c1 * a) + b * (c2 + c3 * a)

    def _gate_backward(
        self, gates: Gates, grad: Floats, dx: Floats | None, dcoefficients: Floats, threads: int
    ) -> None:
        a, b = gates.x[gates.a], gates.x[gates.b]
        with_a = grad * a
        products = (grad, with_a, grad * b, with_a * b)
        np.stack([product.sum(axis=1) for product in products], axis=1, out=dcoefficients)
        if dx is None:
            return
        _, c1, c2, c3 = (column[:, np.newaxis] for column in gates.coefficients.T)
        dx[:] = 0
        np.add.at(dx, gates.a, grad * (c1 + c3 * b))
        np.add.at(dx, gates.b, grad * (c2 + c3 * a))

    def _mix_forward(self, mix: Mix, y: Floats, threads: int) -> None:
        x, candidates, weights = mix
        np.multiply(weights[:, :1], x[candidates[:, 0]], out=y)
        for i in range(1, candidates.shape[1]):
            y += weights[:, i : i + 1] * x[candidates[:, i]]

    def _mix_backward(
        self, mix: Mix, grad: Floats, dx: Floats | None, dweights: Floats, threads: int
    ) -> None:
        x, candidates, weights = mix
        if dx is not None:
            dx[:] = 0
        for i in range(candidates.shape[1]):
            dweights[:, i] = np.einsum("rb,rb->r", grad, x[candidates[:, i]])
            if dx is not None:
                np.add.at(dx, candidates[:, i], weights[:, i : i + 1] * grad)

    def _unfused(self, mixed: Mixed) -> tuple[Mix, Gates]:
        """Give the mixes of all rows, and the gates that read them."""
        outputs, k = mixed.candidates.shape[1:]
        mix = Mix(mixed.x, mixed.candidates.reshape(-1, k), mixed.weights.reshape(-1, k))
        a, b = np.arange(2 * outputs, dtype=WIRE).reshape(2, outputs)
        return mix, Gates(self.mix_forward(*mix), a, b, mixed.coefficients)

    def _mixed_forward(self, mixed: Mixed, y: Floats, threads: int) -> None:
        _, gates = self._unfused(mixed)
        self._gate_forward(gates, y, threads)

    def _mixed_backward(
        self,
        mixed: Mixed,
        grad: Floats,
        dx: Floats | None,
        dweights: Floats,
        dcoefficients: Floats,
        threads: int,
    ) -> None:
        mix, gates = self._unfused(mixed)
        dmixes = np.empty_like(gates.x)
        self._gate_backward(gates, grad, dmixes, dcoefficients, threads)
        self._mix_backward(mix, dmixes, dx, dweights.reshape(mix.weights.shape), threads)
