"""Trees of gates slid over images, and the OR of neighbours, as differentiable functions.

C kernels compute them where they fit, torch elsewhere, with equal values and gradients. Images are
feature-major, (channels, height, width, batch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bnncli.layers.gate_functions import gates, uses_kernels
from bnncli.native.logic_trees import LARGEST_POOL, MOST_LEVELS, Trees, default_trees

if TYPE_CHECKING:
    from collections.abc import Sequence


def largest_neighbours(x: Tensor, size: int) -> Tensor:
    """Give the largest of each square of size · size neighbours: their OR when they are bits.

    The gradient goes to the first of the largest, counted line by line. Bits tie more often than
    not, and one representative costs one window's gradient instead of size².

    Shape: (channels, h, w, batch) -> (channels, h / size, w / size, batch).
    """
    best = x[:, ::size, ::size]
    for part in range(1, size * size):
        other = x[:, part // size :: size, part % size :: size]
        best = torch.where(other > best, other, best)
    return best


def windows_trees(x: Tensor, leaves: Tensor, coefficients: Sequence[Tensor], k: int) -> Tensor:
    """Compute trees on windows that are laid out in memory, level after level."""
    windows = x.unfold(1, k, 1).unfold(2, k, 1)  # (c, h', w', batch, k, k)
    height, width, batch = windows.shape[1:4]
    signals = windows.permute(0, 4, 5, 1, 2, 3).reshape(len(x) * k * k, -1)
    read = leaves.flatten()
    for level in coefficients:
        signals = gates(signals, read[0::2].contiguous(), read[1::2].contiguous(), level)
        read = torch.arange(len(level), dtype=torch.int32, device=x.device)
    return signals.view(-1, height, width, batch)


class _Trees(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        leaves: Tensor,
        coefficients: Tensor,
        sizes: tuple[int, int, int],
        training: bool,
    ) -> Tensor:
        operands = Trees(x.numpy(), leaves.numpy(), coefficients.numpy(), *sizes)
        y, winners = default_trees().forward(
            operands, winners=training, threads=torch.get_num_threads()
        )
        ctx.save_for_backward(x, leaves, coefficients)
        ctx.sizes, ctx.winners = sizes, winners
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, None, None]:
        x, leaves, coefficients = ctx.saved_tensors
        dx, dc = default_trees().backward(
            Trees(x.numpy(), leaves.numpy(), coefficients.numpy(), *ctx.sizes),
            ctx.winners,
            grads[0].contiguous().numpy(),
            need_x=ctx.needs_input_grad[0],
            threads=torch.get_num_threads(),
        )
        return None if dx is None else torch.from_numpy(dx), None, torch.from_numpy(dc), None, None


def trees(
    x: Tensor,
    leaves: Tensor,
    coefficients: Sequence[Tensor],
    *,
    kernel_size: int,
    padding: int = 0,
    pool: int = 1,
) -> Tensor:
    """Compute every tree at every place of the window, and the largest of pool · pool neighbours.

    A leaf is a place of the window, (channel · kernel_size + line) · kernel_size + column.

    Shape: x (in, h, w, batch), leaves (out, 2^depth) int32, of each level from the leaves on
    coefficients (out · gates, 4) -> (out, h' / pool, w' / pool, batch),
    h' = h + 2 padding - kernel_size + 1.
    """
    fits = pool <= LARGEST_POOL and len(coefficients) <= MOST_LEVELS
    if fits and uses_kernels(x, *coefficients):
        joined = torch.cat([c.contiguous() for c in coefficients])
        sizes, training = (kernel_size, padding, pool), torch.is_grad_enabled()
        y: Tensor = _Trees.apply(x.contiguous(), leaves, joined, sizes, training)  # type: ignore[no-untyped-call]
        return y
    padded = F.pad(x, (0, 0, *[padding] * 4)) if padding else x
    places = windows_trees(padded, leaves, coefficients, kernel_size)
    return largest_neighbours(places, pool) if pool > 1 else places
