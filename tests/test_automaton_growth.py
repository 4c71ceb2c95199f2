"""Patterns that grow from one cell: what carries a signal that far, what is asked, what is learned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnncli.data import load_dataset
from bnncli.data.boards import RolloutExam, pattern_task
from bnncli.layers.automaton import advance, kernel_wires, rule_of
from bnncli.recipes import find_recipe
from bnncli.training.building import build
from bnncli.training.experiment import resolve
from tests.test_automaton import SEEDS, SMALL, perfect, settings, training


@given(SEEDS, st.integers(2, 5))
def test_kernels_of_their_own_wiring_see_through_gates_of_their_own(seed, n_kernels):
    own = kernel_wires((8, 4, 2), n_kernels, np.random.default_rng(seed), shared=False)
    first = own[0].a.reshape(n_kernels, 8)
    assert all(sorted(row) == [0, 1, 2, 3, 5, 6, 7, 8] for row in first)
    assert set(own[0].b) == {4}
    assert len({tuple(row) for row in first}) > 1
    for before, layer in zip((8, 4), own[1:], strict=True):
        kernel = np.arange(layer.out_features) // (layer.out_features // n_kernels)
        assert np.array_equal(layer.a // before, kernel)
        assert np.array_equal(layer.b // before, kernel)
    single = kernel_wires((8, 4, 2), 1, np.random.default_rng(seed))
    for mine, alone in zip(own, single, strict=True):
        n = alone.out_features
        assert np.array_equal(mine.a[:n], alone.a)
        assert np.array_equal(mine.b[:n], alone.b)


def cell_of(data, **options):
    """Build the cell of an untrained automaton of two kernels."""
    chosen = settings(data)
    model = dataclasses.replace(chosen.model, arch_options={"kernels": 2, **options})
    return build(dataclasses.replace(chosen, model=model), load_dataset(data)).cell


@pytest.mark.parametrize("wiring", ["shared", "own"])
def test_a_network_wires_its_kernels_as_it_is_told(wiring):
    seen, _ = cell_of(SMALL, kernel_wiring=wiring).perceive.layers[0].wiring.wires()
    assert torch.equal(*seen.view(2, 8)) == (wiring == "shared")


@pytest.mark.parametrize("strength", [3.0, 6.0])
def test_wires_pass_on_what_their_strength_lets_through(strength):
    """A layer of wires multiplies what a bit changes by tanh(strength / 2)."""
    data = "board:heart,channels=3,steps=4"
    task = pattern_task(data)
    rule = rule_of(cell_of(data, strength=strength, kernel_wiring="own").train())
    states = torch.stack([torch.zeros(3, 12, 12), torch.ones(3, 12, 12)])
    for _ in range(task.steps):
        states = advance(rule, states, wraps=task.wraps)
    change = (states[1] - states[0]).detach()
    update, both = 3, 6  # layers on the way of a cell's own state, and through the kernels
    gain = np.tanh(strength / 2)
    assert change.max() <= gain ** (task.steps * update) + 1e-6
    assert change.min() >= gain ** (task.steps * both) - 1e-6


def test_a_pattern_that_grows_is_asked_for_once_and_no_more():
    """It need not stay, nor heal; and where no cell fires at random all boards are one."""
    heart = pattern_task("board:heart,channels=3,steps=2")
    answers = RolloutExam(heart)(perfect, None)
    assert {name: r.stop for name, r in answers.parts.items()} == {"reached": 144}
    start = heart.starts(1, 12, np.random.default_rng(0))
    assert (~answers.right).sum() == (start[0, 0] != heart.goal(start)[0]).sum()
    sparks = RolloutExam(pattern_task("board:heart,channels=3,fire=0.5"))(perfect, None)
    assert {name: r.stop for name, r in sparks.parts.items()} == {"reached": 4 * 144}


@pytest.mark.parametrize(
    ("data", "rounding", "boards"),
    [("", 0.0, 1), ("", 0.5, 7), (",fire=0.5", 0.0, 7)],
)
def test_boards_that_cannot_differ_are_rolled_out_once(data, rounding, boards, monkeypatch):
    chosen = settings(f"board:heart,channels=3{data},steps=2", batch_size=7, rounding=rounding)
    run, drawn = training(chosen), []

    def starts(task, n, size, rng):
        drawn.append(n)
        return starts.real(task, n, size, rng)

    starts.real = type(run.task).starts
    monkeypatch.setattr(type(run.task), "starts", starts)
    run.loss(np.random.default_rng(0))
    assert drawn == [boards]


def test_a_heart_grows_from_one_cell():
    """The recipe ends with a rule of bits that draws the heart: no cell of the hard form is wrong."""
    chosen = find_recipe("dlca-heart").settings
    run = training(
        resolve(dataclasses.replace(chosen, train=dataclasses.replace(chosen.train, seed=10)))
    )
    assert run.test()["wrong_cells"] > 0
    assert run.run()
    result = run.test()
    assert result["wrong_cells"] == 0
    assert result["test_hard_reached"] == result["test_hard_accuracy"] == 1
