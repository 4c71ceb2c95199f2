"""How many quantized weights change their code: the pulse of 1-bit training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.models import quantized_weights
from bnncli.training.evaluate import evaluation

if TYPE_CHECKING:
    from torch import Tensor, nn


def weight_codes(model: nn.Module) -> dict[str, Tensor]:
    """Give the codes of every quantized weight, rounded as in evaluation, on the CPU."""
    with evaluation(model):
        return {name: q.codes(w).codes.cpu().clone() for name, w, q in quantized_weights(model)}


def flip_rate(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    """Give the share of weights whose code differs; 0 for a model without quantized weights."""
    total = sum(codes.numel() for codes in after.values())
    changed = sum(int((codes != before[name]).sum()) for name, codes in after.items())
    return changed / total if total else 0.0
