"""Trees of gates slid over images: the passes, checked once, in C and in numpy.

Images are feature-major float32, ``(channels, height, width, batch)``. A leaf of a tree is a place
of the window, ``(channel · kernel + line) · kernel + column``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnncli.errors import BnnError
from bnncli.native import kernels
from bnncli.native.logic_passes import FLOAT, check_exact, check_threads, check_wires

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Winners = NDArray[np.uint8]

MOST_LEVELS, LARGEST_POOL = 6, 15
WINNER = np.dtype(np.uint8)


class Trees(NamedTuple):
    """The operands: leaves int32 ``(outputs, 2**depth)``, coefficients ``(gates, 4)``.

    The coefficients are those of all trees' lowest gates, tree after tree, then those of the level
    above them and so on. Around the image lie ``padding`` pixels of 0. ``pool`` is the side of the
    squares of neighbours of which the largest is kept, 1 to keep all.
    """

    x: Floats
    leaves: NDArray[np.int32]
    coefficients: Floats
    kernel: int
    padding: int = 0
    pool: int = 1

    @property
    def depth(self) -> int:
        """Count the levels of a tree."""
        return int(self.leaves.shape[1]).bit_length() - 1

    @property
    def places(self) -> tuple[int, int]:
        """Give the lines and columns of places of the window, before pooling."""
        more = 2 * self.padding - self.kernel + 1
        return self.x.shape[1] + more, self.x.shape[2] + more

    @property
    def output(self) -> tuple[int, int, int, int]:
        """Give the shape of the output."""
        lines, columns = self.places
        return len(self.leaves), lines // self.pool, columns // self.pool, self.x.shape[3]

    def check(self, what: str) -> None:
        """Refuse wrong shapes, types and leaves."""
        x, leaves, coefficients = self.x, self.leaves, self.coefficients
        for name, array in (("x", x), ("coefficients", coefficients)):
            if array.dtype != FLOAT or not array.flags.c_contiguous:
                raise BnnError(
                    f"{what}: {name} has dtype {array.dtype} and strides {array.strides}, "
                    f"expected contiguous {FLOAT}"
                )
        if x.ndim != 4 or not x.size:
            raise BnnError(f"{what}: x has shape {x.shape}, expected four dimensions, none empty")
        width = leaves.shape[1] if leaves.ndim == 2 and len(leaves) else 0
        if width not in [2**depth for depth in range(1, MOST_LEVELS + 1)]:
            raise BnnError(
                f"{what}: leaves has shape {leaves.shape}, expected (outputs, 2**depth) with a "
                f"depth of 1 to {MOST_LEVELS}"
            )
        if coefficients.shape != (len(leaves) * (width - 1), 4):
            raise BnnError(
                f"{what}: coefficients has shape {coefficients.shape}, expected "
                f"{(len(leaves) * (width - 1), 4)}"
            )
        lines, columns = self.places
        if self.kernel < 1 or self.padding < 0 or min(lines, columns) < 1:
            raise BnnError(
                f"{what}: windows of {self.kernel}x{self.kernel} with padding {self.padding} over "
                f"{x.shape[1]}x{x.shape[2]} pixels, expected at least one place for a window"
            )
        if not 1 <= self.pool <= LARGEST_POOL or lines % self.pool or columns % self.pool:
            raise BnnError(
                f"{what}: pool={self.pool} for {lines}x{columns} places, expected a divisor of "
                f"both, at most {LARGEST_POOL}"
            )
        check_wires(f"{what}: leaves", leaves, x.shape[0] * self.kernel**2)


class TreeKernels(ABC):
    """The passes of :class:`Trees`; an implementation is given checked operands."""

    name: str
    """The implementation and its instruction set."""

    def forward(
        self, trees: Trees, *, winners: bool = False, threads: int = 1
    ) -> tuple[Floats, Winners | None]:
        """Compute every tree at every place, and the largest of each ``pool``² neighbours.

        With ``winners`` also which of the neighbours it was, counted line by line, the first of
        equals: None where nothing is pooled.
        """
        trees.check("tree_forward")
        y = np.empty(trees.output, FLOAT)
        won = np.empty(trees.output, np.uint8) if winners and trees.pool > 1 else None
        check_threads("tree_forward", threads)
        self._forward(trees, y, won, threads)
        return y, won

    def backward(
        self,
        trees: Trees,
        winners: Winners | None,
        grad: Floats,
        *,
        need_x: bool = True,
        threads: int = 1,
    ) -> tuple[Floats | None, Floats]:
        """Give the gradients of x (None unless ``need_x``) and of the coefficients.

        The gradient of an output goes to its winner alone.
        """
        trees.check("tree_backward")
        check_exact("tree_backward: grad", grad, FLOAT, trees.output)
        if trees.pool > 1:
            if winners is None:
                raise BnnError("tree_backward: winners is None, expected those of tree_forward")
            check_exact("tree_backward: winners", winners, WINNER, trees.output)
            if (most := int(winners.max())) >= trees.pool**2:
                raise BnnError(
                    f"tree_backward: winner {most} given, expected 0 to {trees.pool**2 - 1}: those "
                    f"of tree_forward"
                )
        dx = np.empty_like(trees.x) if need_x else None
        dcoefficients = np.empty_like(trees.coefficients)
        check_threads("tree_backward", threads)
        self._backward(trees, winners if trees.pool > 1 else None, grad, dx, dcoefficients, threads)
        return dx, dcoefficients

    @abstractmethod
    def _forward(self, trees: Trees, y: Floats, won: Winners | None, threads: int) -> None: ...

    @abstractmethod
    def _backward(
        self,
        trees: Trees,
        winners: Winners | None,
        grad: Floats,
        dx: Floats | None,
        dcoefficients: Floats,
        threads: int,
    ) -> None: ...


class CTrees(TreeKernels):
    """The passes in C. ``isa`` is one of ``ISA_NAMES``; by default ``BNN_ISA``, else the fastest.

    Results are the same for every number of ``threads``.
    """

    def __init__(self, isa: str | None = None) -> None:
        library = kernels.load_library(isa)
        self.name = "c:" + library.isa_name
        self._library, self._lib = library, library.functions

    def _floats(self, array: Floats | None) -> Any:
        return self._library.null if array is None else self._library.pointer(array, "float")

    def _bytes(self, array: Winners | None) -> Any:
        return self._library.null if array is None else self._library.pointer(array, "uint8_t")

    def _operands(self, trees: Trees) -> tuple[Any, ...]:
        """Give the operands as the C functions take them; the leaves must outlive the call."""
        sizes = (len(trees.leaves), trees.depth, trees.kernel, trees.padding, trees.pool)
        leaves = self._library.pointer(trees.leaves, "int32_t")
        structure = self._library.new("bnn_trees *", (*trees.x.shape, *sizes, leaves))
        return (
            *(self._library.isa, structure, self._floats(trees.x)),
            self._floats(trees.coefficients),
        )

    def _forward(self, trees: Trees, y: Floats, won: Winners | None, threads: int) -> None:
        outputs = self._floats(y), self._bytes(won)
        status = self._lib.bnn_trees_forward(*self._operands(trees), *outputs, threads)
        kernels.check_memory("tree_forward", status)

    def _backward(
        self,
        trees: Trees,
        winners: Winners | None,
        grad: Floats,
        dx: Floats | None,
        dcoefficients: Floats,
        threads: int,
    ) -> None:
        arrays = map(self._floats, (grad, dx, dcoefficients))
        status = self._lib.bnn_trees_backward(
            *self._operands(trees), self._bytes(winners), *arrays, threads
        )
        kernels.check_memory("tree_backward", status)


class NumpyTrees(TreeKernels):
    """The passes in numpy, for comparison and for machines without a compiler.

    ``threads`` is accepted and not used.
    """

    name = "numpy"

    def _forward(self, trees: Trees, y: Floats, won: Winners | None, threads: int) -> None:
        roots = np.stack(_neighbours(trees, _nodes(trees, _padded(trees))[-1]))
        y[:] = roots.max(axis=0)
        if won is not None:
            won[:] = roots.argmax(axis=0)

    def _backward(
        self,
        trees: Trees,
        winners: Winners | None,
        grad: Floats,
        dx: Floats | None,
        dcoefficients: Floats,
        threads: int,
    ) -> None:
        padded = _padded(trees)
        *inputs, roots = _nodes(trees, padded)
        to_roots = np.empty_like(roots)
        for part, here in enumerate(_neighbours(trees, to_roots)):
            here[:] = grad if winners is None else grad * (winners == part)
        grads, end = to_roots[:, None], len(dcoefficients)
        for values in reversed(inputs):
            a, b = values[:, 0::2], values[:, 1::2]
            n_gates = a.shape[0] * a.shape[1]
            c = trees.coefficients[end - n_gates : end].reshape(*a.shape[:2], 4, 1, 1, 1)
            products = (grads, grads * a, grads * b, grads * a * b)
            sums = [product.sum(axis=(2, 3, 4)).ravel() for product in products]
            np.stack(sums, axis=1, out=dcoefficients[end - n_gates : end])
            below = np.empty_like(values)
            below[:, 0::2] = grads * (c[:, :, 1] + c[:, :, 3] * b)
            below[:, 1::2] = grads * (c[:, :, 2] + c[:, :, 3] * a)
            grads, end = below, end - n_gates
        if dx is not None:
            to = np.zeros_like(padded)
            for tree, leaf in np.ndindex(*trees.leaves.shape):
                _window(trees, to, trees.leaves[tree, leaf])[:] += grads[tree, leaf]
            p = trees.padding
            dx[:] = to[:, p : p + dx.shape[1], p : p + dx.shape[2]]


def _padded(trees: Trees) -> Floats:
    p = trees.padding
    return np.pad(trees.x, ((0, 0), (p, p), (p, p), (0, 0)))


def _window(trees: Trees, padded: Floats, leaf: Any) -> Floats:
    """Give a view of what a leaf reads at every place. Shape: (lines, columns, batch)."""
    channel, place = divmod(int(leaf), trees.kernel**2)
    line, column = divmod(place, trees.kernel)
    lines, columns = trees.places
    return padded[channel, line : line + lines, column : column + columns]


def _nodes(trees: Trees, padded: Floats) -> list[Floats]:
    """Give the leaves, then the values of every level, each (outputs, nodes, lines, columns, batch).

    Of the last level, the roots, without the dimension of the nodes.
    """
    values = np.stack([_window(trees, padded, leaf) for leaf in trees.leaves.ravel()])
    levels, begin = [values.reshape(*trees.leaves.shape, *values.shape[1:])], 0
    while levels[-1].shape[1] > 1:
        a, b = levels[-1][:, 0::2], levels[-1][:, 1::2]
        n_gates = a.shape[0] * a.shape[1]
        c = trees.coefficients[begin : begin + n_gates].reshape(*a.shape[:2], 4, 1, 1, 1)
        levels.append((c[:, :, 0] + c[:, :, 1] * a) + b * (c[:, :, 2] + c[:, :, 3] * a))
        begin += n_gates
    return [*levels[:-1], levels[-1][:, 0]]


def _neighbours(trees: Trees, places: Floats) -> list[Floats]:
    """Give views of the places that are pooled, line by line of a pool, each shaped as the output."""
    s = trees.pool
    return [places[:, line::s, column::s] for line in range(s) for column in range(s)]


@cache
def default_trees() -> TreeKernels:
    """Return the passes of the backend that BNN_KERNEL asks for; see ``default_backend``."""
    backend = kernels.default_backend()
    return CTrees() if isinstance(backend, kernels.CBackend) else NumpyTrees()
