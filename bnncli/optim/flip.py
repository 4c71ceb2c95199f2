"""The optimizer of stored weights: a score a weight, a rule that turns scores into moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bnncli.optim.masks import greater, ones_where
from bnncli.optim.rules import Context, Decision, Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from bnncli.optim.scores import Score
    from bnncli.quantizers import StoredQuantizer


class KeepsTypes(torch.optim.Optimizer):
    """An optimizer whose integer state stays integer when it is loaded; torch would make it real."""

    def load_state_dict(self, state_dict: Any) -> None:
        """Load, then put back the saved tensors' own types."""
        super().load_state_dict(state_dict)
        parameters = [p for group in self.param_groups for p in group["params"]]
        for index, saved in state_dict["state"].items():
            held = self.state[parameters[index]]
            for name, value in saved.items():
                if isinstance(value, Tensor):
                    held[name] = value.detach().clone().to(parameters[index].device)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step from the gradients; there is no closure."""
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self.update(parameter, group)

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Update one parameter of a group."""


class Flip(KeepsTypes):
    """Move stored weights: m ← score(g); moves ← rule(m, sign w); w ← moves(w).

    ``weights`` are the ports, which receive gradients, each with the store behind it. ``mutation``
    flips every stored bit with that probability besides.
    """

    def __init__(
        self,
        weights: Sequence[tuple[nn.Parameter, StoredQuantizer]],
        *,
        score: Score,
        rule: Rule,
        lr: float,
        mutation: float = 0.0,
    ) -> None:
        super().__init__([port for port, _ in weights], {"lr": lr, "progress": 0.0})
        self.stores = dict(weights)
        self.score, self.rule, self.mutation = score, rule, mutation
        for port, _ in weights:
            # Made at once, so that a run's memory is known before its first step.
            self.state[port] = {**score.start(port), **rule.start(port)}

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Move one weight tensor."""
        assert parameter.grad is not None
        store, state = self.stores[parameter], self.state[parameter]
        lr = group["lr"]
        score = self.score.update(state, parameter.grad, lr)
        first_lr = group.get("initial_lr", lr)
        context = Context(store, state, lr, first_lr, group["progress"])
        decision = self.rule.decide(score, context)
        moved = self._move(store, score, decision)
        if self.mutation > 0:
            store.disturb(self.mutation)
        fired = moved if decision.fired is None else decision.fired
        self.score.settle(state, fired, decision.rest)

    @staticmethod
    def _move(store: StoredQuantizer, score: Tensor, decision: Decision) -> Tensor:
        direction = decision.direction
        if direction is None:
            direction = 1 - 2 * ones_where(greater(score, 0))  # -sign m; 0 asks for +1
        return store.move(direction, decision.chance, decision.steps)
