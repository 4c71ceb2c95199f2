"""Hypothesis strategies for tensors."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-30, -1e-30, 1.5, -1.5]
floats32 = st.one_of(
    st.sampled_from(SPECIAL), st.floats(-3, 3, width=32, allow_nan=False, allow_infinity=False)
)


@st.composite
def latents(draw, max_rows: int = 5, max_columns: int = 130):
    """Draw a latent weight matrix (rows, columns) or kernel (out, in, 3, 3)."""
    if draw(st.booleans()):
        shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_columns)))
    else:
        shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, 8)), 3, 3)
    seed = draw(st.integers(0, 2**31))
    w = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    flat = w.view(-1)
    for value in draw(st.lists(floats32, max_size=4)):
        flat[draw(st.integers(0, flat.numel() - 1))] = value
    return w
