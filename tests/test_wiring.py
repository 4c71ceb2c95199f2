"""Wirings: which pairs they give, how often each signal is read, what cannot be wired."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.errors import UsageError
from bnncli.layers import WIRINGS, draw_candidates, draw_local_candidates, draw_wires
from bnncli.layers.logic_conv import draw_leaves

ANY_SIZE = sorted(set(WIRINGS) - {"tree", "unique"})


def draw(name: str, n_in: int, n_out: int, *, layer: int = 0, seed: int = 0):
    return draw_wires(name, n_in, n_out, layer=layer, rng=np.random.default_rng(seed))


def degrees(wires, n_in: int) -> np.ndarray:
    return np.bincount(np.concatenate([wires.a, wires.b]), minlength=n_in)


def pairs(wires) -> set[tuple[int, int]]:
    return {(min(p), max(p)) for p in zip(wires.a.tolist(), wires.b.tolist(), strict=True)}


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(ANY_SIZE),
    st.integers(2, 90),
    st.integers(1, 200),
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
)
def test_every_gate_reads_two_different_signals(name, n_in, n_out, layer, seed) -> None:
    wires = draw(name, n_in, n_out, layer=layer, seed=seed)
    assert wires.out_features == n_out
    assert (wires.a != wires.b).all()
    again = draw(name, n_in, n_out, layer=layer, seed=seed)
    assert np.array_equal(wires.a, again.a)
    assert np.array_equal(wires.b, again.b)


@pytest.mark.parametrize("n", [3, 4, 9, 64, 65, 128])
@pytest.mark.parametrize("name", ["ring", "random", "butterfly"])
def test_as_many_gates_as_signals_read_each_twice(name: str, n: int) -> None:
    assert (degrees(draw(name, n, n), n) == 2).all()


@pytest.mark.parametrize("n", [3, 4, 9, 64, 65])
def test_a_ring_is_one_cycle_through_all_signals(n: int) -> None:
    wires = draw("ring", n, n)
    assert pairs(wires) == {(min(i, (i + 1) % n), max(i, (i + 1) % n)) for i in range(n)}


def test_a_ring_of_half_as_many_gates_reads_each_signal_once() -> None:
    assert (degrees(draw("ring", 128, 64), 128) == 1).all()


def test_a_ring_beyond_its_pairs_takes_all_others_once_before_it_repeats() -> None:
    wires = draw("ring", 9, 36)
    assert len(pairs(wires)) == 36
    assert len(pairs(draw("ring", 9, 128))) == 36


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9, 16, 17])
def test_unique_reaches_every_pair_and_no_more(n: int) -> None:
    most = math.comb(n, 2)
    for n_out in range(-(-n // 2), most + 1):
        wires = draw("unique", n, n_out)
        assert len(pairs(wires)) == n_out
        assert (degrees(wires, n) > 0).all()
    with pytest.raises(UsageError, match=f"there are only {most} pairs"):
        draw("unique", n, most + 1)


def test_unique_refuses_too_few_gates() -> None:
    with pytest.raises(UsageError, match="give at least 5 gates"):
        draw("unique", 9, 4)


@pytest.mark.parametrize("n", [8, 9, 64, 100])
def test_butterflies_join_all_signals_in_logarithmic_depth(n: int) -> None:
    reached = np.eye(n, dtype=bool)
    for layer in range(math.ceil(math.log2(n))):
        wires = draw("butterfly", n, n, layer=layer)
        reached = reached[wires.a] | reached[wires.b]
    assert reached.all()


def test_trees_halve() -> None:
    wires = draw("tree", 8, 4)
    assert wires.a.tolist() == [0, 2, 4, 6]
    assert wires.b.tolist() == [1, 3, 5, 7]
    with pytest.raises(UsageError, match="exactly half"):
        draw("tree", 8, 5)


def test_unknown_names_and_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'ring'"):
        draw("rings", 4, 4)
    with pytest.raises(UsageError, match="at least one gate and two inputs"):
        draw("ring", 1, 4)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 50), st.integers(1, 100), st.data())
def test_candidates_are_different_signals(n_in: int, n_slots: int, data) -> None:
    k = data.draw(st.integers(1, n_in))
    drawn = draw_candidates(n_in, n_slots, k, np.random.default_rng(0))
    assert drawn.shape == (2, n_slots, k)
    assert drawn.min() >= 0
    assert drawn.max() < n_in
    assert all(len(set(row)) == k for row in drawn.reshape(-1, k).tolist())


def test_too_many_candidates_are_refused() -> None:
    with pytest.raises(UsageError, match="expected 1 to 8"):
        draw_candidates(8, 4, 9, np.random.default_rng(0))


def test_leaves_stay_in_few_channels_and_do_not_repeat_without_need() -> None:
    leaves = draw_leaves(6, 30, 3, 3, 2, np.random.default_rng(0))
    for row in leaves:
        assert len(set(row.tolist())) == 8
        assert len(set((row // 9).tolist())) <= 2
    crowded = draw_leaves(1, 4, 2, 3, 2, np.random.default_rng(0))
    assert all(np.array_equal(np.bincount(row, minlength=4), [2] * 4) for row in crowded)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9), st.integers(1, 3), st.data())
def test_local_candidates_lie_in_one_window(planes, height, width, radius, data) -> None:
    side = 2 * radius + 1
    n_bits = planes * min(side, height) * min(side, width)
    k = data.draw(st.integers(1, n_bits))
    drawn = draw_local_candidates((planes, height, width), 7, k, radius, np.random.default_rng(0))
    assert drawn.shape == (2, 7, k)
    _, row, column = np.unravel_index(drawn, (planes, height, width))
    for gate in range(7):
        assert np.ptp(row[:, gate]) < side
        assert np.ptp(column[:, gate]) < side
    assert all(len(set(r)) == k for r in drawn.reshape(-1, k).tolist())


def test_windows_too_small_for_the_candidates_are_refused() -> None:
    with pytest.raises(UsageError, match="1 to 9 candidates"):
        draw_local_candidates((1, 8, 8), 7, 10, 1, np.random.default_rng(0))
