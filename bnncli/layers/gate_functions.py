"""Gates and wires as differentiable functions: C kernels where they fit, torch elsewhere.

Activations are feature-major, (features, batch): a gate then reads and writes whole rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bnncli.native.logic_layers import Chosen, default_logic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Wires = tuple[Tensor, Tensor]


def uses_kernels(*tensors: Tensor) -> bool:
    """Tell whether the C kernels compute this: float32 on the CPU, kernels compiled and wanted."""
    if default_logic().name == "numpy":
        return False
    return all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, coefficients: Tensor) -> Tensor:
        ctx.save_for_backward(x, a, b, coefficients)
        y = default_logic().gate_forward(
            x.numpy(), a.numpy(), b.numpy(), coefficients.numpy(), threads=torch.get_num_threads()
        )
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, Tensor]:
        x, a, b, coefficients = ctx.saved_tensors
        dx, dc = default_logic().gate_backward(
            *(x.numpy(), a.numpy(), b.numpy(), coefficients.numpy()),
            grads[0].contiguous().numpy(),
            need_x=ctx.needs_input_grad[0],
            threads=torch.get_num_threads(),
        )
        return None if dx is None else torch.from_numpy(dx), None, None, torch.from_numpy(dc)


def gates(x: Tensor, a: Tensor, b: Tensor, coefficients: Tensor) -> Tensor:
    """Compute y = (c0 + c1·x[a]) + x[b]·(c2 + c3·x[a]) for every gate and column.

    Shape: x (in, batch), a and b (out,) int32, coefficients (out, 4) -> (out, batch).
    """
    if uses_kernels(x, coefficients):
        y: Tensor = _Gates.apply(x.contiguous(), a, b, coefficients.contiguous())  # type: ignore[no-untyped-call]
        return y
    return _bilinear(x.index_select(0, a), x.index_select(0, b), coefficients)


class _GateChain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, wires: Sequence[Wires], *coefficients: Tensor) -> Tensor:
        # Between the layers are plain arrays: a layer costs no node of torch's graph.
        signals, threads = [x.numpy()], torch.get_num_threads()
        layers = [(a.numpy(), b.numpy(), c.numpy()) for (a, b), c in _zip(wires, coefficients)]
        for layer in layers:
            signals.append(default_logic().gate_forward(signals[-1], *layer, threads=threads))
        ctx.layers, ctx.signals = layers, signals[:-1]
        return torch.from_numpy(signals[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad, threads = grads[0].contiguous().numpy(), torch.get_num_threads()
        found: list[Tensor | None] = []
        for x, (a, b, coefficients) in zip(
            reversed(ctx.signals), reversed(ctx.layers), strict=True
        ):
            dx, dc = default_logic().gate_backward(
                x, a, b, coefficients, grad, need_x=True, threads=threads
            )
            found.append(torch.from_numpy(dc))
            assert dx is not None
            grad = dx
        return torch.from_numpy(grad), None, *reversed(found)


def _zip(wires: Sequence[Wires], coefficients: Sequence[Tensor]) -> Iterator[tuple[Wires, Tensor]]:
    return zip(wires, coefficients, strict=True)


def gate_chain(x: Tensor, wires: Sequence[Wires], coefficients: Sequence[Tensor]) -> Tensor:
    """Compute layers of :func:`gates` one after another, as one operation of torch.

    Shape: x (in, batch); of each layer wires a and b (out,) int32, coefficients (out, 4)
    -> (out of the last, batch).
    """
    if uses_kernels(x, *coefficients):
        ready = [c.contiguous() for c in coefficients]
        y: Tensor = _GateChain.apply(x.contiguous(), wires, *ready)  # type: ignore[no-untyped-call]
        return y
    for (a, b), c in _zip(wires, coefficients):
        x = gates(x, a, b, c)
    return x


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, candidates: Tensor, weights: Tensor, coefficients: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, candidates, weights, coefficients)
        y = default_logic().mixed_forward(
            *(x.numpy(), candidates.numpy(), weights.numpy(), coefficients.numpy()),
            threads=torch.get_num_threads(),
        )
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor]:
        x, candidates, weights, coefficients = ctx.saved_tensors
        dx, dw, dc = default_logic().mixed_backward(
            *(x.numpy(), candidates.numpy(), weights.numpy(), coefficients.numpy()),
            grads[0].contiguous().numpy(),
            need_x=ctx.needs_input_grad[0],
            threads=torch.get_num_threads(),
        )
        dx_tensor = None if dx is None else torch.from_numpy(dx)
        return dx_tensor, None, torch.from_numpy(dw), torch.from_numpy(dc)


def _candidate_rows(x: Tensor, candidates: Tensor) -> Tensor:
    """Give every candidate's row. Shape: (2, gates, k) -> (2, gates, k, batch)."""
    return x.index_select(0, candidates.flatten()).view(*candidates.shape, -1)


def _bilinear(first: Tensor, second: Tensor, coefficients: Tensor) -> Tensor:
    c0, c1, c2, c3 = coefficients.unsqueeze(2).unbind(1)
    return (c0 + c1 * first) + second * (c2 + c3 * first)


def mixed_gates(x: Tensor, candidates: Tensor, weights: Tensor, coefficients: Tensor) -> Tensor:
    """Compute gates whose inputs are weighted sums of their candidates' rows.

    Input s of gate g is the sum over k of weights[s, g, k] · x[candidates[s, g, k]].

    Shape: x (in, batch), candidates (2, out, k) int32, weights (2, out, k), coefficients (out, 4)
    -> (out, batch).
    """
    if uses_kernels(x, weights, coefficients):
        y: Tensor = _Mixed.apply(  # type: ignore[no-untyped-call]
            x.contiguous(), candidates, weights.contiguous(), coefficients.contiguous()
        )
        return y
    mixes = (weights.unsqueeze(3) * _candidate_rows(x, candidates)).sum(dim=2)
    return _bilinear(mixes[0], mixes[1], coefficients)


class _Chosen(torch.autograd.Function):
    """Read the best candidates; hand every candidate's logit the gradient that mixing would."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        candidates: Tensor,
        logits: Tensor,
        sharpness: float,
        coefficients: Tensor,
    ) -> Tensor:
        a, b = best_candidates(candidates, logits)
        ctx.save_for_backward(x, candidates, logits, coefficients, torch.stack([a, b]))
        ctx.sharpness = sharpness
        return gates(x, a, b, coefficients)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, None, Tensor]:
        x, candidates, logits, coefficients, wires = ctx.saved_tensors
        grad, need_x = grads[0].contiguous(), ctx.needs_input_grad[0]
        dx: Tensor | None
        if not uses_kernels(x, logits, coefficients):
            dx, dlogits, dc = _chosen_gradients(
                x, candidates, logits, coefficients, ctx.sharpness, grad
            )
            return dx if need_x else None, None, dlogits, None, dc
        found = default_logic().chosen_backward(
            Chosen(
                *(x.numpy(), candidates.numpy(), logits.numpy(), wires.numpy()),
                *(coefficients.numpy(), ctx.sharpness),
            ),
            grad.numpy(),
            need_x=need_x,
            threads=torch.get_num_threads(),
        )
        dx = None if found[0] is None else torch.from_numpy(found[0])
        return dx, None, torch.from_numpy(found[1]), None, torch.from_numpy(found[2])


def _chosen_gradients(
    x: Tensor,
    candidates: Tensor,
    logits: Tensor,
    coefficients: Tensor,
    sharpness: float,
    grad: Tensor,
) -> list[Tensor]:
    """Give the gradients of x, logits and coefficients by torch."""
    best = torch.zeros_like(logits).scatter_(2, logits.argmax(dim=2, keepdim=True), 1.0)
    with torch.enable_grad():
        inputs = [t.detach().requires_grad_() for t in (x, best, coefficients, logits)]
        y = mixed_gates(inputs[0], candidates, *inputs[1:3])
        dx, dweights, dc = torch.autograd.grad(y, inputs[:3], grad)
        weights = torch.softmax(sharpness * inputs[3], dim=2)
        (dlogits,) = torch.autograd.grad(weights, inputs[3:], dweights)
    return [dx, dlogits, dc]


def best_candidates(candidates: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Give the candidates of the largest logits, the first of equals.

    Shape: (2, out, k) -> a and b, (out,) int32 each.
    """
    if uses_kernels(logits):
        a, b = torch.from_numpy(default_logic().choose(candidates.numpy(), logits.numpy()))
    else:
        a, b = candidates.gather(2, logits.argmax(dim=2, keepdim=True)).squeeze(2)
    return a, b


def chosen_gates(
    x: Tensor, candidates: Tensor, logits: Tensor, sharpness: float, coefficients: Tensor
) -> Tensor:
    """Compute gates that read their best candidates, with the gradients of :func:`mixed_gates`.

    The gradients are those at the chosen wires. Those of the logits are straight-through: what
    ``softmax(sharpness · logits)`` gets as weights of the candidates.

    Shape: as :func:`mixed_gates`.
    """
    y: Tensor = _Chosen.apply(  # type: ignore[no-untyped-call]
        *(x.contiguous(), candidates, logits.contiguous()), sharpness, coefficients.contiguous()
    )
    return y
