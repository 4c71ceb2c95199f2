"""How a run is trained, by name: each trainer plugs in here and is asked for the same things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bnncli.errors import UsageError, unknown_name
from bnncli.models import find_arch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch import nn

    from bnncli.data import ImageData
    from bnncli.training.config import Settings
    from bnncli.training.memory import Memory
    from bnncli.training.records import Progress, Reporter, ShouldStop


class Training(Protocol):
    """A training from its first step to its last, that can stop and go on to the same bits."""

    model: nn.Module
    progress: Progress
    reporters: list[Reporter]
    should_stop: ShouldStop
    steps_per_epoch: int

    def run(self) -> bool:
        """Train to the end, or until ``should_stop``; tell whether the end was reached.

        Reporters hear of every step and epoch; the epoch with the best hard validation accuracy is
        the one whose weights are kept.
        """
        ...

    def checkpoint(self) -> dict[str, Any]:
        """Give all that it takes to go on to the same bits."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        ...

    def memory(self, *, peak_of: str) -> Memory:
        """Measure what training holds, after its last step."""
        ...

    def test(self) -> dict[str, Any]:
        """Read the test set, once, with the weights as they are; entries of ``result.json``.

        ``test_hard_accuracy`` is among them.
        """
        ...


class MakeTraining(Protocol):
    """Build a training of resolved settings, at step 0 and without reporters."""

    def __call__(self, settings: Settings, data: ImageData, *, device: torch.device) -> Training:
        """Build it; settings that cannot be trained so are errors here."""
        ...


@dataclass(frozen=True)
class NamedTrainer:
    """A trainer by name, with a line about it."""

    name: str
    make: MakeTraining
    summary: str


TRAINERS: dict[str, NamedTrainer] = {}


Make = TypeVar("Make", bound=MakeTraining)


def trainer(name: str, summary: str) -> Callable[[Make], Make]:
    """Register the decorated function as trainer ``name``."""

    def add(make: Make) -> Make:
        TRAINERS[name] = NamedTrainer(name, make, summary)
        return make

    return add


def find_trainer(settings: Settings) -> NamedTrainer:
    """Look up the trainer that settings name, or that their architecture has."""
    name = settings.train.trainer or find_arch(settings.model.arch).trainer
    if name not in TRAINERS:
        raise unknown_name("trainer", name, TRAINERS)
    return TRAINERS[name]


def refuse_given(settings: Settings, names: Iterable[str], why: str) -> None:
    """Refuse settings, such as ``train.precision``, that a trainer would not heed."""
    for name in names:
        section, key = name.split(".")
        group = getattr(settings, section)
        value = getattr(group, key)
        if value != getattr(type(group)(), key) and value != {}:
            raise UsageError(f"{name}={value!r}: {why}; leave it out")


def make_trainer(settings: Settings, data: ImageData, *, device: torch.device) -> Training:
    """Build the training of resolved settings, at step 0 and without reporters."""
    return find_trainer(settings).make(settings, data, device=device)
