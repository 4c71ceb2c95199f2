"""The passes of logic-gate layers in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnncli.native.logic_passes import FLOAT, WIRE, Chosen, Gates, LogicKernels, Mixed

if TYPE_CHECKING:
    from bnncli.native.logic_passes import Floats, Wires


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

    def _mixed_forward(self, mixed: Mixed, y: Floats, threads: int) -> None:
        self._gate_forward(_between(mixed, _mix(mixed)), y, threads)

    def _mixed_backward(
        self,
        mixed: Mixed,
        grad: Floats,
        dx: Floats | None,
        dweights: Floats,
        dcoefficients: Floats,
        threads: int,
    ) -> None:
        mixes = _mix(mixed)
        dmixes = np.empty_like(mixes)
        self._gate_backward(_between(mixed, mixes), grad, dmixes, dcoefficients, threads)
        dmixes = dmixes.reshape(2, -1, dmixes.shape[1])
        _read_gradients(mixed.x, mixed.candidates, dmixes, dweights)
        if dx is None:
            return
        dx[:] = 0
        for i in range(mixed.candidates.shape[2]):
            read = mixed.candidates[:, :, i]
            np.add.at(dx, read, mixed.weights[:, :, i, np.newaxis] * dmixes)

    def _choose(self, candidates: Wires, logits: Floats, wires: Wires) -> None:
        best = logits.argmax(axis=2)[..., np.newaxis]
        wires[:] = np.take_along_axis(candidates, best, axis=2)[..., 0]

    def _chosen_backward(
        self,
        chosen: Chosen,
        grad: Floats,
        dx: Floats | None,
        dlogits: Floats,
        dcoefficients: Floats,
        threads: int,
    ) -> None:
        read = chosen.x[chosen.wires.ravel()]
        dread = np.empty_like(read)
        a, b = np.arange(len(read), dtype=WIRE).reshape(2, -1)
        between = Gates(read, a, b, chosen.coefficients)
        self._gate_backward(between, grad, dread, dcoefficients, threads)
        dread = dread.reshape(2, -1, dread.shape[1])
        _read_gradients(chosen.x, chosen.candidates, dread, dlogits)
        top = chosen.logits.max(axis=2, keepdims=True)
        weights = np.exp(FLOAT.type(chosen.sharpness) * (chosen.logits - top))
        weights /= weights.sum(axis=2, keepdims=True)
        dlogits -= (weights * dlogits).sum(axis=2, keepdims=True)
        dlogits *= FLOAT.type(chosen.sharpness) * weights
        if dx is not None:
            dx[:] = 0
            np.add.at(dx, chosen.wires, dread)


def _mix(mixed: Mixed) -> Floats:
    """Add up weighted rows of x. Shape: -> (2 · outputs, batch)."""
    weights = mixed.weights[..., np.newaxis]
    mixes = np.zeros((*weights.shape[:2], mixed.x.shape[1]), FLOAT)
    for i in range(weights.shape[2]):
        mixes += weights[:, :, i] * mixed.x[mixed.candidates[:, :, i]]
    return mixes.reshape(-1, mixes.shape[2])


def _read_gradients(x: Floats, candidates: Wires, grad: Floats, dweights: Floats) -> None:
    """Write what each candidate's weight would change. Shape: grad (2, outputs, batch)."""
    for i in range(candidates.shape[2]):
        dweights[:, :, i] = np.einsum("sgb,sgb->sg", grad, x[candidates[:, :, i]])


def _between(mixed: Mixed, mixes: Floats) -> Gates:
    a, b = np.arange(len(mixes), dtype=WIRE).reshape(2, -1)
    return Gates(mixes, a, b, mixed.coefficients)
