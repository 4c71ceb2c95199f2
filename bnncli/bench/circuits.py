"""Suite ``circuits``: how small circuits become, beside other programs on the same circuits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.bench import emitted, large_circuits, life_circuits, minimize

if TYPE_CHECKING:
    from bnncli.bench.harness import Case, Observation


def cases() -> list[Case | Observation]:
    """List large networks, rules of automata, emitted C, and the learned Game of Life by seed."""
    small = [*life_circuits.cases(), *minimize.cases()]
    return [*large_circuits.cases(), *small, *emitted.cases()]
