"""The quantizer: grid × scale × rounding × surrogate gradient. Read this file first.

Every method that stores weights or activations in few bits is one of these, and nothing in the
library asks which. The laws, stated in ``tests/test_quantizers.py``:

- ``forward(w) == levels(*codes(w))`` exactly, for any scale;
- ``unpack(pack(w)) == codes(w)``;
- the gradient of ``forward`` is ``surrogate.backward(incoming, w)``;
- codes lie in the grid.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bnncli.quantizers.grids import Grid, bits_per_code
from bnncli.quantizers.scales import NoScale, Scale
from bnncli.quantizers.surrogates import Identity, Surrogate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Codes(NamedTuple):
    """Integer codes on the grid and the scale that turns them into levels (None means 1)."""

    codes: Tensor
    scale: Tensor | None


@dataclass(frozen=True)
class PackedCodes:
    """Codes as packed words, with what is needed to read them back.

    Shape: words (planes, rows, words_for(n)) for a latent of shape (rows, ...), n elements a row.
    """

    words: NDArray[np.uint64]
    shape: tuple[int, ...]
    scale: NDArray[np.float32] | None


class _Quantize(torch.autograd.Function):
    """Quantize forward, apply the surrogate backward.

    A Function instead of ``w + (q - w).detach()``: with a scale the latter rounds, and hard and
    packed evaluation would no longer agree bit for bit.
    """

    @staticmethod
    def forward(
        ctx: Any, w: Tensor, quantizer: Quantizer, scale: Tensor | None, apart: bool
    ) -> Tensor:
        ctx.save_for_backward(w)
        ctx.surrogate = quantizer.surrogate
        # A scale that is applied later arrives in the gradient; the law is about dL/dlevels.
        ctx.divisor = scale if apart else None
        value = quantizer.grid_values(w, scale)
        return value if apart or scale is None else value * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (w,) = ctx.saved_tensors
        grad = grads[0] if ctx.divisor is None else grads[0] / ctx.divisor
        return ctx.surrogate.backward(grad, w), None, None, None


def _quantize(w: Tensor, quantizer: Quantizer, scale: Tensor | None, *, apart: bool) -> Tensor:
    # torch leaves Function.apply untyped.
    out: Tensor = _Quantize.apply(w, quantizer, scale, apart)  # type: ignore[no-untyped-call]
    return out


class TwoForms:
    """A module that computes a relaxed function in the soft form; see :func:`soft_form`."""

    soft = False


class Quantizer(TwoForms, nn.Module):
    """Map real numbers to scaled grid values, with a surrogate gradient on the way back.

    levels = s · value(w / s), s = scale(w) · step of the grid;   dL/dw := surrogate.backward(dL/dlevels, w)

    ``stochastic`` rounds at random while training (torch's default generator, which a run seeds
    before each step) and to the nearest value in evaluation. The scale is a constant to autograd.

    Shape: (...) -> (...).
    """

    adopts = False  # whether adopt() keeps something else than real numbers, one for each weight

    def __init__(
        self,
        grid: Grid,
        *,
        scale: Scale | None = None,
        surrogate: Surrogate | None = None,
        stochastic: bool = False,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.scale: Scale = NoScale() if scale is None else scale
        self.surrogate: Surrogate = Identity() if surrogate is None else surrogate
        self.stochastic = stochastic

    @property
    def bits(self) -> float:
        """Information per element in bits: log2(levels)."""
        return bits_per_code(self.grid)

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """Take over a layer's initial weights; give the parameter that the layer shall train."""
        return weight

    def scale_of(self, w: Tensor) -> Tensor | None:
        """Give the factor between grid values and levels, None for 1."""
        scale, step = self.scale(w), self.grid.step
        if step == 1:
            return scale
        return w.new_tensor(step) if scale is None else scale * step

    def relaxed(self, w: Tensor) -> Tensor:
        """Give the soft form: the function whose slope the surrogate gradient is."""
        return self.surrogate.relaxed(w)

    def _noise(self, w: Tensor, generator: torch.Generator | None) -> Tensor | None:
        if generator is not None:
            return torch.rand(w.shape, generator=generator, dtype=w.dtype).to(w.device)
        return torch.rand_like(w) if self.stochastic and self.training else None

    def _normalized(self, w: Tensor, scale: Tensor | None) -> Tensor:
        return w if scale is None or self.grid.scale_invariant else w / scale

    def codes(self, w: Tensor, generator: torch.Generator | None = None) -> Codes:
        """Round to integer codes; a generator asks for one seeded stochastic rounding.

        Shape: (...) -> codes (...) int8, scale broadcastable.
        """
        scale = self.scale_of(w)
        with torch.no_grad():
            noise = self._noise(w, generator)
            return Codes(self.grid.encode(self._normalized(w, scale), noise), scale)

    def levels(self, codes: Tensor, scale: Tensor | None) -> Tensor:
        """Give the real values that codes stand for: scale · grid value.

        Shape: (...) -> (...).
        """
        dtype = torch.get_default_dtype() if scale is None else scale.dtype
        value = self.grid.decode(codes, dtype)
        return value if scale is None else value * scale

    def grid_values(self, w: Tensor, scale: Tensor | None) -> Tensor:
        """Round to grid values without autograd, before the scale.

        Shape: (...) -> (...).
        """
        return self.grid.round(self._normalized(w, scale), self._noise(w, None))

    def forward(self, w: Tensor) -> Tensor:
        """Quantize; in the soft form give the relaxed function of the surrogate instead."""
        if self.soft:
            return self.relaxed(w)
        return _quantize(w, self, self.scale_of(w), apart=False)

    def factored(self, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give grid values and scale apart, so that a layer can sum integers and scale the sum.

        The gradient is the same as that of :meth:`forward` once the caller multiplies.

        Shape: (out, ...) -> (out, ...), scale () or (out, 1, ...) or None.
        """
        if self.soft:
            return self.relaxed(w), None
        scale = self.scale_of(w)
        return _quantize(w, self, scale, apart=True), scale

    def pack(self, w: Tensor, generator: torch.Generator | None = None) -> PackedCodes:
        """Pack the codes, one row of words per output, elements of a row in torch's order.

        Shape: (rows, ...) -> words (planes, rows, words_for(elements of a row)).
        """
        codes, scale = self.codes(w.detach(), generator)
        rows = codes.reshape(codes.shape[0], -1).cpu().numpy()
        return PackedCodes(
            words=self.grid.pack(rows),
            shape=tuple(codes.shape),
            scale=None if scale is None else scale.float().cpu().numpy(),
        )

    def unpack(self, packed: PackedCodes) -> Tensor:
        """Undo :meth:`pack`: give the integer codes."""
        n = int(np.prod(packed.shape[1:]))
        return torch.from_numpy(self.grid.unpack(packed.words, n).reshape(packed.shape))

    def extra_repr(self) -> str:
        """Name the parts in printed models."""
        rounding = "stochastic" if self.stochastic else "nearest"
        return f"{type(self.grid).__name__}, {self.scale}, {self.surrogate}, {rounding}"


@contextmanager
def soft_form(model: nn.Module) -> Iterator[None]:
    """Evaluate a model in its soft form: quantizers, gates and thresholds become what they relax."""
    changed = [m for m in model.modules() if isinstance(m, TwoForms) and not m.soft]
    try:
        for module in changed:
            module.soft = True
        yield
    finally:
        for module in changed:
            module.soft = False
