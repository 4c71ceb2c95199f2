"""The layers of gates of a latent model, relaxed and rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from bnncli.gates import ENTRY_TO_COEFFICIENT, table_entries
from bnncli.layers import LearnedWiring, LogicDense
from bnncli.quantizers import soft_form
from bnncli.training.evaluate import evaluation
from bnncli.views.gates import GateLayer, Relaxed

if TYPE_CHECKING:
    from torch import nn

_TO_ENTRIES = np.rint(np.linalg.inv(ENTRY_TO_COEFFICIENT)).astype(np.float32)
CONTAINERS = frozenset({"cell", "layers", "levels"})


def latent_layers(model: nn.Module) -> list[GateLayer]:
    """List the layers of gates wherever they stand in a model, in the order of its modules."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, LogicDense):
            tables = module.tables().cpu().numpy()
            a, b = (wire.cpu().numpy() for wire in module.wiring.wires())
            found.append(GateLayer(_short(name), tables, a, b, relaxed=_relaxed(module, tables)))
    return found


def _short(name: str) -> str:
    """Leave out of a module's name what only holds other modules together."""
    return ".".join(part for part in name.split(".") if part not in CONTAINERS)


def _relaxed(layer: LogicDense, tables: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Relaxed:
    wires = None
    with evaluation(layer), soft_form(layer):
        coefficients = layer.coefficients().cpu().numpy()
        if isinstance(layer.wiring, LearnedWiring):
            weights = torch.softmax(layer.wiring.sharpened(layer.wiring.wire_logits), dim=1)
            wires = weights.amax(dim=1).cpu().numpy()
    entries = coefficients @ _TO_ENTRIES.T
    return Relaxed(
        parametrization=layer.parametrization.name,
        logits=layer.gate_logits.detach().cpu().numpy(),
        entries=entries,
        confidence=1 - np.abs(entries - table_entries(tables)).max(axis=1),
        wire_weights=wires,
    )
