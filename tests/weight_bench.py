"""One tensor under an optimizer, stepped by hand."""

from __future__ import annotations

import torch
from torch import nn

from bnncli.optim import OPTIMIZERS
from bnncli.quantizers import make_quantizer


class Bench:
    """One tensor of stored signs or latents under a preset, with steps given by hand."""

    def __init__(self, name: str, start: list[float], *, lr: float | None = None, **options):
        preset = OPTIMIZERS[name]
        weight = nn.Parameter(torch.tensor([start]))
        self.chances: list[torch.Tensor] = []
        self.store = None
        given = [weight]
        if preset.weights is not None:
            self.store = make_quantizer("bits")
            weight = self.store.adopt(weight)
            given = [(weight, self.store)]
        self.optimizer = preset.make(given, lr=preset.lr if lr is None else lr, **options)
        self.weight = weight
        if preset.weights not in (None, "bits"):
            self.record()

    def record(self):
        """Keep the chances that the optimizer asks for instead of drawing."""

        def move(direction, chance, steps=None):
            self.chances.append(chance.float() * torch.ones(1))
            return torch.zeros(chance.shape, dtype=torch.bool)

        self.store.move = move

    def step(self, gradients, *, progress: float = 0.0):
        self.optimizer.param_groups[0]["progress"] = progress
        self.weight.grad = torch.as_tensor([list(gradients)], dtype=torch.float32)
        self.optimizer.step()
        return self.values

    @property
    def values(self) -> list[float]:
        return (self.weight if self.store is None else self.store.store).flatten().tolist()

    def state(self, name: str) -> list[float]:
        return self.optimizer.state[self.weight][name].flatten().tolist()


def sign(x: float) -> int:
    return (x > 0) - (x < 0)
