"""Laws of the logic-gate kernels: every instruction set agrees with numpy, threads change nothing."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.bench import harness, logic_training
from bnncli.errors import BnnError
from bnncli.native import available_isas
from bnncli.native.logic_layers import Chosen, CLogic, NumpyLogic, check_wires
from bnncli.training.arithmetic import subnormals_flushed

BATCHES = (1, 3, 15, 16, 17, 31, 33, 64, 65, 127, 128, 200)
REFERENCE = NumpyLogic()
ISAS = available_isas()


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def wires(rng: np.random.Generator, n_rows: int, *shape: int) -> np.ndarray:
    return rng.integers(0, n_rows, shape, dtype=np.int32)


def assert_close(given, expected) -> None:
    """Compare sums whose order may differ: relative to their size."""
    if expected is None:
        assert given is None
        return
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(given / scale, expected / scale, rtol=1e-5, atol=2e-6)


def run_all(backend, rng: np.random.Generator, inputs, outputs, k, batch, threads=1):
    """Run everything on operands that depend on the generator only."""
    x, a, b = floats(rng, inputs, batch), wires(rng, inputs, outputs), wires(rng, inputs, outputs)
    if outputs > 2:
        b[::3] = a[::3]
    coefficients, grad = floats(rng, outputs, 4), floats(rng, outputs, batch)
    found = [backend.gate_forward(x, a, b, coefficients, threads=threads)]
    for need_x in (True, False):
        found += backend.gate_backward(x, a, b, coefficients, grad, need_x, threads)
    candidates, weights = wires(rng, inputs, 2, outputs, k), floats(rng, 2, outputs, k) / k
    operands = x, candidates, weights, coefficients
    found.append(backend.mixed_forward(*operands, threads=threads))
    for need_x in (True, False):
        found += backend.mixed_backward(*operands, grad, need_x, threads)
    dweights = found[-2]
    logits, sharpness = k * weights, 1.5
    chosen = Chosen(
        x, candidates, logits, backend.choose(candidates, logits), coefficients, sharpness
    )
    found.append(chosen.wires)
    for need_x in (True, False):
        dx, dlogits, dcoefficients = backend.chosen_backward(chosen, grad, need_x, threads)
        # A logit's gradient is a difference of weights' gradients: its error is in their scale.
        found += [dx, np.stack([dlogits, dweights]), dcoefficients]
    return found


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", BATCHES)
def test_every_instruction_set_agrees_with_numpy(isa, batch):
    for shape in ((5, 1, 3), (7, 3, 1), (1, 9, 4), (50, 70, 8), (40, 130, 17)):
        found = run_all(CLogic(isa), np.random.default_rng(batch), *shape, batch)
        expected = run_all(REFERENCE, np.random.default_rng(batch), *shape, batch)
        for mine, theirs in zip(found, expected, strict=True):
            assert_close(mine, theirs)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("inputs", [2_000, 3_000, 9_000])
def test_layers_that_do_not_fit_the_cache_agree_with_numpy(isa, inputs):
    """Wide inputs take narrower tiles, and the gradients of x a pass of their own."""
    shape = (inputs, 60, 5, 70)
    found = run_all(CLogic(isa), np.random.default_rng(inputs), *shape)
    expected = run_all(REFERENCE, np.random.default_rng(inputs), *shape)
    for mine, theirs in zip(found, expected, strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    k=st.integers(1, 33),
    batch=st.integers(1, 140),
)
@settings(max_examples=25, deadline=None)
def test_any_shape_agrees_with_numpy(isa, seed, inputs, outputs, k, batch):
    shape = (inputs, outputs, k, batch)
    found = run_all(CLogic(isa), np.random.default_rng(seed), *shape)
    expected = run_all(REFERENCE, np.random.default_rng(seed), *shape)
    for mine, theirs in zip(found, expected, strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(90, 700, 9, 200), (9_000, 300, 5, 180)])
def test_threads_change_no_bit(isa, shape):
    alone = run_all(CLogic(isa), np.random.default_rng(1), *shape)
    for threads in (2, 3):
        shared = run_all(CLogic(isa), np.random.default_rng(1), *shape, threads=threads)
        for mine, theirs in zip(shared, alone, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("isa", ISAS)
def test_threads_share_how_the_caller_takes_subnormals(isa):
    """Gradients of 1e-39 are subnormal: every thread takes them for 0, or none does."""
    rng = np.random.default_rng(3)
    x, a, b = floats(rng, 90, 400), wires(rng, 90, 700), wires(rng, 90, 700)
    grad = floats(rng, 700, 400) * np.float32(1e-39)
    assert grad.any()
    operands = x, a, b, floats(rng, 700, 4), grad
    for flushed in (True, False, True):
        with subnormals_flushed() if flushed else nullcontext():
            found = [CLogic(isa).gate_backward(*operands, threads=n) for n in (1, 2, 3)]
        for result in found:
            for mine, alone in zip(result, found[0], strict=True):
                np.testing.assert_array_equal(mine.view(np.uint32), alone.view(np.uint32))
        assert found[0][0].any() != flushed


SHARED = (90, 700, 9, 200)
"""A shape that is large enough to be shared between threads."""


@pytest.mark.skipif(not ISAS, reason="the C kernels are not built")
def test_callers_that_want_the_threads_at_once_all_get_the_same_bits():
    """Only one of them has the workers; the others do their work alone."""
    alone = run_all(CLogic(), np.random.default_rng(2), *SHARED)
    with ThreadPoolExecutor(3) as callers:
        jobs = [
            callers.submit(run_all, CLogic(), np.random.default_rng(2), *SHARED, 2)
            for _ in range(6)
        ]
        for job in jobs:
            for mine, theirs in zip(job.result(), alone, strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.skipif(not ISAS or not hasattr(os, "fork"), reason="no kernels, or no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    """The workers do not survive a fork: a child that counted on them would wait for ever."""
    before = run_all(CLogic(), np.random.default_rng(3), *SHARED, threads=2)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)  # ends the child should it wait
            found = run_all(CLogic(), np.random.default_rng(3), *SHARED, threads=2)
            pairs = zip(found, before, strict=True)
            status = int(not all(np.array_equal(mine, theirs) for mine, theirs in pairs))
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    for mine, theirs in zip(
        run_all(CLogic(), np.random.default_rng(3), *SHARED, threads=2), before, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("backend", [REFERENCE, *map(CLogic, ISAS)], ids=lambda b: b.name)
def test_malformed_operands_are_refused_in_one_line(backend):
    rng = np.random.default_rng(0)
    x, a, coefficients = floats(rng, 5, 8), wires(rng, 5, 3), floats(rng, 3, 4)
    candidates, weights = wires(rng, 5, 2, 3, 2), floats(rng, 2, 3, 2)
    calls = [
        lambda: backend.gate_forward(x[:, :0], a, a, coefficients),
        lambda: backend.gate_forward(x, a[:0], a, coefficients[:0]),
        lambda: backend.gate_forward(x.astype(np.float64), a, a, coefficients),
        lambda: backend.gate_forward(x.T, a, a, coefficients),
        lambda: backend.gate_forward(x, a.astype(np.int64), a, coefficients),
        lambda: backend.gate_forward(x, a, a, coefficients, threads=0),
        lambda: backend.gate_forward(x, a, a, coefficients, out=x),
        lambda: backend.gate_backward(x, a, a, coefficients, x),
        lambda: backend.mixed_forward(x, candidates[0], weights[0], coefficients),
        lambda: backend.mixed_forward(x, candidates, weights[..., :1], coefficients),
        lambda: backend.mixed_forward(x, candidates, weights, coefficients[:2]),
        lambda: backend.mixed_forward(x, candidates[..., :0], weights[..., :0], coefficients),
        lambda: backend.mixed_backward(x, candidates, weights, coefficients, x),
        lambda: backend.choose(candidates[..., :0], weights[..., :0]),
        lambda: backend.choose(candidates[..., :1], weights),
    ]
    for call in calls:
        with pytest.raises(BnnError) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert "expected" in str(caught.value)


def test_wires_are_checked_once_by_their_maker():
    check_wires("wiring", np.array([0, 4], dtype=np.int32), 5)
    for wrong in (np.array([0, 5], dtype=np.int32), np.array([-1], dtype=np.int32)):
        with pytest.raises(BnnError, match=r"wiring: index .* expected 0 to 4"):
            check_wires("wiring", wrong, 5)
    with pytest.raises(BnnError, match="int64"):
        check_wires("wiring", np.array([0]), 5)


def test_every_contender_of_the_bench_computes_the_same_step():
    for name in ("softmax", "iwp"):
        contest = logic_training._contest(name, (9, 20, 30), 17)
        harness.check_outputs("law", contest)
        assert (logic_training.STACK in contest.contenders) == (name == "softmax")
    assert logic_training.least_bytes((9, 20, 30), 1) == 4 * (6 * 20 + 10 * 30)
