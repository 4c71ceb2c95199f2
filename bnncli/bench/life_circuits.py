"""Rules of cellular automata as circuits: the search beside abc's on the same function."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bnncli.bench.harness import Observation
from bnncli.bench.large_circuits import abc_facts
from bnncli.bench.rules import LIFE_LIKE
from bnncli.circuit import Builder, Circuit
from bnncli.data.rules import rule_table
from bnncli.minimize import optimize

if TYPE_CHECKING:
    from bnncli.bench.large_circuits import Facts

BUDGET = 10.0
ABC_SEARCHES = ["compress2rs, dch, mfs2", "&deepsyn", "&rrr"]


def decision_circuit(table: bytes) -> Circuit:
    """Build a truth table as a diagram of decisions, the last input first.

    Entry i is the output for the inputs that are the bits of i.
    """
    n_inputs = (len(table) - 1).bit_length()
    build = Builder(n_inputs)
    inputs = build.inputs()
    known: dict[bytes, int] = {bytes([0]): 0, bytes([1]): 1}

    def literal(part: bytes) -> int:
        if part not in known:
            half = len(part) // 2
            low, high = literal(part[:half]), literal(part[half:])
            x = inputs[half.bit_length() - 1]
            chosen = build.and_(x, high), build.and_(build.not_(x), low)
            known[part] = build.or_(*chosen)
        return known[part]

    return build.build([literal(table)])


def _take(rule: str) -> Facts:
    circuit = decision_circuit(rule_table(rule).tobytes())
    done = optimize(circuit, level=3, budget=BUDGET)
    facts: Facts = {"start": circuit.size, f"-O3 --budget {BUDGET:g}": done.circuit.size}
    facts["proof"] = done.verdict.sentence()
    return {**facts, **abc_facts(circuit, ABC_SEARCHES)}


def cases() -> list[Observation]:
    """List the life-like rules that have names."""
    return [
        Observation(f"life/{name} {rule}", partial(_take, rule)) for name, rule in LIFE_LIKE.items()
    ]
