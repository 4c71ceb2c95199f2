"""How many weights change their code and gates their truth table: the pulse of 1-bit training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.layers import LogicDense
from bnncli.models import quantized_weights
from bnncli.training.evaluate import evaluation

if TYPE_CHECKING:
    from torch import Tensor, nn


def weight_codes(model: nn.Module) -> dict[str, Tensor]:
    """Give the codes of every quantized weight and the truth tables of every gate, on the CPU.

    Both are rounded as in evaluation.
    """
    with evaluation(model):
        codes = {name: q.codes(w).codes.cpu().clone() for name, w, q in quantized_weights(model)}
        for name, module in model.named_modules():
            if isinstance(module, LogicDense):
                codes[name] = module.tables().cpu()
    return codes


def flip_rate(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    """Give the share of codes that differ; 0 for a model that has none."""
    total = sum(codes.numel() for codes in after.values())
    changed = sum(int((codes != before[name]).sum()) for name, codes in after.items())
    return changed / total if total else 0.0
