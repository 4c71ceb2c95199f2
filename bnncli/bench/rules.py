"""Suite ``rules``: how surely, and how fast, gates learn rules of cellular automata exactly.

Every run is the training of a recipe by its own trainer, from building the network to the last
step, without a run directory. It counts as solved when no row of the whole table is wrong.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch

from bnncli.bench.harness import Observation
from bnncli.data import load_dataset
from bnncli.recipes import find_recipe
from bnncli.training.experiment import resolve
from bnncli.training.trainers import make_trainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bnncli.data import ImageData

GAME_OF_LIFE = "B3/S23"
N_SEEDS = 100
"""Seeds of the default recipe on the Game of Life."""

N_OTHER_SEEDS = 5
"""Seeds of every other case but the elementary rules, which get one each."""

LIFE_LIKE = {
    "2x2": "B36/S125",
    "34 Life": "B34/S34",
    "Amoeba": "B357/S1358",
    "Anneal": "B4678/S35678",
    "Coral": "B3/S45678",
    "Day & Night": "B3678/S34678",
    "Diamoeba": "B35678/S5678",
    "DryLife": "B37/S23",
    "Flock": "B3/S12",
    "Fredkin": "B1357/S02468",
    "Gnarl": "B1/S1",
    "HighLife": "B36/S23",
    "Life without Death": "B3/S012345678",
    "Live Free or Die": "B2/S0",
    "Long Life": "B345/S5",
    "Maze": "B3/S12345",
    "Morley": "B368/S245",
    "Replicator": "B1357/S1357",
    "Seeds": "B2/S",
    "Stains": "B3678/S235678",
    "Vote": "B5678/S45678",
    "Walled Cities": "B45678/S2345",
}
"""Other life-like rules by name."""


@dataclass(frozen=True)
class Learned:
    """What one training took; ``errors`` are wrong rows of the hard form after it."""

    errors: int
    steps: int
    restarts: int
    seconds: float
    cpu_seconds: float


@cache
def rule_data(rule: str) -> ImageData:
    """Load a rule's table once."""
    return load_dataset(f"rule:{rule}")


def learn(recipe: str, rule: str, seed: int) -> Learned:
    """Train a recipe on a rule from a seed, on one thread of this process."""
    chosen: dict[str, dict[str, Any]] = {"data": {"name": f"rule:{rule}"}, "train": {"seed": seed}}
    settings = resolve(find_recipe(recipe).settings.updated(chosen))
    data = rule_data(rule)
    began, cpu_began = time.perf_counter(), time.process_time()
    training = make_trainer(settings, data, device=torch.device("cpu"))
    training.run()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    found = training.test()
    return Learned(found["hard_errors"], found["steps"], found["restarts"], seconds, cpu_seconds)


def facts_of(runs: Sequence[Learned]) -> dict[str, float | str]:
    """Count successes and give the spread of what they took, over all runs."""
    solved = [run for run in runs if run.errors == 0]
    at_once = sum(run.restarts == 0 for run in solved)
    return {
        "hard error 0": f"{len(solved)} of {len(runs)}",
        "without restart": f"{at_once} of {len(runs)}",
        "most errors": max(run.errors for run in runs),
        "median seconds": statistics.median(run.seconds for run in runs),
        "median CPU seconds": statistics.median(run.cpu_seconds for run in runs),
        "longest CPU seconds": max(run.cpu_seconds for run in runs),
        "median steps": statistics.median(run.steps for run in runs),
        "most restarts": max(run.restarts for run in runs),
    }


def take(recipe: str, jobs: Iterable[tuple[str, int]]) -> dict[str, float | str]:
    """Train a recipe on every (rule, seed)."""
    return facts_of([learn(recipe, rule, seed) for rule, seed in jobs])


def cases() -> list[Observation]:
    """List the Game of Life by recipe, the other life-like rules, and all elementary rules."""

    def seeds_of(recipe: str, rule: str, n_seeds: int, name: str) -> Observation:
        jobs = [(rule, seed) for seed in range(n_seeds)]
        return Observation(f"{name}/{n_seeds}-seeds", partial(take, recipe, jobs))

    elementary = [(f"W{number}", number) for number in range(256)]
    return [
        seeds_of("gol", GAME_OF_LIFE, N_SEEDS, "gol"),
        seeds_of("gol-paper", GAME_OF_LIFE, N_OTHER_SEEDS, "gol-paper"),
        seeds_of("gol-journal", GAME_OF_LIFE, N_OTHER_SEEDS, "gol-journal"),
        *(
            seeds_of("gol", rule, N_OTHER_SEEDS, f"life-like/{name} {rule}")
            for name, rule in LIFE_LIKE.items()
        ),
        Observation("elementary/256-rules", partial(take, "gol", elementary)),
    ]
