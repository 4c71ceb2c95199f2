"""Convolutions of gates: one small tree of gates for each output channel, at every position.

Tensors are feature-major images, (channels, height, width, batch): a plane of one channel over all
positions and images is what a gate reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from bnncli.errors import UsageError
from bnncli.layers.logic import FixedWiring, LogicDense
from bnncli.layers.tree_functions import largest_neighbours, trees
from bnncli.layers.wiring import Wires, tree
from bnncli.native.logic_trees import MOST_LEVELS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

MAX_CHANNELS = 65536


class Planes(nn.Module):
    """View features as the channels of an image.

    Shape: (channels · height · width, batch) -> (channels, height, width, batch).
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = (channels, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Reshape."""
        return x.view(*self.shape, -1)


class Features(nn.Module):
    """View an image as features, channel by channel.

    Shape: (channels, height, width, batch) -> (channels · height · width, batch).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Reshape."""
        return x.flatten(0, 2)


def draw_leaves(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    depth: int,
    channels_per_tree: int,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Draw what each tree's leaves read: places of the window, in at most so many channels.

    A place is channel · kernel_size² + row · kernel_size + column. None is read twice as long as
    there are enough.

    Shape: (out_channels, 2**depth).
    """
    area, n_leaves = kernel_size**2, 2**depth
    used = min(channels_per_tree, in_channels)
    # Channels are dealt round, so that all are read equally often.
    laps = -(-out_channels * used // in_channels)
    dealt = np.concatenate([rng.permutation(in_channels) for _ in range(laps)])
    leaves = np.empty((out_channels, n_leaves), np.int32)
    for row, channels in zip(leaves, dealt[: out_channels * used].reshape(-1, used), strict=True):
        places = (channels[:, None] * area + np.arange(area)).ravel()
        whole, rest = divmod(n_leaves, len(places))
        parts = [rng.permutation(places) for _ in range(whole)]
        row[:] = np.concatenate([*parts, rng.choice(places, rest, replace=False)])
    return leaves


class LogicConv2d(nn.Module):
    """Slide trees of gates over an image: channel c of the output is the root of tree c.

    A tree of depth d has 2^d leaves, each a place in the window, and 2^d - 1 gates, the same at
    every position (arXiv:2411.04732). Outside the image all signals are 0. With ``pool`` the
    largest of each pool · pool neighbours is kept, as :class:`OrPool2d` does, at less cost.

    Shape: (in_channels, h, w, batch) -> (out_channels, h' / pool, w' / pool, batch),
    h' = h + 2 padding - kernel_size + 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        rng: np.random.Generator,
        depth: int = 3,
        padding: int = 0,
        pool: int = 1,
        channels_per_tree: int = 2,
        **options: Any,
    ) -> None:
        super().__init__()
        if not 1 <= depth <= MOST_LEVELS:
            raise UsageError(f"depth={depth}: expected a tree of 1 to {MOST_LEVELS} levels")
        if in_channels < 1 or kernel_size < 1 or padding < 0 or pool < 1:
            raise UsageError(
                f"in_channels={in_channels}, kernel_size={kernel_size}, padding={padding}, "
                f"pool={pool}: expected at least 1 of each, and a padding of at least 0"
            )
        if not 1 <= out_channels <= MAX_CHANNELS or channels_per_tree < 1:
            raise UsageError(
                f"a convolution of {out_channels} channels whose trees read {channels_per_tree}: "
                f"expected 1 to {MAX_CHANNELS} channels and at least 1; change channels, "
                f"convolutions or channels_per_tree"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.padding, self.pool = kernel_size, padding, pool
        leaves = draw_leaves(in_channels, out_channels, kernel_size, depth, channels_per_tree, rng)
        ends = leaves.reshape(-1, 2)
        a, b = np.ascontiguousarray(ends[:, 0]), np.ascontiguousarray(ends[:, 1])
        wires = [Wires(in_channels * kernel_size**2, a, b)]
        for level in range(1, depth):
            width = wires[-1].out_features
            wires.append(Wires(width, *tree(width, width // 2, level, rng)))
        self.levels = nn.ModuleList(LogicDense(FixedWiring(w), **options) for w in wires)

    def forward(self, x: Tensor) -> Tensor:
        """Compute every tree at every position."""
        if x.dim() != 4 or x.shape[0] != self.in_channels:
            raise UsageError(
                f"LogicConv2d: in_channels={self.in_channels} but input has shape "
                f"{tuple(x.shape)}; expected (channels, height, width, batch)"
            )
        k, p = self.kernel_size, self.padding
        places = [size + 2 * p - k + 1 for size in x.shape[1:3]]
        if min(places) < 1:
            raise UsageError(
                f"LogicConv2d: an image of {x.shape[1]}x{x.shape[2]} with padding {p} is smaller "
                f"than the window of {k}x{k}; enlarge the image or the padding"
            )
        _check_pool("LogicConv2d", places, self.pool)
        coefficients = [level.coefficients() for level in self.trees()]
        sizes = {"kernel_size": k, "padding": p, "pool": self.pool}
        return trees(x, self.leaves(), coefficients, **sizes)

    def leaves(self) -> Tensor:
        """Give what each tree reads: channel · kernel_size² + row · kernel_size + column.

        Shape: (out_channels, 2**depth) int32.
        """
        a, b = self.trees()[0].wiring.wires()
        return torch.stack((a, b), dim=1).view(self.out_channels, -1)

    def trees(self) -> list[LogicDense]:
        """Give the levels of the trees, from the leaves to the roots."""
        return [level for level in self.levels if isinstance(level, LogicDense)]

    def extra_repr(self) -> str:
        """Name the sizes in printed models."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"pool={self.pool}"
        )


class OrPool2d(nn.Module):
    """Take the largest of each window of size · size signals: their OR when they are bits.

    The gradient goes to the first of the largest.

    Shape: (channels, h, w, batch) -> (channels, h / size, w / size, batch).
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        _check_pool("OrPool2d", x.shape[1:3], self.size)
        return largest_neighbours(x, self.size)


def _check_pool(what: str, places: Sequence[int], size: int) -> None:
    height, width = places
    if size < 1 or height % size or width % size:
        raise UsageError(
            f"{what}: an image of {height}x{width} does not divide into windows of "
            f"{size}x{size}; change the padding or the pool of the convolution"
        )
