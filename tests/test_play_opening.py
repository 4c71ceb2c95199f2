"""Playing learned automata: forms, runs, recipes and tasks on boards."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bnncli.data import load_dataset, step_board
from bnncli.data.boards import checkerboard
from bnncli.errors import BnnError, UsageError
from bnncli.packed import save_packed
from bnncli.play import Game, open_file, open_run
from bnncli.play.game import rounded
from bnncli.play.opening import Automaton, World
from bnncli.play.screen import agreement_line, frame
from bnncli.training.evaluate import model_logits
from bnncli.training.experiment import load_run_model
from bnncli.training.runs import find_run
from tests.automata import rule_model
from tests.command_line import Cli
from tests.playing import LIFE, press


def halving(board, rng):
    """Relaxed Life: half of the true next state, and half of what stood there."""
    truth = step_board(rounded(board[0]), LIFE)
    return (0.45 * board[0] + 0.55 * truth)[None].astype(np.float32)


def test_the_soft_form_keeps_values_and_bits_round_them():
    forms = {"packed": lambda: lambda board, rng: step_board(board[0], LIFE)[None]}
    made = Automaton("made", World("B3/S23"), {**forms, "soft": lambda: halving})
    game = Game(made, (12, 20))
    before = game.cells.copy()
    press(game, "h", "s")
    assert (game.form, game.cells.dtype) == ("soft", np.float32)
    np.testing.assert_allclose(game.cells, halving(before[None], None)[0])
    assert game.differed == 0
    lines = frame(game, 20, 9, steps_per_second=0, colour=False)
    assert {"░", "▒"} & set("".join(lines))
    press(game, "h")
    np.testing.assert_array_equal(game.cells, step_board(before, LIFE))
    assert game.cells.dtype == np.uint8


def test_a_file_alone_has_no_soft_form(game, life):
    press(game, "h")
    assert game.form == "packed"
    assert game.message.startswith("form soft:")
    with pytest.raises(UsageError, match="holds the packed form alone"):
        Game(open_file(life), (4, 4), form="hard")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    cli = Cli(tmp_path_factory.mktemp("trained") / "runs")
    cli("train", "gol", "--rule", "W110", "--widths", "16,16", "--seed", "1", "-q")
    return cli


def test_hard_gates_step_as_the_packed_ones_and_soft_ones_near_them(trained):
    automaton = open_run(find_run(None, trained.runs))
    games = {form: Game(automaton, (40, 64), form=form) for form in ("packed", "hard", "soft")}
    for game in games.values():
        press(game, *"rss")
    np.testing.assert_array_equal(games["packed"].cells, games["hard"].cells)
    soft = games["soft"].cells
    assert soft.min() >= 0
    assert soft.max() <= 1
    assert 0 < np.abs(soft - games["hard"].cells).max() < 1
    # On bits the soft gates give what the whole latent model gives in its soft form.
    run, game = find_run(None, trained.runs), games["soft"]
    game.randomize()
    images = torch.from_numpy((game.world.windows(game.present) * 255).astype(np.uint8))
    game.advance()
    logits = model_logits(load_run_model(run, load_dataset("rule:W110")), images, form="soft")
    np.testing.assert_allclose(game.present[0, 0], logits[:, 1].numpy() + 0.5, atol=1e-6)


def test_a_recipe_is_trained_once_and_a_run_found_by_name(tmp_path):
    cli = Cli(tmp_path / "runs")
    options = ("--steps", "5", "--size", "20x20")
    first = cli("play", *options, "--json")
    again = cli("play", "gol", *options, "--json", "--form", "hard")
    assert "no finished run of gol" in first.stderr
    assert again.stderr == ""
    mine, others = json.loads(first.stdout), json.loads(again.stdout)
    assert mine["cells_that_differed"] == others["cells_that_differed"] == 0
    assert mine["populations"] == others["populations"]
    named = cli("play", "B3-S23", *options, "--json")
    assert json.loads(named.stdout)["source"] == mine["source"]
    assert "recipe mnist-ste: learns mnist" in cli("play", "mnist-ste", *options, code=2).stderr
    assert "no run 'golf'" in cli("play", "golf", *options, code=2).stderr


def test_a_network_of_something_else_is_refused(tmp_path):
    for name, metadata in {"digits": {"data": "digits"}, "unsaid": {"data": None}}.items():
        model = rule_model("B3/S23", **metadata)
        if metadata["data"] is None:
            del model.metadata["data"]
        save_packed(model, tmp_path / f"{name}.bnn")
        with pytest.raises(BnnError, match=r"expected a cellular automaton; train one with"):
            open_file(tmp_path / f"{name}.bnn")


def toward(picture):
    """Set channel 0 to a picture, and negate the other channels."""

    def step(board, rng):
        after = 1 - board
        after[0] = picture
        return WORLD.fired(board, after, rng)

    return lambda: step


WORLD = World.of("board:checkerboard,fire=0.5,size=12", "made")


def test_a_task_on_boards_is_compared_with_its_goal():
    picture = checkerboard(12)
    game = Game(Automaton("made", WORLD, {"packed": toward(picture)}), (12, 12), density=0.5)
    first = game.board.copy()
    assert first.shape == (8, 12, 12)
    assert 0.4 < first.mean() < 0.6
    press(game, "s")
    changed = (game.board != first).any(axis=0)
    assert 0 < changed.sum() < 144
    np.testing.assert_array_equal(game.board[1:, changed], 1 - first[1:, changed])
    press(game, *"s" * 30)
    np.testing.assert_array_equal(game.cells, picture)
    lines = frame(game, 80, 24, steps_per_second=0, colour=False)
    assert lines[-2] == "144 of 144 cells are as the goal wants them"
    assert lines[-3].startswith("board:checkerboard  packed  generation 31")
    assert lines[-3].endswith("paused")
    press(game, "d")
    assert not game.board[:, 3:9, 3:9].any()
    wrong = 144 - int((game.cells == picture).sum())
    assert wrong == picture[3:9, 3:9].sum()
    assert "no goal is known" in agreement_line(
        Game(Automaton("made", WORLD, {"packed": toward(0)}), (9, 12))
    )


def test_beyond_a_dead_edge_there_is_nothing():
    board = np.ones((8, 3, 4), np.uint8)
    seen = WORLD.windows(board)
    assert seen.shape == (12, 8, 3, 3)
    assert seen[5].all()
    assert not seen[0, :, 0].any()
    assert not seen[0, :, :, 0].any()


def test_a_picture_that_grows_begins_with_one_cell():
    world = World.of("board:heart", "made")
    game = Game(Automaton("made", world, {"packed": lambda: lambda board, rng: board}), (12, 12))
    assert np.argwhere(game.board).tolist() == [[channel, 6, 6] for channel in range(16)]
    assert game.goal.sum() > 0
    assert Game(game.automaton, (5, 5)).goal is None


def test_a_trained_automaton_of_several_channels_plays_in_every_form(tmp_path):
    cli = Cli(tmp_path / "runs")
    cli(
        *("train", "--arch", "dlca", "--data", "board:checkerboard,channels=2,size=8,steps=2"),
        *("--arch-option", "kernels=2", "--widths", "8,8", "--epochs", "1", "-q"),
    )
    found = {
        form: cli.json("play", "dlca", "--steps", "3", "--form", form)
        for form in ("packed", "hard", "soft")
    }
    assert found["packed"]["board"] == found["hard"]["board"]
    assert found["packed"]["size"] == [8, 8]
    unlike = found["packed"]["cells_unlike_the_goal"]
    goal = checkerboard(8)
    board = np.array([[cell == "O" for cell in row] for row in found["packed"]["board"]])
    assert unlike == (board != goal).sum()
    assert found["packed"]["cells_that_differed"] is None
