"""Views of gate networks: which gates count as live, and that text and figures tell what is there."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bnncli.circuit import Builder, rebuild
from bnncli.errors import BnnError
from bnncli.gates import AND, GATE_NAMES, OR, TRIVIAL, WIRE_B, XOR, table_entries
from bnncli.layers import FixedWiring, LearnedWiring, LogicDense, draw_candidates, draw_wires
from bnncli.packed import PackedModel, elementwise, save_packed
from bnncli.packed.logic import LogicNetwork
from bnncli.training.runs import find_run
from bnncli.views import GateLayer, GateView, view_file, view_run
from bnncli.views.figure import _names, draw_gates
from bnncli.views.functions import FUNCTIONS
from bnncli.views.gates import live_gates
from bnncli.views.latent import latent_layers
from bnncli.views.text import bar, gate_rows, legend, shares
from tests.automata import network, rule_model, rule_network
from tests.command_line import Cli

FALSE, TRUE = 0, 1


def test_a_gate_is_live_when_needed_and_more_than_a_wire():
    made = network(
        [
            (AND, 2, 3),  # 4: live
            (OR, 2, 3),  # 5: no output needs it
            (AND, 2, TRUE),  # 6: the wire of input 2
            (XOR, 6, 2),  # 7: false, as both inputs are one signal
            (WIRE_B, 5, 4),  # 8: a wire to 4, not to 5
            (XOR, 8, 6),  # 9: live
            (OR, 9, 7),  # 10: the wire of 9
        ],
        [10],
    )
    assert np.flatnonzero(live_gates(made)).tolist() == [0, 5]


def test_equal_and_impossible_comparisons_are_seen_through():
    made = network([(XOR, 2, 3), (AND, 2, 4), (OR, 5, 2)], [5, 6, 7], n_inputs=3)
    fields = {name: getattr(made, name) for name in made.specs()}
    fields["pixel"] = np.zeros(3, np.int32)
    fields["threshold"] = np.array([127, 127, 255], np.uint8)
    assert not live_gates(LogicNetwork(**fields)).any()
    assert live_gates(made).all()


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 6))
def test_as_many_gates_are_live_as_the_interpreter_needs(seed, n_gates, n_inputs):
    rng = np.random.default_rng(seed)
    limits = np.arange(2 + n_inputs, 2 + n_inputs + n_gates)
    a, b = rng.integers(0, limits), rng.integers(0, limits)
    gates = zip(rng.integers(0, 16, n_gates), a, b, strict=True)
    made = network(gates, rng.integers(0, limits[-1] + 1, 3), n_inputs)
    live = live_gates(made)
    build = Builder(n_inputs, share=False)
    literals = build.add(made.circuit(), build.inputs())
    built = build.build(literals[i] for i in made.outputs)
    assert live.sum() == built.n_gates - np.isin(built.op, list(TRIVIAL)).sum()
    assert rebuild(built).n_gates <= built.n_gates
    assert not any(live[i] for i, op in enumerate(made.op) if int(op) in TRIVIAL)


def test_a_file_shows_every_gate_at_its_level(tmp_path):
    made = rule_network("B3/S23")
    save_packed(rule_model("B3/S23"), tmp_path / "life.bnn")
    view = view_file(tmp_path / "life.bnn")
    assert view.declared == view.in_layers == made.n_gates
    assert view.live == live_gates(made).sum() == sum(layer.live.sum() for layer in view.layers)
    seen = 2 + made.n_inputs
    assert max(view.layers[0].a.max(), view.layers[0].b.max()) < seen
    assert all(max(layer.a.max(), layer.b.max()) >= seen for layer in view.layers[1:])


def test_a_file_without_gates_is_refused(tmp_path):
    steps = (elementwise.Pixels(gain=np.ones(1, np.float32), offset=np.zeros(1, np.float32)),)
    save_packed(PackedModel(steps), tmp_path / "plain.bnn")
    with pytest.raises(BnnError, match="holds no gates but pixels"):
        view_file(tmp_path / "plain.bnn")


@given(st.lists(st.integers(0, 500), min_size=1, max_size=16).filter(any), st.integers(1, 60))
def test_shares_fill_the_bar_and_follow_the_counts(counts, width):
    cells = shares(np.array(counts), width)
    assert sum(cells) == width
    exact = np.array(counts) * width / sum(counts)
    assert np.all(np.abs(cells - exact) < 1)


def dense(parametrization, candidates=0):
    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    wiring = FixedWiring(draw_wires("random", 9, 40, layer=0, rng=rng))
    if candidates:
        wiring = LearnedWiring(draw_candidates(9, 80, candidates, rng), 9)
    layer = LogicDense(wiring, parametrization=parametrization, init="random")
    return nn.Sequential(nn.Identity(), layer), layer


def relaxed_entries(layer):
    """Compute what each gate gives for hard inputs from what the parametrization is said to be."""
    logits = layer.gate_logits.detach().double()
    if layer.parametrization.name == "softmax":
        return torch.softmax(logits, 1).numpy() @ table_entries(np.arange(16)).astype(float)
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    walsh = logits @ torch.from_numpy(signs).double()
    return torch.sigmoid(walsh if layer.parametrization.name == "walsh" else logits).numpy()


@pytest.mark.parametrize("parametrization", ["iwp", "softmax", "walsh"])
def test_confidence_is_how_far_entries_are_from_their_bits(parametrization):
    model, layer = dense(parametrization)
    (found,) = latent_layers(model)
    entries = relaxed_entries(layer)
    np.testing.assert_allclose(found.relaxed.entries, entries, atol=1e-5)
    distance = np.abs(entries - table_entries(layer.tables().numpy()))
    np.testing.assert_allclose(found.relaxed.confidence, 1 - distance.max(axis=1), atol=1e-5)
    assert (found.name, layer.training) == ("1", True)


def test_learned_wires_show_the_weight_of_the_chosen_candidate():
    model, layer = dense("iwp", candidates=4)
    (found,) = latent_layers(model)
    weights = torch.softmax(layer.wiring.wire_logits.detach(), 1)
    np.testing.assert_allclose(found.relaxed.wire_weights, weights.max(1).values, rtol=1e-6)
    assert found.to_dict()["mean_wire_weight"] == pytest.approx(float(weights.max(1).values.mean()))
    chosen = [found.a.tolist(), found.b.tolist()]
    assert chosen == [wire.tolist() for wire in layer.wiring.wires()]


@pytest.mark.parametrize("parametrization", ["iwp", "softmax", "walsh"])
def test_rows_of_gates_show_their_logits(parametrization):
    model, layer = dense(parametrization)
    (found,) = latent_layers(model)
    rows = list(gate_rows(found))
    assert len(rows) == 40
    logits = layer.gate_logits.detach().numpy()
    for i, row in enumerate(rows):
        words = row.split()
        assert words[:4] == [str(i), GATE_NAMES[found.tables[i]], str(found.a[i]), str(found.b[i])]
        if parametrization == "softmax":
            assert words[4] == "".join("█" if v > 1 else "▄" if v >= 0 else "▁" for v in logits[i])
        else:
            marks = re.search(r"\|(.{4})\|", row)[1]
            expected = [" ░▒▓█"[round(4 * float(v))] for v in found.relaxed.entries[i]]
            assert list(marks) == expected


def test_every_function_has_its_own_sign_and_colour():
    assert sorted(f.table for f in FUNCTIONS) == list(range(16))
    assert len({f.sign for f in FUNCTIONS}) == len({f.color for f in FUNCTIONS}) == 16
    text = "\n".join(line.plain for line in legend())
    assert all(f"{f.sign} {f.name}" in text for f in FUNCTIONS)
    layer = GateLayer("one", np.full(3, XOR, np.uint8), np.zeros(3, int), np.zeros(3, int))
    assert bar(layer, 10).plain == "^" * 10


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    cli = Cli(tmp_path_factory.mktemp("views") / "runs")
    cli("train", "gol", "--rule", "W110", "--widths", "16,16", "--seed", "1", "-q")
    return cli


def test_a_run_and_its_file_show_the_same_circuit(trained):
    run = find_run(None, trained.runs)
    latent, packed = view_run(run), view_file(run.packed)
    assert (latent.declared, latent.live) == (packed.declared, packed.live)
    assert latent.declared == latent.in_layers == 16 + 16 + 8 + 4 + 2 + 1
    assert latent.live == sum(layer.live.sum() for layer in latent.layers)
    assert 2 <= latent.live <= latent.declared
    for mine, level in zip(latent.layers, packed.layers, strict=True):
        np.testing.assert_array_equal(mine.tables, level.tables)
        np.testing.assert_array_equal(mine.live, level.live)


def test_the_command_prints_bars_rows_and_json(trained):
    text = trained("gates").stdout
    found = trained.json("gates")
    assert f"{found['declared_gates']} declared gates, {found['live_gates']} live" in text
    assert [layer["name"] for layer in found["layers"]] == [f"gates{k}" for k in range(1, 7)]
    for layer in found["layers"]:
        assert sum(layer["functions"].values()) == layer["gates_in_layer"]
        line = next(line for line in text.splitlines() if line.startswith(layer["name"] + " "))
        assert f"{layer['mean_confidence']:.3f}" in line
    rows = trained("gates", "--layer", "2").stdout.splitlines()
    assert len(rows) == 16
    assert sum("live" in row for row in rows) == found["layers"][1]["live_gates"]
    assert "--layer 7: " in trained("gates", "--layer", "7", code=2).stderr


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_figures_are_drawn_the_same_each_time(trained, tmp_path, suffix):
    names = [tmp_path / f"{k}.{suffix}" for k in "ab"]
    for name in names:
        trained("gates", "-o", str(name))
    first, second = (name.read_bytes() for name in names)
    assert first == second
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert first.startswith(magic)
    if suffix == "svg":
        assert all(words in first.decode() for words in ("declared gates", "confidence", "live"))


def test_a_figure_of_a_wrong_kind_is_refused_before_anything_is_read(trained):
    refused = trained("gates", "nothing", "-o", "gates.gif", code=2)
    assert (
        refused.stderr == "error: gates.gif: give a figure's name that ends in .png, .svg, .pdf\n"
    )


def test_layers_are_numbered_where_that_names_them():
    def names(*given):
        return _names([GateLayer(n, np.zeros(1, np.uint8), *2 * [np.zeros(1, int)]) for n in given])

    assert names("gates1", "gates2") == ([(0, "1"), (1, "2")], "layer")
    assert names("level 1") == ([(0, "1")], "level")
    assert names("perceive.0", "gates1") == ([(0, "perceive.0"), (1, "gates1")], "")
    assert [i for i, _ in names(*["gates1"] * 61)[0]] == list(range(0, 61, 3))


def test_deep_and_odd_networks_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    layers = tuple(
        GateLayer(name, rng.integers(0, 16, n).astype(np.uint8), np.zeros(n, int), np.zeros(n, int))
        for n, name in [(5, "conv1.levels.0"), (1, "gates2"), *[(3, "x")] * 60]
    )
    draw_gates(GateView("made", layers, 900, 20), tmp_path / "deep.png")
    assert (tmp_path / "deep.png").stat().st_size > 1000


def test_a_run_without_gates_is_refused(tmp_path):
    cli = Cli(tmp_path / "runs")
    cli("train", "--arch", "mlp", "--widths", "4", "--binary", "--epochs", "1", "-q")
    assert "arch mlp has no gates" in cli("gates", code=1).stderr
