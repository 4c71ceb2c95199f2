"""Suite ``circuits``: how small circuits become, beside other programs on the same circuits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.bench import emitted, large_circuits, life_circuits

if TYPE_CHECKING:
    from bnncli.bench.harness import Case, Observation


def cases() -> list[Case | Observation]:
    """List the large networks, the rules of automata, then emitted C."""
    return [*large_circuits.cases(), *life_circuits.cases(), *emitted.cases()]
