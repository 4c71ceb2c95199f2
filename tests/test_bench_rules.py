"""The suite of rules: what it trains, and how it counts."""

from __future__ import annotations

from bnncli.bench.rules import LIFE_LIKE, N_SEEDS, Learned, cases, facts_of, learn, take
from bnncli.bench.suites import SUITES
from bnncli.data import canonical_rule, rule_table


def test_the_suite_holds_a_hundred_seeds_twenty_rules_and_all_elementary_ones():
    names = [case.name for case in SUITES["rules"].cases()]
    assert names[0] == f"gol/{N_SEEDS}-seeds"
    assert N_SEEDS == 100
    assert {"gol-paper/5-seeds", "gol-journal/5-seeds", "elementary/256-rules"} <= set(names)
    assert sum(name.startswith("life-like/") for name in names) == len(LIFE_LIKE) >= 20
    tables = {rule_table(rule).tobytes() for rule in LIFE_LIKE.values()}
    assert len(tables) == len(LIFE_LIKE)
    assert rule_table("B3/S23").tobytes() not in tables
    assert all(canonical_rule(rule) == rule for rule in LIFE_LIKE.values())
    assert len(set(names)) == len(names) == len(cases())


def test_facts_count_what_ended_without_error():
    runs = [
        Learned(errors=0, steps=100, restarts=0, seconds=1.0, cpu_seconds=0.5),
        Learned(errors=0, steps=300, restarts=2, seconds=2.0, cpu_seconds=1.5),
        Learned(errors=7, steps=500, restarts=0, seconds=4.0, cpu_seconds=2.5),
    ]
    assert facts_of(runs) == {
        "hard error 0": "2 of 3",
        "without restart": "1 of 3",
        "most errors": 7,
        "median seconds": 2.0,
        "median CPU seconds": 1.5,
        "longest CPU seconds": 2.5,
        "median steps": 300,
        "most restarts": 2,
    }


def test_a_rule_is_learned_as_its_recipe_says():
    learned = learn("gol", "W110", 0)
    again = learn("gol", "W110", 0)
    assert learned.errors == 0
    assert learned.steps % 25 == 0
    assert learned.seconds > 0
    assert (again.steps, again.restarts) == (learned.steps, learned.restarts)
    facts = take("gol", [("W110", 0), ("W0", 3)])
    assert facts["hard error 0"] == "2 of 2"
