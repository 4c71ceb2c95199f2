"""Cellular automata of gates: steps, forms, tasks, and training through steps."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bnncli.data import load_dataset, step_board
from bnncli.data.automaton import Automaton, damaged, fire_mask, neighbourhoods_of
from bnncli.data.boards import RolloutExam, canonical_name, larger_size, pattern_task, task_of
from bnncli.data.rules import rule_table
from bnncli.errors import BnnError, UsageError
from bnncli.freeze import freeze
from bnncli.layers.automaton import advance, kernel_wires, rule_of
from bnncli.layers.gate_functions import gate_chain, gates
from bnncli.native import default_backend
from bnncli.training.building import build
from bnncli.training.config import DataSettings, ModelSettings, Settings, TrainSettings
from bnncli.training.evaluate import examine, model_logits
from bnncli.training.experiment import resolve
from bnncli.training.rollouts import STEPS_PER_EPOCH, RolloutTraining
from bnncli.training.trainers import make_trainer
from bnncli.views.film import PALETTE, Shot, rollout_frames, write_gif

CPU = torch.device("cpu")
SEEDS = st.integers(0, 2**16)


def settings(data, *, widths=(16, 8), kernels=2, epochs=2, lr=0.1, **train):
    return resolve(
        Settings(
            model=ModelSettings(arch="dlca", widths=widths, arch_options={"kernels": kernels}),
            data=DataSettings(name=data),
            train=TrainSettings(
                **{"epochs": epochs, "batch_size": 2, "lr": lr, "schedule": "constant", **train}
            ),
        )
    )


def random_model(data, seed, kernel_wiring="shared"):
    """Build a cell and give it random gates."""
    chosen = settings(data, seed=seed)
    options = {"kernels": 2, "kernel_wiring": kernel_wiring}
    chosen = dataclasses.replace(
        chosen, model=dataclasses.replace(chosen.model, arch_options=options)
    )
    model = build(chosen, load_dataset(chosen.data.name)).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def hard(model, form="hard"):
    return lambda images: model_logits(model, torch.from_numpy(images), form=form).numpy()


SMALL = "board:checkerboard,channels=3,size=6,steps=2"


@given(SEEDS, st.sampled_from(["shared", "own"]))
def test_hard_packed_and_float_steps_are_the_same(seed, wiring):
    model, rng = random_model(SMALL, seed % 5, wiring), np.random.default_rng(seed)
    boards = rng.integers(0, 2, (2, 3, 4, 7), dtype=np.uint8)
    fires = rng.random((2, 4, 7)) < 0.5
    packed = freeze(model).plan(default_backend()).logits
    for wraps in (False, True):
        first = Automaton(hard(model), 3, wraps=wraps).step(boards, fires)
        assert np.array_equal(first, Automaton(packed, 3, wraps=wraps).step(boards, fires))
        with torch.inference_mode():
            states = advance(
                rule_of(model.cell),
                torch.from_numpy(boards).float(),
                wraps=wraps,
                fires=torch.from_numpy(fires).unsqueeze(1),
            )
        assert np.array_equal(first, states.numpy())
        assert np.array_equal(
            first.transpose(1, 0, 2, 3)[:, ~fires], boards.transpose(1, 0, 2, 3)[:, ~fires]
        )


@given(SEEDS, st.integers(-3, 3), st.integers(-3, 3))
def test_a_step_on_a_torus_commutes_with_shifts(seed, down, right):
    automaton = Automaton(hard(random_model(SMALL, 1)), 3)
    board = np.random.default_rng(seed).integers(0, 2, (3, 5, 6), dtype=np.uint8)
    shifted = np.roll(board, (down, right), (1, 2))
    assert np.array_equal(
        automaton.step(shifted), np.roll(automaton.step(board), (down, right), (1, 2))
    )


@given(SEEDS, st.sampled_from(["B3/S23", "B36/S23", "B2/S"]))
def test_a_local_rule_steps_a_board_as_its_table_does(seed, rule):
    table = rule_table(rule)

    def local(images):
        alive = table[(images.reshape(-1, 9) // 255) @ (1 << np.arange(9))]
        return np.stack([1 - alive, alive], axis=1).astype(np.float32)

    board = np.random.default_rng(seed).integers(0, 2, (1, 5, 7), dtype=np.uint8)
    stepped = Automaton(local, 1).step(board)
    assert np.array_equal(stepped[0], step_board(board[0], table))


def test_beyond_a_dead_edge_lies_nothing():
    board = np.ones((1, 2, 2), np.uint8)
    assert neighbourhoods_of(board, wraps=True).sum() == 4 * 9 * 255
    assert neighbourhoods_of(board, wraps=False).sum() == 4 * 4 * 255


def test_kernels_share_their_wires_and_pair_neighbours_with_the_centre():
    first, second = kernel_wires((8, 4), 3, np.random.default_rng(0))
    assert sorted(first.a[:8]) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert set(first.b) == {4}
    assert np.array_equal(first.a[:8], first.a[8:16])
    assert np.array_equal(second.a[4:8], second.a[:4] + 8)


@given(st.floats(0.05, 0.95), SEEDS)
def test_masks_fire_at_their_rate_and_damage_is_a_block(rate, seed):
    board = np.ones((2, 40, 40), np.uint8)
    fires = fire_mask(board, rate, np.random.default_rng(seed))
    assert abs(fires.mean() - rate) < 0.1
    assert (damaged(board, 10) == 0).sum() == 2 * 100
    assert fire_mask(board, 1.0, np.random.default_rng(seed)) is None


def test_one_spelling_for_each_task():
    assert canonical_name("board:checkerboard,steps=50,fire=.6") == (
        "board:checkerboard,fire=0.6,steps=50"
    )
    assert canonical_name("board:checkerboard,steps=20") == "board:checkerboard"
    assert canonical_name("rule:23/3") == "rule:B3/S23"


def test_goals_and_starts():
    task = pattern_task("board:checkerboard")
    boards = task.starts(2, 8, np.random.default_rng(0))
    assert boards.shape == (2, 8, 8, 8)
    assert task.goal(boards)[0, :4, :4].tolist() == [[0, 0, 1, 1]] * 2 + [[1, 1, 0, 0]] * 2
    seed = pattern_task("board:heart").starts(1, 12, np.random.default_rng(0))
    assert seed.sum() == 16
    rule = task_of("rule:B3/S23")
    boards = rule.starts(1, 9, np.random.default_rng(0))
    assert np.array_equal(rule.goal(boards)[0], step_board(boards[0, 0], rule_table("B3/S23")))


def perfect(images):
    """Give a local rule that keeps every state."""
    return images[:, :, 1, 1].astype(np.float32) / 255 - 0.5


def test_an_exam_counts_wrong_cells_and_names_its_parts():
    exam = RolloutExam(pattern_task(SMALL))
    answers = exam(perfect, None)
    assert list(answers.parts) == ["reached", "healed", "larger"]
    assert len(answers.right) == 2 * 4 * 36 + 26 * 26
    assert 0.3 < answers.right.mean() < 0.7
    assert [larger_size(size) for size in (6, 14, 16)] == [26, 58, 64]
    assert np.array_equal(exam(perfect, None).values, answers.values)
    other = exam.drawn(1, short=True)(perfect, None)
    assert list(other.parts) == ["reached", "healed"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("board:chequers", "unknown board pattern 'chequers'"),
        ("board:checkerboard,fire=0", "fire=0: expected more than 0 and at most 1"),
        ("board:checkerboard,fire=1.5", "fire=1.5: expected"),
        ("board:checkerboard,sice=3", "did you mean 'size'"),
        ("board:checkerboard,size=many", "expected a whole number"),
        ("board:checkerboard,channels=0", "channels=0, expected 1 to 512"),
        ("board:checkerboard,edge=open", "unknown edge 'open'"),
        ("board:heart,size=8", "needs a board of at least 10"),
        ("rule:W110", "rules over 3x3 cells"),
        ("digits", "no boards to roll out"),
    ],
)
def test_tasks_that_do_not_exist(name, message):
    with pytest.raises(UsageError, match=message):
        task_of(name)


def test_boards_that_do_not_fit():
    automaton = Automaton(perfect, 3)
    board = np.zeros((3, 4, 4), np.uint8)
    for wrong in (board[:2], board[0], board[:, :0], board + np.uint8(2), board.astype(float)):
        with pytest.raises(UsageError, match="board of"):
            automaton.step(wrong)
    with pytest.raises(UsageError, match="fires of shape"):
        automaton.step(board, np.ones((3, 3), np.bool_))
    with pytest.raises(UsageError, match="damage=5"):
        damaged(board, 5)
    with pytest.raises(UsageError, match="3 channels"):
        Automaton(lambda images: np.zeros((len(images), 2), np.float32), 3).step(board)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perceive_widths": "9,4"}, "a gate for each neighbour"),
        ({"perceive_widths": "2,2"}, "only 1 pairs"),
        ({"perceive_widths": "many"}, "expected whole numbers"),
        ({"kernels": 0}, "kernels=0"),
        ({"kernel_wiring": "owned"}, "unknown kernel_wiring 'owned'; did you mean 'own'"),
        ({"wiring": "unique"}, "pairs"),
    ],
)
def test_cells_that_cannot_be_wired(options, message):
    chosen = settings(SMALL, widths=(2000,), kernels=1)
    model = dataclasses.replace(chosen.model, arch_options={"kernels": 1, **options})
    with pytest.raises(UsageError, match=message):
        build(dataclasses.replace(chosen, model=model), load_dataset(SMALL))


def test_only_automata_roll_out():
    chosen = resolve(
        Settings(
            model=ModelSettings(arch="logic-mlp", widths=(8,)),
            data=DataSettings(name="rule:B3/S23"),
            train=TrainSettings(trainer="rollouts"),
        )
    )
    with pytest.raises(UsageError, match="no cell to step"):
        RolloutTraining(chosen, load_dataset("rule:B3/S23"), device=CPU)
    with pytest.raises(UsageError, match=r"label_smoothing=0.1: trainer rollouts"):
        training(settings(SMALL, label_smoothing=0.1))
    with pytest.raises(UsageError, match="boards to step and no labels"):
        make_trainer(
            resolve(Settings(model=ModelSettings(arch="mlp"), data=DataSettings(name=SMALL))),
            load_dataset(SMALL),
            device=CPU,
        )
    with pytest.raises(UsageError, match="neighbourhoods of 3x3"):
        build(settings("digits"), load_dataset("digits"))


def training(chosen):
    return RolloutTraining(chosen, load_dataset(chosen.data.name), device=CPU)


def test_a_stopped_training_goes_on_to_the_same_bits():
    chosen = settings(SMALL.replace("steps=2", "fire=0.5,steps=2"))
    whole = training(chosen)
    assert whole.run()
    half = training(chosen)
    steps = iter(range(STEPS_PER_EPOCH + 7))
    half.should_stop = lambda: next(steps, None) is None
    assert not half.run()
    rest = training(chosen)
    rest.restore(half.checkpoint())
    assert rest.run()
    assert rest.progress.best_accuracy == whole.progress.best_accuracy
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name
    assert rest.snapshots.keys() == whole.snapshots.keys() == {0, 1}


def test_attempts_begin_anew_and_a_stopped_one_goes_on_to_the_same_bits():
    """Four attempts of one epoch each; the run stops in the third and goes on."""
    chosen = settings(SMALL, epochs=4, restarts=3, rounding=0.5, schedule="cosine")
    whole = training(chosen)
    seen = []
    whole.reporters = [Epochs(seen)]
    assert whole.run()
    assert whole.test()["attempts"] == 4
    wires = [state["cell.gates1.wiring.a"] for state in whole.snapshots.values()]
    assert len(wires) == 4
    assert not any(torch.equal(wires[0], other) for other in wires[1:])
    assert len({record.lr for record in seen}) == 1, "each attempt has a schedule of its own"
    half = training(chosen)
    steps = iter(range(2 * STEPS_PER_EPOCH + 7))
    half.should_stop = lambda: next(steps, None) is None
    assert not half.run()
    rest = training(chosen)
    rest.restore(half.checkpoint())
    assert rest.run()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


class Epochs:
    """Keep the records of epochs."""

    def __init__(self, records):
        self.records = records

    def on_step(self, step, steps_per_epoch, loss):
        pass

    def on_epoch(self, record, is_best):
        self.records.append(record)


def test_more_states_are_rounded_the_better_the_loss():
    run = training(settings(SMALL, rounding=0.5))
    assert run.rounding == 0
    run.level = 0.0625
    assert run.rounding == 0.375
    run.level = 0.3
    assert run.rounding == 0


def test_rounded_states_are_bits_and_their_gradient_passes():
    model = random_model(SMALL, 3).train()
    states = torch.rand(2, 3, 4, 5, requires_grad=True)
    rounds = torch.rand(2, 1, 4, 5) < 0.5
    given = {"rule": rule_of(model.cell), "states": states, "wraps": True}
    relaxed = advance(**given)
    mixed = advance(**given, rounds=rounds)
    everywhere = rounds.expand_as(mixed)
    assert torch.equal(mixed[everywhere], (relaxed[everywhere] > 0.5).float())
    assert torch.equal(mixed[~everywhere], relaxed[~everywhere])
    (through,) = torch.autograd.grad(mixed.sum(), states)
    (expected,) = torch.autograd.grad(relaxed.sum(), states)
    assert torch.equal(through, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_chain_of_layers_is_the_layers_one_by_one(dtype):
    torch.manual_seed(0)
    widths = [5, 7, 4, 3]
    wires = [
        (torch.randint(n, (m,), dtype=torch.int32), torch.randint(n, (m,), dtype=torch.int32))
        for n, m in itertools.pairwise(widths)
    ]
    leaves = [torch.rand(m, 4, dtype=dtype, requires_grad=True) for m in widths[1:]]
    leaves.append(torch.rand(5, 70, dtype=dtype, requires_grad=True))
    weight = torch.rand(3, 70, dtype=dtype)
    y = leaves[-1]
    for (a, b), coefficients in zip(wires, leaves[:-1], strict=True):
        y = gates(y, a, b, coefficients)
    chain = gate_chain(leaves[-1], wires, leaves[:-1])
    assert torch.equal(chain, y)
    wanted = torch.autograd.grad((y * weight).sum(), leaves)
    found = torch.autograd.grad((chain * weight).sum(), leaves)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_loss_that_is_not_a_number_is_one_line():
    run = training(settings(SMALL, epochs=1))
    with torch.no_grad():
        next(run.model.parameters()).fill_(torch.nan)
    with pytest.raises(BnnError, match="training diverged; lower --lr"):
        run.run()


def test_an_automaton_learns_a_rule_from_boards():
    """Under B012345678/S every cell becomes what it was not; the first gates pass a neighbour."""
    chosen = settings("rule:B012345678/S", widths=(16, 8), epochs=20, lr=0.2)
    run = training(chosen)
    before = run.test()["test_hard_accuracy"]
    assert run.run()
    result = run.test()
    assert result["test_hard_accuracy"] == 1.0
    assert before < 0.7
    assert result["wrong_cells"] == 0
    exam = RolloutExam(task_of(chosen.data.name))
    assert examine(run.model, exam, run.data.test).right.all()


def film_frames(chosen, shot):
    run = training(chosen)
    packed = freeze(run.model).plan(default_backend()).logits
    return list(rollout_frames(run.task, packed, shot))


def test_a_film_shows_every_step_and_marks_wrong_cells(tmp_path):
    frames = film_frames(settings(SMALL), Shot(steps=3, damage=2))
    assert [frame.caption for frame in frames] == [
        *("step 0 of 3", "step 1 of 3", "step 2 of 3", "step 3 of 3"),
        *("2x2 cells erased", "step 1 after that", "step 2 after that", "step 3 after that"),
    ]
    goal = frames[0].cells ^ frames[0].wrong
    assert all(np.array_equal(frame.cells ^ frame.wrong, goal) for frame in frames)
    assert not frames[4].cells[2:4, 2:4].any()
    path = tmp_path / "a.gif"
    write_gif(frames, path, scale=4, seconds=0.1)
    with Image.open(path) as picture:
        assert picture.n_frames == len(frames)
        for index, frame in enumerate(frames):
            picture.seek(index)
            colours = np.asarray(picture.convert("RGB"))
            left = (colours.shape[1] - 24) // 2
            cells = colours[8 + 2 : 8 + 24 : 4, left + 2 : left + 24 : 4]
            wanted = np.array(PALETTE, np.uint8).reshape(-1, 3)[frame.cells + 2 * frame.wrong]
            assert np.array_equal(cells, wanted)
    with pytest.raises(BnnError, match="exists already"):
        write_gif(frames, path, scale=4, seconds=0.1)
    with pytest.raises(UsageError, match=r"ends in \.gif"):
        write_gif(frames, tmp_path / "a.png", scale=4, seconds=0.1)


@pytest.mark.parametrize(
    ("shot", "message"),
    [(Shot(size=2), "--size 2"), (Shot(steps=0), "--steps 0"), (Shot(damage=99), "damage=99")],
)
def test_films_that_cannot_be_made(shot, message):
    with pytest.raises(UsageError, match=message):
        film_frames(settings(SMALL), shot)
