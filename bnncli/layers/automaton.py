"""A cellular automaton whose rule is a network of relaxed gates: perceive, then update.

Boards are (n, channels, height, width); between the layers of gates a column is a cell of some
board, (features, n · height · width), so that one call of the kernels computes a whole batch.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnncli.errors import UsageError
from bnncli.layers.gate_functions import gate_chain
from bnncli.layers.logic import FixedWiring, LogicDense
from bnncli.layers.parametrization import StraightThrough
from bnncli.layers.wiring import Wires, unique

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

WINDOW = 9
"""Cells of a neighbourhood, row by row; cell 4 is the centre."""

CENTRE = 4


def kernel_wires(
    widths: Sequence[int], n_kernels: int, rng: np.random.Generator, *, shared: bool = True
) -> list[Wires]:
    """Wire kernels side by side: all in the same way, or each with ``shared=False`` in its own.

    The first layer pairs each of the eight neighbours with the centre, in random order; the layers
    behind it use every pair once. Gates that begin as wires pass on what they read: kernels with
    the same wires then all see the same few neighbours, until their gates come to differ.
    """
    if not widths or not 1 <= widths[0] <= WINDOW - 1:
        raise UsageError(
            f"perceive={','.join(map(str, widths))}: expected widths such as 8,4,2, the first at "
            f"most {WINDOW - 1}: a gate for each neighbour"
        )
    if shared:
        kernels = [_kernel_pairs(widths, rng)] * n_kernels
    else:
        kernels = [_kernel_pairs(widths, rng) for _ in range(n_kernels)]
    wires = []
    for layer, of_kernels in enumerate(zip(*kernels, strict=True)):
        # The kernels of the first layer read the same window, those behind it their own signals.
        apart = widths[layer - 1] if layer else 0
        shifted = [pairs + np.int32(n * apart) for n, pairs in enumerate(of_kernels)]
        a, b = np.ascontiguousarray(np.concatenate(shifted, axis=1))
        wires.append(Wires(n_kernels * apart or WINDOW, a, b))
    return wires


def _kernel_pairs(widths: Sequence[int], rng: np.random.Generator) -> list[NDArray[np.int32]]:
    """Draw the pairs that one kernel's gates read, layer by layer. Shape: (2, width) each."""
    neighbours = np.delete(np.arange(WINDOW, dtype=np.int32), CENTRE)
    first = rng.permutation(neighbours)[: widths[0]]
    pairs = [np.array([first, np.full(len(first), CENTRE, np.int32)])]
    for layer, (before, after) in enumerate(itertools.pairwise(widths), 1):
        pairs.append(unique(before, after, layer, rng))
    return pairs


class Perceive(nn.Module):
    """Look at the 3x3 window of every channel through the same kernels (arXiv:2506.04912).

    Shape: (channels · 9, cells), channel by channel, -> (channels · kernel outputs + channels,
    cells): what the kernels see, channel by channel, then the centre's own state.
    """

    def __init__(self, channels: int, layers: Sequence[LogicDense]) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.Sequential(*layers)
        self.in_features = channels * WINDOW
        self.out_features = channels * (layers[-1].out_features + 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Compute all kernels on all channels."""
        return self.look(rows, self.layers)

    def look(self, rows: Tensor, kernels: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute given kernels on all channels."""
        if rows.dim() != 2 or rows.shape[0] != self.in_features:
            raise UsageError(
                f"Perceive: {self.channels} channels of 3x3 cells but input has shape "
                f"{tuple(rows.shape)}; expected ({self.in_features}, cells)"
            )
        windows = rows.view(self.channels, WINDOW, -1)
        # Channels beside one another as columns: all read the same gates.
        seen = kernels(windows.transpose(0, 1).flatten(1))
        by_channel = seen.view(-1, self.channels, rows.shape[1]).transpose(0, 1).flatten(0, 1)
        return torch.cat([by_channel, windows[:, CENTRE]])

    def kernels(self) -> list[LogicDense]:
        """List the layers of the kernels, all kernels of a layer side by side."""
        return [layer for layer in self.layers if isinstance(layer, LogicDense)]

    def extra_repr(self) -> str:
        """Name the channels in printed models."""
        return f"channels={self.channels}"


def perceive(
    channels: int,
    widths: Sequence[int],
    n_kernels: int,
    rng: np.random.Generator,
    *,
    shared: bool = True,
    **options: object,
) -> Perceive:
    """Build the perceiving half; ``options`` are those of :class:`LogicDense`."""
    wires = kernel_wires(widths, n_kernels, rng, shared=shared)
    return Perceive(channels, [LogicDense(FixedWiring(w), **options) for w in wires])  # type: ignore[arg-type]


class StateLogits(nn.Module):
    """Give the next state of a cell as scores: bit - 1/2, positive for 1.

    Shape: (channels, cells) -> (cells, channels).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Subtract."""
        return (x - 0.5).t()


def windows_of(states: Tensor, *, wraps: bool) -> Tensor:
    """List the 3x3 window of every cell; beyond an edge lies the opposite one, or nothing (0).

    Shape: (n, channels, h, w) float -> (channels · 9, n · h · w).
    """
    if states.dim() != 4:
        raise UsageError(
            f"boards of shape {tuple(states.shape)}: expected (n, channels, height, width)"
        )
    padded = F.pad(states, (1, 1, 1, 1), mode="circular") if wraps else states
    rows = F.unfold(padded, 3, padding=0 if wraps else 1)
    return rows.transpose(0, 1).flatten(1)


def rule_of(cell: nn.Module) -> Callable[[Tensor], Tensor]:
    """Take a cell's gates as they are now, for many steps: coefficients are computed once.

    Gradients of all steps meet in them before they go back to the logits.
    """
    if isinstance(cell, Perceive):
        kernels = rule_of(cell.layers)
        return lambda rows: cell.look(rows, kernels)
    if isinstance(cell, LogicDense):
        return _chain_of([cell]) if _is_fixed(cell) else cell
    if isinstance(cell, nn.Sequential):
        parts = [
            part
            for fixed, run in itertools.groupby(cell, _is_fixed)
            for part in ([_chain_of(list(run))] if fixed else map(rule_of, run))
        ]
        return lambda x: functools.reduce(lambda y, part: part(y), parts, x)
    return cell


def _is_fixed(part: nn.Module) -> bool:
    return isinstance(part, LogicDense) and isinstance(part.wiring, FixedWiring)


def _chain_of(layers: Sequence[Any]) -> Callable[[Tensor], Tensor]:
    wires = [layer.wiring.wires() for layer in layers]
    coefficients = [layer.coefficients() for layer in layers]
    return lambda x: gate_chain(x, wires, coefficients)


def advance(
    rule: Callable[[Tensor], Tensor],
    states: Tensor,
    *,
    wraps: bool,
    fires: Tensor | None = None,
    rounds: Tensor | None = None,
) -> Tensor:
    """Take one step of relaxed or hard states; cells that do not fire keep theirs.

    Where ``rounds`` is true the new states are rounded to 0 or 1, and their gradient passes
    straight through. ``rule`` is a cell, or what :func:`rule_of` takes from one.
    Shape: states (n, channels, h, w) float in [0, 1], fires, rounds (n, 1, h, w) bool -> as states.
    """
    n, channels, height, width = states.shape
    after = rule(windows_of(states, wraps=wraps))
    after = after.view(channels, n, height, width).transpose(0, 1)
    if rounds is not None:
        bits: Tensor = StraightThrough.apply(after, (after > 0.5).to(after.dtype))  # type: ignore[no-untyped-call]
        after = torch.where(rounds, bits, after)
    return after if fires is None else torch.where(fires, after, states)
