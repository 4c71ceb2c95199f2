"""The search for small circuits, from networks that learned the Game of Life from many seeds.

Every search begins with the circuit of a network trained by the recipe ``gol``, uses all cores and
ends when its seconds are over, or at the smallest size that is known here.
"""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from bnncli.bench.harness import Observation
from bnncli.circuit.translation import shared_operations
from bnncli.minimize import minimize

if TYPE_CHECKING:
    from torch import nn

    from bnncli.bench.large_circuits import Facts
    from bnncli.circuit import Circuit
    from bnncli.minimize import Progress

N_SEEDS = 20
SECONDS = {False: (10, 60), True: (60, 180)}
"""After how many seconds the gates, or the shared operations, are looked at; the last end a search.
"""

KNOWN = {False: 24, True: 16}
"""The smallest numbers of gates and of shared operations that are known here."""

UNITS = {False: "gates", True: "shared operations"}


@cache
def learned_circuit(seed: int) -> Circuit:
    """Train a network, freeze it and give its gates."""
    import torch

    from bnncli.bench.rules import GAME_OF_LIFE, rule_data
    from bnncli.bench.steppers import circuit_of, gates_of
    from bnncli.freeze import freeze
    from bnncli.recipes import find_recipe
    from bnncli.training.experiment import resolve
    from bnncli.training.trainers import make_trainer

    chosen: dict[str, dict[str, Any]] = {
        "data": {"name": f"rule:{GAME_OF_LIFE}"},
        "train": {"seed": seed},
    }
    settings = resolve(find_recipe("gol").settings.updated(chosen))
    training = make_trainer(settings, rule_data(GAME_OF_LIFE), device=torch.device("cpu"))
    training.run()
    return circuit_of(gates_of(freeze(cast("nn.Sequential", training.model))))


def take(
    circuit: Circuit, *, shared: bool, seconds: tuple[int, ...], stop_at: int, jobs: int = 0
) -> Facts:
    """Search once; tell what was reached when, by the clock on the wall and by the processor's."""
    seen: list[Progress] = []
    cpu_began = time.process_time()
    found = minimize(
        circuit,
        budget=seconds[-1],
        jobs=jobs,
        shared=shared,
        stop_at=stop_at,
        on_progress=seen.append,
    )
    cpu_seconds = time.process_time() - cpu_began
    facts: Facts = {"gates, declared": circuit.n_gates, "gates, live": circuit.size}
    for limit in seconds:
        costs = [p.cost for p in seen if p.seconds <= limit]
        if costs:
            facts[f"{UNITS[shared]} after {limit} s"] = min(costs)
    facts[f"{UNITS[shared]} at the end"] = shared_operations(found) if shared else found.size
    facts["seconds"] = seen[-1].seconds
    facts["CPU seconds"] = cpu_seconds
    facts["walks"] = seen[-1].walks
    return facts


def _take(seed: int, shared: bool) -> Facts:
    return take(
        learned_circuit(seed), shared=shared, seconds=SECONDS[shared], stop_at=KNOWN[shared]
    )


def cases() -> list[Observation]:
    """List the seeds, for gates and for shared operations."""
    return [
        Observation(
            f"minimize/gol {UNITS[shared]}, seed {seed}",
            partial(_take, seed, shared),
            partial(learned_circuit, seed),
        )
        for shared in (False, True)
        for seed in range(N_SEEDS)
    ]
