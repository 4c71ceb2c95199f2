"""A part of the suite ``logic-training``: a step through a convolution of gate trees and its pool.

One step is forward and backward to the gates' coefficients; the images are bits, which have no
gradient. Whoever lays windows out in memory computes the same trees and the same pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from bnncli.bench.harness import Case, Contender, Contest, Work, equal_to
from bnncli.layers.gate_functions import gates
from bnncli.layers.logic_conv import draw_leaves
from bnncli.layers.tree_functions import largest_neighbours, trees
from bnncli.training.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    Layer = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    Step = Callable[[Tensor, Tensor, list[Tensor]], Tensor]

FUSED = "fused"
KERNEL, PADDING, POOL = 3, 1, 2
TOLERANCE = 1e-2
"""Of gradients that are sums of 100,000 products in float32 and in any order."""


@dataclass(frozen=True)
class TreeShape:
    """Trees over square images, three bits a pixel."""

    size: int = 28
    outputs: int = 32
    depth: int = 3
    batch: int = 128
    channels: int = 3

    @property
    def n_gates(self) -> int:
        """Count the gates at one place."""
        return self.outputs * ((1 << self.depth) - 1)

    def operations(self) -> int:
        """Count multiplications and additions.

        6 a gate at every place; backward, where one place of a pool counts, 6 again, 7 for the
        gradients of the coefficients and 6 for those of the inputs, which the lowest gates lack.
        """
        places = self.size**2 * self.batch
        inner = self.n_gates - self.outputs * (1 << self.depth - 1)
        return places * (6 * self.n_gates + (13 * self.n_gates + 6 * inner) // (POOL * POOL))

    def least_bytes(self) -> int:
        """Count bytes: images twice, outputs and their gradients once, winners twice."""
        images = self.channels * self.size**2 * self.batch
        outputs = self.outputs * (self.size // POOL) ** 2 * self.batch
        return 4 * (2 * images + 2 * outputs) + 2 * outputs

    def name(self) -> str:
        """Name the shape."""
        image = f"{self.channels}x{self.size}x{self.size}"
        return f"trees/{image}-{self.outputs}-depth{self.depth}-pool{POOL}-b{self.batch}"


def _in_torch(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    first, second = x.index_select(0, a), x.index_select(0, b)
    constant = torch.addcmul(c[:, 0:1], c[:, 1:2], first)
    return torch.addcmul(constant, second, torch.addcmul(c[:, 2:3], c[:, 3:4], first))


def _windows(layer: Layer, x: Tensor, leaves: Tensor, levels: list[Tensor]) -> Tensor:
    """Lay all windows out and compute level after level, each on all of them."""
    padded = F.pad(x, (0, 0, *[PADDING] * 4))
    windows = padded.unfold(1, KERNEL, 1).unfold(2, KERNEL, 1)
    height, width, batch = windows.shape[1:4]
    signals = windows.permute(0, 4, 5, 1, 2, 3).reshape(len(x) * KERNEL**2, -1)
    read = leaves.flatten()
    for level in levels:
        signals = layer(signals, read[0::2].contiguous(), read[1::2].contiguous(), level)
        read = torch.arange(len(level), dtype=torch.int32)
    return largest_neighbours(signals.view(-1, height, width, batch), POOL)


def _fused(x: Tensor, leaves: Tensor, levels: list[Tensor]) -> Tensor:
    return trees(x, leaves, levels, kernel_size=KERNEL, padding=PADDING, pool=POOL)


def _contender(step: Step, shape: TreeShape) -> Contender:
    rng = np.random.default_rng(0)
    bits = rng.random((shape.channels, shape.size, shape.size, shape.batch)) < 0.2
    x = torch.from_numpy(bits.astype(np.float32))
    drawn = draw_leaves(shape.channels, shape.outputs, KERNEL, shape.depth, 2, rng)
    leaves = torch.from_numpy(drawn)
    levels = [
        torch.from_numpy(rng.random((shape.outputs * 2**n, 4), dtype=np.float32)).requires_grad_()
        for n in reversed(range(shape.depth))
    ]
    side = shape.size // POOL
    upstream = rng.standard_normal((shape.outputs, side, side, shape.batch), dtype=np.float32)
    grad = torch.from_numpy(upstream)

    def run() -> Tensor:
        for level in levels:
            level.grad = None
        y = step(x, leaves, levels)
        y.backward(grad)  # type: ignore[no-untyped-call]
        return y

    def read(y: Tensor) -> NDArray[np.float32]:
        parts = [y.detach(), *(level.grad for level in levels if level.grad is not None)]
        return np.concatenate([part.numpy().ravel() for part in parts])

    return Contender(run, read)


def contest(shape: TreeShape) -> Contest:
    """Build the contenders."""
    keep_freed_memory()  # as training does
    contenders = {
        FUSED: _contender(_fused, shape),
        "windows, gate kernels": _contender(partial(_windows, gates), shape),
        "windows, torch": _contender(partial(_windows, _in_torch), shape),
    }
    return Contest(contenders, [FUSED], equal_to(FUSED, TOLERANCE))


def cases(shape: TreeShape | None = None) -> list[Case]:
    """List the step on images of the size of MNIST's."""
    shape = shape or TreeShape()
    work = Work(operations=shape.operations(), bytes=shape.least_bytes(), steps=1)
    return [Case(shape.name(), work, partial(contest, shape))]
