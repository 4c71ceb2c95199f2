"""The step that makes an optimizer an STE optimizer: latent weights stay in [-clip, clip]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer


def clip_latent(optimizer: Optimizer, latent: Sequence[nn.Parameter], clip: float) -> None:
    """Clamp latent weights after every step of ``optimizer``: w ← clamp(w, -clip, clip).

    After, not before: a clip before the step leaves weights outside for one forward pass. A weight
    far beyond the grid would need many steps to change its sign; the clip keeps it able to.
    Source: BinaryConnect, Courbariaux et al. 2015, arXiv:1511.00363, algorithm 1.
    """

    def clamp(_optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        with torch.no_grad():
            for weight in latent:
                weight.clamp_(-clip, clip)

    optimizer.register_step_post_hook(clamp)
