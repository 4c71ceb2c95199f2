"""Gates and wires as differentiable functions: C kernels where they fit, torch elsewhere.

Activations are feature-major, (features, batch): a gate then reads and writes whole rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bnncli.native import logic_layers
from bnncli.native.logic_layers import default_logic


def uses_kernels(*tensors: Tensor) -> bool:
    """Tell whether the C kernels compute this: float32 on the CPU, kernels compiled and wanted."""
    if default_logic().name == "numpy":
        return False
    return all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, coefficients: Tensor) -> Tensor:
        ctx.save_for_backward(x, a, b, coefficients)
        y = logic_layers.gate_forward(
            x.numpy(), a.numpy(), b.numpy(), coefficients.numpy(), threads=torch.get_num_threads()
        )
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, Tensor]:
        x, a, b, coefficients = ctx.saved_tensors
        dx, dc = logic_layers.gate_backward(
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
    first, second = x.index_select(0, a), x.index_select(0, b)
    c0, c1, c2, c3 = coefficients.unsqueeze(2).unbind(1)
    return (c0 + c1 * first) + second * (c2 + c3 * first)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, candidates: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, candidates, weights)
        y = logic_layers.mix_forward(
            x.numpy(), candidates.numpy(), weights.numpy(), threads=torch.get_num_threads()
        )
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor]:
        x, candidates, weights = ctx.saved_tensors
        dx, dw = logic_layers.mix_backward(
            *(x.numpy(), candidates.numpy(), weights.numpy(), grads[0].contiguous().numpy()),
            need_x=ctx.needs_input_grad[0],
            threads=torch.get_num_threads(),
        )
        return None if dx is None else torch.from_numpy(dx), None, torch.from_numpy(dw)


def mix(x: Tensor, candidates: Tensor, weights: Tensor) -> Tensor:
    """Compute y[r] = sum over k of weights[r, k] · x[candidates[r, k]].

    Shape: x (in, batch), candidates (rows, k) int32, weights (rows, k) -> (rows, batch).
    """
    if uses_kernels(x, weights):
        y: Tensor = _Mix.apply(x.contiguous(), candidates, weights.contiguous())  # type: ignore[no-untyped-call]
        return y
    rows = x.index_select(0, candidates.flatten()).view(*candidates.shape, -1)
    return (weights.unsqueeze(2) * rows).sum(dim=1)


class _Choose(torch.autograd.Function):
    """Read the chosen candidate alone; the gradient of every candidate's weight is as in a mix."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, candidates: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        ctx.save_for_backward(x, candidates, weights, chosen)
        return x.index_select(0, chosen)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, None]:
        x, candidates, weights, chosen = ctx.saved_tensors
        grad = grads[0].contiguous()
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.zeros_like(x).index_add_(0, chosen, grad)
        if uses_kernels(x, weights):
            _, dw = logic_layers.mix_backward(
                *(x.numpy(), candidates.numpy(), weights.numpy(), grad.numpy()),
                need_x=False,
                threads=torch.get_num_threads(),
            )
            return dx, None, torch.from_numpy(dw), None
        rows = x.index_select(0, candidates.flatten()).view(*candidates.shape, -1)
        return dx, None, (rows * grad.unsqueeze(1)).sum(dim=2), None


def choose(x: Tensor, candidates: Tensor, weights: Tensor) -> Tensor:
    """Give x[the candidate of the largest weight], with the gradient of :func:`mix` for weights.

    Shape: as :func:`mix`.
    """
    best = weights.argmax(dim=1, keepdim=True)
    chosen = candidates.gather(1, best).squeeze(1)
    y: Tensor = _Choose.apply(x.contiguous(), candidates, weights.contiguous(), chosen)  # type: ignore[no-untyped-call]
    return y
