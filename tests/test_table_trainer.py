"""Training on truth tables: every instruction set and numpy compute the stated formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.errors import BnnError
from bnncli.gates import table_entries
from bnncli.native import available_isas
from bnncli.native.table_reference import NumpyTableTrainer
from bnncli.native.table_trainer import (
    AdamW,
    CTableTrainer,
    TableProblem,
    TableState,
    default_table_trainer,
    table_problem,
)

needs_kernels = pytest.mark.skipif(not available_isas(), reason="no compiled kernels")
TRAINERS = [*available_isas(), "numpy"]
ROWS = st.sampled_from([1, 3, 7, 8, 9, 63, 64, 65, 127, 128, 129, 200])


def make_trainer(name: str):
    return NumpyTableTrainer() if name == "numpy" else CTableTrainer(name)


def random_case(seed: int, n_rows: int, n_entries: int, n_gates: int = 24):
    """Draw a network, a truth table and logits; wires may repeat a signal or reach any depth."""
    rng = np.random.default_rng(seed)
    n_inputs, n_outputs = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    limit = n_inputs + np.arange(n_gates)
    a, b = rng.integers(0, limit), rng.integers(0, limit)
    x, y = (rng.random((n_rows, n)) < 0.5 for n in (n_inputs, n_outputs))
    logits = rng.normal(0, 2, (n_gates, n_entries)).astype(np.float32)
    return (a, b, x, y), table_problem(a, b, x, y), logits


def entries_of(logits):
    """Give f00, f10, f01, f11 in double precision."""
    w = logits.astype(np.float64)
    if w.shape[1] == 4:
        return 1 / (1 + np.exp(-w))
    powers = np.exp(w - w.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True) @ table_entries(np.arange(16))


def relaxed_loss(case, logits):
    """Evaluate a network as the expectation over independent bits, in double precision."""
    a, b, x, y = case
    values = list(x.T.astype(np.float64))
    for i, j, (f00, f10, f01, f11) in zip(a, b, entries_of(logits), strict=True):
        p, q = values[i], values[j]
        values.append((1 - q) * ((1 - p) * f00 + p * f10) + q * ((1 - p) * f01 + p * f11))
    return np.square(np.stack(values[-y.shape[1] :]).T - y).mean()


cases = st.tuples(st.integers(0, 2**32 - 1), ROWS, st.sampled_from([4, 16]))


@pytest.mark.parametrize("name", TRAINERS)
@settings(max_examples=20)
@given(cases)
def test_gradient_is_that_of_the_loss(name, drawn):
    case, problem, logits = random_case(*drawn)
    gradient, loss = make_trainer(name).gradient(problem, logits)
    assert loss == pytest.approx(relaxed_loss(case, logits), abs=1e-6)
    step = 1e-4
    rng = np.random.default_rng(drawn[0])
    for _ in range(3):
        direction = rng.normal(size=logits.shape)
        ahead, behind = (relaxed_loss(case, logits + s * direction) for s in (step, -step))
        slope = (ahead - behind) / (2 * step)
        assert np.vdot(gradient, direction) == pytest.approx(slope, rel=1e-3, abs=2e-5)


@needs_kernels
@pytest.mark.parametrize("isa", available_isas())
@settings(max_examples=15)
@given(cases)
def test_fifty_steps_are_those_of_numpy(isa, drawn):
    _, problem, logits = random_case(*drawn, n_gates=10)
    how = AdamW(lr=0.05, epsilon=1e-3)  # damps rounding where a gradient is nearly 0
    states = []
    for trainer in (CTableTrainer(isa), NumpyTableTrainer()):
        state = TableState.start(logits)
        loss, _ = trainer.train(problem, state, how, 50)
        states.append((state, loss))
    (ours, our_loss), (numpys, numpys_loss) = states
    assert our_loss == pytest.approx(numpys_loss, abs=1e-5)
    for one, other in ((ours.logits, numpys.logits), (ours.m, numpys.m), (ours.v, numpys.v)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRAINERS)
def test_the_update_is_adamw_with_the_gradient_clipped(name):
    trainer = make_trainer(name)
    _, problem, logits = random_case(1, 40, 4)
    how = AdamW(lr=0.1, beta1=0.8, beta2=0.95, epsilon=1e-4, decay=0.3, clip=2e-3)
    state, w = TableState.start(logits), logits.astype(np.float64)
    m, v = np.zeros_like(w), np.zeros_like(w)
    clipped = False
    for t in range(1, 6):
        gradient, _ = trainer.gradient(problem, state.logits)
        clipped |= bool((abs(gradient) > how.clip).any())
        g = gradient.clip(-how.clip, how.clip)
        m, v = how.beta1 * m + (1 - how.beta1) * g, how.beta2 * v + (1 - how.beta2) * g * g
        unit = m / (1 - how.beta1**t) / (np.sqrt(v / (1 - how.beta2**t)) + how.epsilon)
        w -= how.lr * (unit + how.decay * w)
        trainer.train(problem, state, how, 1)
        np.testing.assert_allclose(state.logits, w, atol=2e-4)
    assert clipped
    assert state.steps == 5


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("n_entries", [4, 16])
def test_resumed_training_gives_the_same_bits(name, n_entries):
    _, problem, logits = random_case(5, 70, n_entries)
    whole, parts = TableState.start(logits), TableState.start(logits)
    trainer = make_trainer(name)
    results = trainer.train(problem, whole, AdamW(0.1), 25)
    for n_steps in (1, 7, 0, 17):
        last = trainer.train(problem, parts, AdamW(0.1), n_steps)
        copied = TableState(parts.logits.copy(), parts.m.copy(), parts.v.copy(), parts.steps)
        parts = copied
    assert last == results
    assert whole.steps == parts.steps == 25
    for one, other in ((whole.logits, parts.logits), (whole.m, parts.m), (whole.v, parts.v)):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", TRAINERS)
@settings(max_examples=15)
@given(cases)
def test_errors_are_those_of_the_chosen_truth_tables(name, drawn):
    (a, b, x, y), problem, logits = random_case(*drawn)
    if drawn[0] % 2:
        logits = np.sign(logits)  # ties: the first of the largest, and 0 is not above 0
        logits[::3] = 0
    wrong = 0
    for row, expected in zip(x, y, strict=True):
        values = [int(bit) for bit in row]
        for i, j, w in zip(a, b, logits, strict=True):
            at = values[i] + 2 * values[j]
            values.append(int(w[at] > 0) if len(w) == 4 else int(np.argmax(w)) >> at & 1)
        wrong += sum(v != int(e) for v, e in zip(values[-y.shape[1] :], expected, strict=True))
    assert make_trainer(name).errors(problem, logits) == wrong


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("size", [50.0, 1000.0])
@pytest.mark.parametrize("n_entries", [4, 16])
def test_large_logits_saturate(name, size, n_entries):
    case, problem, logits = random_case(9, 33, n_entries)
    logits = np.sign(logits) * np.float32(size)
    gradient, loss = make_trainer(name).gradient(problem, logits)
    assert np.isfinite(gradient).all()
    with np.errstate(over="ignore"):
        assert loss == pytest.approx(relaxed_loss(case, logits), abs=1e-6)


@pytest.mark.parametrize("name", TRAINERS)
def test_a_logit_that_is_no_number_shows_in_the_loss(name):
    _, problem, logits = random_case(2, 20, 4)
    logits[-1] = np.nan
    loss, _ = make_trainer(name).train(problem, TableState.start(logits), AdamW(0.1), 2)
    assert np.isnan(loss)


@pytest.mark.parametrize("name", TRAINERS)
def test_training_finds_an_exact_function(name):
    """The majority of three bits, from gates that pass their first input on."""
    x = np.arange(8)[:, None] >> np.arange(3) & 1 == 1
    y = x.sum(axis=1, keepdims=True) > 1
    rng = np.random.default_rng(3)
    limit = 3 + np.arange(30)
    problem = table_problem(rng.integers(0, limit), rng.integers(0, limit), x, y)
    state = TableState.start(np.tile(np.float32([-2, 2, -2, 2]), (30, 1)))
    trainer = make_trainer(name)
    before = trainer.errors(problem, state.logits)
    loss, errors = trainer.train(problem, state, AdamW(0.1), 300)
    assert before > 0
    assert errors == 0
    assert loss < 0.01


def test_wrong_wires_and_tables_are_refused():
    x, y = np.zeros((4, 2), dtype=bool), np.zeros((4, 1), dtype=bool)
    for a, b in (([0, 3], [0, 1]), ([-1, 0], [0, 0]), ([0, 0], [0])):
        with pytest.raises(BnnError, match="wires of 2"):
            table_problem(np.array(a), np.array(b), x, y)
    wires = np.array([0, 1])
    for inputs, outputs in ((x, y[:3]), (x[:0], y[:0]), (x, y[:, :0]), (x, np.repeat(y, 3, 1))):
        with pytest.raises(BnnError, match="truth table with"):
            table_problem(wires, wires, inputs, outputs)


@pytest.mark.parametrize("name", TRAINERS)
def test_arrays_that_do_not_fit_are_refused(name):
    _, problem, logits = random_case(0, 8, 4)
    trainer = make_trainer(name)
    for wrong in (logits[1:], logits.astype(np.float64), logits[:, :3], np.asfortranarray(logits)):
        with pytest.raises(BnnError, match="logits or moments"):
            trainer.gradient(problem, wrong)
        with pytest.raises(BnnError, match="logits or moments"):
            trainer.train(problem, TableState(logits, wrong, wrong), AdamW(0.1), 1)
        with pytest.raises(BnnError, match="logits or moments"):
            trainer.errors(problem, wrong)


def test_numpy_trains_where_it_is_asked_for(monkeypatch):
    from bnncli.native import default_backend

    default_backend.cache_clear()
    monkeypatch.setenv("BNN_KERNEL", "numpy")
    assert default_table_trainer().name == "numpy"
    default_backend.cache_clear()
    monkeypatch.delenv("BNN_KERNEL")
    expected = CTableTrainer().name if available_isas() else "numpy"
    assert default_table_trainer().name == expected
    default_backend.cache_clear()


def test_a_problem_tells_its_sizes():
    (_, _, x, y), problem, _ = random_case(4, 65, 4, n_gates=11)
    assert isinstance(problem, TableProblem)
    assert (problem.n_inputs, problem.n_gates, problem.n_outputs) == (x.shape[1], 11, y.shape[1])
    assert (problem.n_rows, problem.x.shape[1]) == (65, 2)
