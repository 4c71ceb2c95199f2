"""Which parameter gets which update rule: each parameter is claimed exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.errors import BnnError
from bnncli.models import quantized_weights
from bnncli.quantizers import StoredQuantizer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

Named = tuple[str, "nn.Parameter"]


@dataclass(frozen=True)
class ParameterGroups:
    """A model's parameters by what they are.

    - ``latent``: weights behind a quantizer. Decay would not shrink what runs, only make it flip
      more often, so none is applied.
    - ``stored``: ports of weights that a quantizer keeps as integers, each with that quantizer.
    - ``decayed``: real weights of linear and convolutional layers.
    - ``plain``: biases and norm parameters, never decayed.
    """

    latent: list[Named]
    stored: list[tuple[str, nn.Parameter, StoredQuantizer]]
    decayed: list[Named]
    plain: list[Named]

    @property
    def rest(self) -> ParameterGroups:
        """Give the groups that hold no quantized weights."""
        return ParameterGroups([], [], self.decayed, self.plain)


def claim_once(model: nn.Module, claims: Iterable[tuple[str, Iterable[Named]]]) -> None:
    """Raise an error that names a parameter which no group claims, or two do."""
    owner: dict[str, str] = {}
    for group, named in claims:
        for name, _ in named:
            if name in owner:
                raise BnnError(
                    f"parameter {name} is claimed by groups {owner[name]!r} and {group!r}; "
                    f"each parameter needs exactly one update rule"
                )
            owner[name] = group
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in owner:
            raise BnnError(f"parameter {name} is claimed by no group and would never be trained")


def group_parameters(model: nn.Module) -> ParameterGroups:
    """Sort a model's trainable parameters into groups."""
    found = quantized_weights(model)
    claimed = {name for name, _, _ in found}
    rest = [
        (name, p) for name, p in model.named_parameters() if p.requires_grad and name not in claimed
    ]
    groups = ParameterGroups(
        latent=[(name, p) for name, p, q in found if not isinstance(q, StoredQuantizer)],
        stored=[(name, p, q) for name, p, q in found if isinstance(q, StoredQuantizer)],
        decayed=[(name, p) for name, p in rest if p.dim() > 1],
        plain=[(name, p) for name, p in rest if p.dim() <= 1],
    )
    named = [
        ("latent", groups.latent),
        ("stored", [(name, p) for name, p, _ in groups.stored]),
        ("decayed", groups.decayed),
        ("plain", groups.plain),
    ]
    claim_once(model, named)
    return groups
