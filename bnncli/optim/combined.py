"""Several optimizers that act as one: bits by one rule, everything else by another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


class Combined(torch.optim.Optimizer):
    """Step optimizers one after another; their parameter groups are those of the whole."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        parameters = [p for part in parts for group in part.param_groups for p in group["params"]]
        super().__init__(parameters, {})
        self.parts = list(parts)
        self._share_groups()

    def _share_groups(self) -> None:
        # The very dictionaries of the parts, so that a rate set here is the part's own.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step every part."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Give the parts' states under ``state``, by their place."""
        parts = {index: part.state_dict() for index, part in enumerate(self.parts)}
        return {"state": parts, "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load every part."""
        for index, part in enumerate(self.parts):
            part.load_state_dict(state_dict["state"][index])
        self._share_groups()
