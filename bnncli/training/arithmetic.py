"""How a training computes: with numbers too small to be normal taken as 0."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def flushes_subnormals() -> bool:
    """Tell whether this thread takes float32 numbers below 1.2e-38 in size for 0."""
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool(smallest / 2 == 0)


@contextmanager
def subnormals_flushed() -> Iterator[bool]:
    """Take subnormal numbers for 0 inside, and give whether this processor can.

    A subnormal is smaller than 1.2e-38, has fewer bits the smaller it is, and costs many processors
    some hundred cycles an operation. As a temperature falls, gradients of gates become that small
    by the million. Afterwards the thread computes as before. The kernels' workers compute as the
    thread that calls them does; threads that torch has already started keep their own mode.
    """
    before = flushes_subnormals()
    able = torch.set_flush_denormal(True)
    try:
        yield able
    finally:
        torch.set_flush_denormal(before)
