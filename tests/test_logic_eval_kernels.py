"""The C interpreter of gate networks: its programs, its memory, its threads."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.bits import pack_bits, unpack_bits
from bnncli.native import CBackend, available_isas
from bnncli.native.logic_schedule import MAX_NARROW, schedule, walk
from bnncli.packed import NumpyBackend
from bnncli.packed.logic import LogicNetwork
from tests.test_packed_logic import brute_force, random_images, random_network

INTERPRETED = {0x8, 0x2, 0xE, 0x6, 0x7, 0xD, 0x1, 0x9}
needs_kernels = pytest.mark.skipif(not available_isas(), reason="the C kernels are not built")


def network(op, a, b, outputs, *, n_inputs=2, n_groups=1):
    return LogicNetwork(
        pixel=np.arange(n_inputs, dtype=np.int32),
        threshold=np.zeros(n_inputs, np.uint8),
        op=np.array(op, np.uint8),
        a=np.array(a, np.int32),
        b=np.array(b, np.int32),
        outputs=np.array(outputs, np.int32),
        n_groups=n_groups,
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 120), st.integers(1, 300))
def test_a_program_reads_only_slots_that_hold_what_it_means(seed, n_inputs, n_gates):
    """Run the program on names instead of bits: no signal is overwritten before its last reader."""
    rng = np.random.default_rng(seed)
    drawn = random_network(
        rng, n_pixels=90, n_inputs=n_inputs, n_gates=n_gates, group_size=9, n_groups=2, reach=60
    )
    program = schedule(drawn)
    images = random_images(rng, 64, 90).reshape(64, -1)
    pixel, threshold = program.inputs.comparisons()
    assert len(pixel) == program.n_inputs
    assert len(set(zip(pixel.tolist(), threshold.tolist(), strict=True))) == len(pixel)
    values = np.zeros((program.n_slots, 64), bool)
    values[: len(pixel)] = (images[:, pixel] > threshold).T
    tables = np.repeat(program.runs[:, 0], program.runs[:, 1])
    assert len(tables) == program.n_gates <= n_gates + len(drawn.outputs)
    assert set(tables.tolist()) <= INTERPRETED
    for table, (out, a, b) in zip(tables.tolist(), program.operands.tolist(), strict=True):
        values[out] = table >> (values[a] + 2 * values[b]) & 1
    groups = np.split(values[program.counted], program.ends[:-1])
    counts = np.stack([g.sum(axis=0) for g in groups], axis=1) + program.biases
    assert np.array_equal(counts, brute_force(drawn, images))
    assert program.n_planes >= max(len(g) for g in groups).bit_length()


def test_wires_inverters_and_unneeded_gates_cost_nothing():
    # 4 = not 2, 5 = wire 4, 6 = 5 and 3, 7 = not 6, 8 = 0x8 with true, 9 is not read.
    chain = network([0x5, 0xC, 0x8, 0x3, 0x8, 0x6], [2, 0, 5, 0, 7, 2], [0, 4, 3, 6, 1, 3], [8])
    program = schedule(chain)
    assert program.n_gates == 1
    assert program.runs[0, 0] == 0xD  # a | ~b, which is not (~2 and 3) with exchanged inputs


def test_constants_are_counted_without_a_signal():
    fixed = network([0xF, 0x6, 0x9], [2, 3, 2], [3, 3, 2], [4, 5, 6, 1, 0, 4], n_groups=2)
    program = schedule(fixed)
    assert program.n_gates == program.n_inputs == len(program.counted) == 0
    assert program.biases.tolist() == [2, 2]
    images = np.zeros((3, 2), np.uint8)
    for backend in (NumpyBackend(), *(CBackend(isa) for isa in available_isas())):
        assert backend.prepare_logic(fixed)(images).tolist() == [[2, 2]] * 3


def test_an_output_and_its_complement_need_one_inverter():
    both = network([0x6, 0x9, 0x5, 0x5], [2, 2, 2, 4], [3, 3, 0, 0], [4, 5, 6, 6, 7, 4])
    tables = np.repeat(*schedule(both).runs.T).tolist()
    # One of xor and xnor, its complement for the other outputs, the complement of the input.
    assert sorted(tables)[:2] == [0x1, 0x1]
    assert len(tables) <= 4


def test_slots_are_used_again():
    rng = np.random.default_rng(0)
    width, depth = 500, 12
    first = 2 + np.arange(depth) * width
    a, b = (
        np.concatenate([start + rng.permutation(width) for start in first]).astype(np.int32)
        for _ in range(2)
    )
    layered = LogicNetwork(
        pixel=np.arange(width, dtype=np.int32),
        threshold=np.zeros(width, np.uint8),
        op=np.full(depth * width, 0x6, np.uint8),
        a=a,
        b=b,
        outputs=np.arange(2 + depth * width, 2 + (depth + 1) * width, dtype=np.int32),
        n_groups=1,
    )
    program = schedule(layered)
    assert program.n_gates > 5000
    assert program.n_slots < 1.5 * width


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_a_walk_visits_every_gate_once(pairs):
    order = walk([a for a, _ in pairs], [b for _, b in pairs])
    assert sorted(order) == list(range(len(pairs)))


def test_a_walk_follows_shared_operands():
    # A ring of gates i, i + 1 in another order.
    order = walk([3, 0, 2, 1], [0, 1, 3, 2])
    operands = [{3, 0}, {0, 1}, {2, 3}, {1, 2}]
    shared = [bool(operands[x] & operands[y]) for x, y in itertools.pairwise(order)]
    assert all(shared)


@needs_kernels
@pytest.mark.parametrize("isa", available_isas())
def test_more_slots_than_16_bits_can_number(isa):
    n = MAX_NARROW // 2 + 10
    rng = np.random.default_rng(0)
    wide = LogicNetwork(
        pixel=np.arange(2 * n, dtype=np.int32) % 3000,
        threshold=(np.arange(2 * n) // 3000 * 9).astype(np.uint8),
        op=rng.choice(np.array([0x6, 0x8, 0xE, 0x2], np.uint8), n),
        a=rng.permutation(np.arange(2, 2 + n, dtype=np.int32)),
        b=rng.permutation(np.arange(2 + n, 2 + 2 * n, dtype=np.int32)),
        outputs=np.arange(2, 2 + 3 * n, dtype=np.int32),
        n_groups=3,
    )
    interpreter = CBackend(isa).prepare_logic(wide)
    assert interpreter.program.n_slots > MAX_NARROW
    images = rng.integers(0, 256, (70, 3000), dtype=np.uint8)
    assert np.array_equal(interpreter(images), NumpyBackend().prepare_logic(wide)(images))


@needs_kernels
@pytest.mark.parametrize("isa", available_isas())
def test_bits_in_and_bits_out(isa):
    rng = np.random.default_rng(3)
    drawn = random_network(
        rng, n_pixels=90, n_inputs=100, n_gates=300, group_size=20, n_groups=3, reach=200
    )
    images = random_images(rng, 1024, 90).reshape(2, 512, -1)
    interpreter = CBackend(isa).prepare_logic(drawn)
    program = interpreter.program
    pixel, threshold = program.inputs.comparisons()
    bits = (images[:, :, pixel] > threshold).transpose(0, 2, 1)
    out = interpreter.evaluate(pack_bits(np.ascontiguousarray(bits)))
    assert out.shape == (2, len(program.counted), 8)
    groups = np.split(unpack_bits(out, 512), program.ends[:-1], axis=1)
    counts = np.stack([g.sum(axis=1) for g in groups], axis=2) + program.biases
    assert np.array_equal(counts.reshape(1024, -1), brute_force(drawn, images.reshape(1024, -1)))


@needs_kernels
def test_threads_share_an_interpreter():
    rng = np.random.default_rng(4)
    drawn = random_network(
        rng, n_pixels=50, n_inputs=60, n_gates=400, group_size=30, n_groups=4, reach=300
    )
    interpreter = CBackend().prepare_logic(drawn)
    batches = [random_images(rng, 700, 50).reshape(700, -1) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for counts, images in zip(pool.map(interpreter, batches), batches, strict=True):
            assert np.array_equal(counts, brute_force(drawn, images))
