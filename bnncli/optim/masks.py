"""Masks at the speed of numbers: comparisons written into bytes, which are then read as bool.

torch writes a comparison into a bool tensor, or turns one into numbers, three to six times slower.
"""

from __future__ import annotations

import torch
from torch import Tensor


def greater(x: Tensor, y: Tensor | float) -> Tensor:
    """Give x > y.

    Shape: (...) -> (...), bool.
    """
    return torch.gt(x, y, out=torch.empty(x.shape, dtype=torch.int8, device=x.device)).view(
        torch.bool
    )


def at_least(x: Tensor, y: Tensor | float) -> Tensor:
    """Give x ≥ y.

    Shape: (...) -> (...), bool.
    """
    return torch.ge(x, y, out=torch.empty(x.shape, dtype=torch.int8, device=x.device)).view(
        torch.bool
    )


def ones_where(mask: Tensor) -> Tensor:
    """Give 1 where a mask holds, else 0; the same memory.

    Shape: (...) bool -> (...), int8.
    """
    return mask.view(torch.int8)
