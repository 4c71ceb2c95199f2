"""The work on a design: minimized, proved, counted, kept and found again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bnncli.extract import design_of, work
from bnncli.extract.work import Wish, extract, key_of, live_gates, minimize_design
from bnncli.minimize import fold_sums
from bnncli.minimize.levels import optimize_design
from bnncli.prove import Verdict
from bnncli.views.gates import live_gates as live_of_view
from tests.test_extract import gate_classifier, some_images


@pytest.mark.parametrize("level", [0, 1, 2])
def test_minimizing_keeps_scores_and_proves_it(level):
    packed = gate_classifier(11)
    design = design_of(packed, name="net", image_shape=(1, 3, 3))
    found = minimize_design(design, Wish(level=level))
    assert found.verdict.proved
    assert found.declared == 80
    assert found.minimized <= (found.live if level else 80)
    images = some_images((1, 3, 3))
    np.testing.assert_array_equal(found.design.scores(images), design.scores(images))
    assert any("minimized" in note for note in found.design.notes)
    assert found.verdict.sentence() in found.design.notes


def test_what_cannot_be_proved_gives_way_to_what_can(monkeypatch):
    def doubted(design, *, level, **more):
        made = optimize_design(design, level=level, **more)
        if level == 1:
            return made
        verdict = Verdict(equal=True, kind="sampled", cases=64, seed=0)
        return dataclasses.replace(made, verdict=verdict)

    design = design_of(gate_classifier(11), name="net", image_shape=(1, 3, 3))
    smaller = minimize_design(design, Wish(level=2)).minimized
    monkeypatch.setattr(work, "optimize_design", doubted)
    found = minimize_design(design, Wish(level=2))
    assert found.verdict.proved
    assert found.unproved == smaller < found.minimized
    assert found.minimized == optimize_design(design, level=1).design.circuit.size


def test_live_gates_are_those_that_bnn_gates_counts():
    for seed in range(5):
        network = gate_classifier(seed).steps[0]
        # The view also sees that two inputs are the same comparison, so draw none twice.
        pairs = list(zip(network.pixel.tolist(), network.threshold.tolist(), strict=True))
        if len(set(pairs)) == len(pairs) and 255 not in network.threshold:
            assert live_gates(network.circuit()) == live_of_view(network).sum()


def test_results_are_kept_and_found_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path))
    design = design_of(gate_classifier(5), name="net", image_shape=(1, 3, 3))
    wish = Wish(level=2)
    first, second = extract(design, wish), extract(design, wish)
    assert (first.cached, second.cached) == (False, True)
    assert second.design.circuit == first.design.circuit
    assert second.design.notes == first.design.notes
    assert second.verdict == first.verdict
    images = some_images((1, 3, 3))
    np.testing.assert_array_equal(second.design.scores(images), design.scores(images))
    assert key_of(design, wish) != key_of(design, Wish(level=1))
    assert key_of(design, wish) != key_of(fold_sums(design), wish)
    (kept,) = (tmp_path / "circuits").iterdir()
    kept.write_text(kept.read_text()[:100])
    assert not extract(design, wish).cached
    assert "is damaged" in capsys.readouterr().err
    # One gate of the kept circuit is another: it is not the one that was proved.
    proved = kept.read_text()
    kept.write_text(proved.replace(" = 8(", " = 14(", 1))
    assert kept.read_text() != proved
    again = extract(design, wish)
    assert not again.cached
    assert again.design.circuit == first.design.circuit
    stopped = extract(design, Wish(level=1), should_stop=lambda: True)
    assert stopped.stopped
    assert not extract(design, Wish(level=1)).cached


def test_what_no_solver_proved_is_optimized_again_where_there_is_one(monkeypatch):
    design = design_of(gate_classifier(5), name="net", image_shape=(1, 3, 3))
    keys = set()
    for installed in (False, True):
        monkeypatch.setattr("bnncli.prove.comparison.have", lambda _, here=installed: here)
        keys.add(key_of(design, Wish()))
    assert len(keys) == 2
