"""Laws of the operations on packed words, for numpy and for every instruction set that runs here.

All of them give the integers that a direct sum over ±1 values gives.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.bits import pack_bits, pack_signs, unpack_bits, words_for
from bnncli.errors import BnnError
from bnncli.native import CBackend, available_isas
from bnncli.packed.backend import Backend, BitMatrix, ConvGeometry
from bnncli.packed.reference import NumpyBackend

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER, ALWAYS = -(2**31), 2**31 - 1
LENGTHS = (1, 3, 31, 32, 33, 63, 64, 65, 127, 200, 700)
ROWS = (1, 3, 31, 32, 33, 63, 64, 65, 127)

BACKENDS: list[Backend] = [NumpyBackend(), *(CBackend(isa) for isa in available_isas())]
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


def random_signs(rng: np.random.Generator, *shape: int) -> NDArray[np.int64]:
    return rng.choice(np.array([-1, 1]), size=shape)


def pick_thresholds(rng: np.random.Generator, count: int) -> NDArray[np.int32]:
    near = rng.integers(-20, 20, count)
    special = rng.choice([NEVER, ALWAYS, 0], count)
    return np.where(rng.random(count) < 0.3, special, near).astype(np.int32)


def assert_same(got: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    assert got.shape == expected.shape
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


def check_gemm(backend: Backend, a: NDArray[np.int64], b: NDArray[np.int64], seed: int) -> None:
    thresholds = pick_thresholds(np.random.default_rng(seed), b.shape[0])
    matrix = backend.prepare(pack_signs(b), b.shape[1])
    a_words = backend.pack_signs(a.astype(np.float32))
    assert_same(a_words, pack_bits(a < 0))
    dots = a @ b.T
    got = backend.xor_gemm(a_words, matrix)
    assert got.dtype == np.int32
    assert_same(got, dots)
    bits = backend.xor_gemm_threshold(a_words, matrix, thresholds)
    assert bits.dtype == np.uint64
    assert_same(bits, pack_bits(dots < thresholds))  # pack_bits leaves the pad bits 0
    assert_same(backend.sign_gemm(a.astype(np.float32), matrix), dots)


@every_backend
@pytest.mark.parametrize("n_bits", LENGTHS)
def test_gemm_equals_direct_sum_at_all_tails(backend: Backend, n_bits: int) -> None:
    rng = np.random.default_rng(n_bits)
    b = random_signs(rng, max(ROWS), n_bits)
    a = random_signs(rng, 9, n_bits)
    for n_rows, m in itertools.product(ROWS, range(1, 10)):
        check_gemm(backend, a[:m], b[:n_rows], m)


@every_backend
@given(
    m=st.integers(1, 20),
    n_rows=st.integers(1, 140),
    n_bits=st.integers(1, 2100),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_gemm_equals_direct_sum(
    backend: Backend, m: int, n_rows: int, n_bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    check_gemm(backend, random_signs(rng, m, n_bits), random_signs(rng, n_rows, n_bits), seed)


@every_backend
@pytest.mark.parametrize("n_bits", [512, 1984, 2048, 4096, 16384, 65535, 65536])
def test_sums_do_not_overflow(backend: Backend, n_bits: int) -> None:
    """All products equal: the largest sums, which random operands never reach."""
    b = np.ones((33, n_bits), dtype=np.int64)
    b[::2] = -1
    for value in (-1, 1):
        check_gemm(backend, np.full((5, n_bits), value), b, n_bits)
    x = np.full((5, n_bits), 127, dtype=np.float32)
    got = backend.sign_gemm(x, backend.prepare(pack_signs(b), n_bits))
    assert_same(got, np.tile(127 * n_bits * b[:, 0], (5, 1)))


@every_backend
def test_blocks_of_many_rows(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    check_gemm(backend, random_signs(rng, 150, 30000), random_signs(rng, 3, 30000), 0)


@every_backend
@pytest.mark.parametrize("n", LENGTHS)
def test_pack_signs_of_special_values(backend: Backend, n: int) -> None:
    special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3, -3])
    x = np.random.default_rng(n).choice(special, size=(2, 3, n)).astype(np.float32)
    words = backend.pack_signs(x)
    assert words.shape == (2, 3, words_for(n))
    assert_same(words, pack_bits(x < 0))


@every_backend
def test_thresholds_at_the_extremes(backend: Backend) -> None:
    n_bits = 100
    b = np.ones((70, n_bits), dtype=np.int64)
    matrix = backend.prepare(pack_signs(b), n_bits)
    for value in (-1, 1):
        a_words = pack_signs(np.full((3, n_bits), value))
        dot = value * n_bits
        for threshold in (NEVER, NEVER + 1, dot - 1, dot, dot + 1, dot + 2, ALWAYS - 1, ALWAYS):
            thresholds = np.full(70, threshold, dtype=np.int32)
            bits = unpack_bits(backend.xor_gemm_threshold(a_words, matrix, thresholds), 70)
            assert bool(bits.all()) == bool(bits.any()) == (dot < threshold)


def rounding_bound(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bound the error of a float32 sum of n terms, in any order: n * 2**-24 * sum |x|."""
    return x.shape[-1] * 2.0**-24 * np.abs(x, dtype=np.float64).sum(axis=-1, keepdims=True)


@every_backend
@pytest.mark.parametrize("n_bits", [1, 33, 64, 511, 512, 513, 1100])
def test_sign_gemm_is_within_rounding_of_float64(backend: Backend, n_bits: int) -> None:
    rng = np.random.default_rng(n_bits)
    x = rng.standard_normal((101, n_bits)).astype(np.float32)
    for n_rows in (1, 8, 9, 16, 17, 33, 48, 49, 64, 100):
        b = random_signs(rng, n_rows, n_bits)
        got = backend.sign_gemm(x, backend.prepare(pack_signs(b), n_bits))
        assert np.all(np.abs(got - x.astype(np.float64) @ b.T) <= rounding_bound(x))


@pytest.mark.skipif(not available_isas(), reason="the C kernels are not built")
def test_sums_of_few_outputs_agree_bit_for_bit_across_instruction_sets() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((15, 1100)).astype(np.float32)
    words = pack_signs(random_signs(rng, 32, 1100))
    results = [
        backend.sign_gemm(x, backend.prepare(words, 1100)).tobytes()
        for backend in map(CBackend, available_isas())
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("n_rows", [10, 70])
def test_sums_of_a_row_do_not_depend_on_the_rows_beside_it(isa: str, n_rows: int) -> None:
    backend = CBackend(isa)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((13, 1100)).astype(np.float32)
    matrix = backend.prepare(pack_signs(random_signs(rng, n_rows, 1100)), 1100)
    alone = np.concatenate([backend.sign_gemm(x[i : i + 1], matrix) for i in range(13)])
    assert backend.sign_gemm(x, matrix).tobytes() == alone.tobytes()


@every_backend
def test_sign_gemm_passes_nan_on_to_its_row_only(backend: Backend) -> None:
    x = np.ones((9, 70), dtype=np.float32)
    x[4, 69] = np.nan
    words = pack_signs(random_signs(np.random.default_rng(0), 37, 70))
    got = backend.sign_gemm(x, backend.prepare(words, 70))
    assert np.isnan(got[4]).all()
    assert not np.isnan(np.delete(got, 4, axis=0)).any()


def torch_conv(
    x: NDArray[np.generic], weights: NDArray[np.int64], geometry: ConvGeometry
) -> NDArray[np.float64]:
    """Convolve channels-last images with (out, ky, kx, in) weights by torch, in float64."""
    found = torch.nn.functional.conv2d(
        torch.from_numpy(x.astype(np.float64)).permute(0, 3, 1, 2),
        torch.from_numpy(weights.astype(np.float64)).permute(0, 3, 1, 2),
        stride=geometry.stride,
        padding=geometry.padding,
    )
    return found.permute(0, 2, 3, 1).numpy()


def prepare_conv(backend: Backend, weights: NDArray[np.int64], geometry: ConvGeometry) -> BitMatrix:
    return backend.prepare_conv2d(pack_signs(weights).reshape(len(weights), -1), geometry)


def check_conv(
    backend: Backend, geometry: ConvGeometry, batch: int, size: tuple[int, int], n_out: int
) -> None:
    rng = np.random.default_rng(n_out)
    channels = geometry.in_channels
    signs = random_signs(rng, batch, *size, channels)
    weights = random_signs(rng, n_out, *geometry.kernel_size, channels)
    matrix = prepare_conv(backend, weights, geometry)
    thresholds = pick_thresholds(rng, n_out)
    dots = torch_conv(signs, weights, geometry)
    words = pack_signs(signs)
    assert_same(backend.xor_conv2d(words, matrix, geometry), dots)
    bits = backend.xor_conv2d_threshold(words, matrix, geometry, thresholds)
    assert_same(bits, pack_bits(dots < thresholds))
    whole = rng.integers(-255, 256, (batch, *size, channels)).astype(np.float32)
    sums = backend.sign_conv2d(whole, matrix, geometry)
    assert sums.dtype == np.float32
    assert_same(sums, torch_conv(whole, weights, geometry))


@every_backend
@pytest.mark.parametrize("channels", [1, 3, 32, 64, 65])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_conv_equals_torch(backend: Backend, kernel: int, channels: int) -> None:
    for padding, stride in itertools.product((0, 1, 2), (1, 2)):
        geometry = ConvGeometry(
            in_channels=channels,
            kernel_size=(kernel, kernel),
            stride=(stride, stride),
            padding=(padding, padding),
        )
        check_conv(backend, geometry, batch=2, size=(6, 5), n_out=33)


@every_backend
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_conv_equals_torch_for_any_geometry(backend: Backend, data: st.DataObject) -> None:
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), label="kernel")
    geometry = ConvGeometry(
        in_channels=data.draw(st.integers(1, 130), label="in_channels"),
        kernel_size=kernel,
        stride=data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), label="stride"),
        padding=data.draw(st.tuples(st.integers(0, 5), st.integers(0, 5)), label="padding"),
    )
    height = data.draw(st.integers(kernel[0], 8), label="height")
    width = data.draw(st.integers(kernel[1], 8), label="width")
    n_out = data.draw(st.integers(1, 70), label="n_out")
    check_conv(
        backend, geometry, batch=data.draw(st.integers(1, 3)), size=(height, width), n_out=n_out
    )


@every_backend
def test_conv_over_more_pixels_than_one_block(backend: Backend) -> None:
    geometry = ConvGeometry(in_channels=256, kernel_size=(3, 3), padding=(1, 1))
    check_conv(backend, geometry, batch=3, size=(17, 19), n_out=65)


@every_backend
def test_threads_share_a_matrix(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    a, b = random_signs(rng, 40, 1000), random_signs(rng, 70, 1000)
    words, floats = pack_signs(a), a.astype(np.float32)
    matrix = backend.prepare(pack_signs(b), 1000)

    def both(_: int) -> NDArray[np.generic]:
        return backend.xor_gemm(words, matrix) + backend.sign_gemm(floats, matrix)

    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(both, range(40)):
            assert_same(got, 2 * (a @ b.T))


@every_backend
def test_operands_at_odd_addresses(backend: Backend) -> None:
    def move(array: NDArray[np.generic]) -> NDArray[np.generic]:
        moved = np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1)
        assert not moved.flags.aligned
        return moved.reshape(array.shape)

    rng = np.random.default_rng(0)
    a, b = random_signs(rng, 7, 300), random_signs(rng, 40, 300)
    x, words = a.astype(np.float32), pack_signs(a)
    thresholds = pick_thresholds(rng, 40)
    matrix = backend.prepare(move(pack_signs(b)), 300)
    assert_same(backend.pack_signs(move(x)), words)
    assert_same(backend.xor_gemm(move(words), matrix), a @ b.T)
    bits = backend.xor_gemm_threshold(move(words), matrix, move(thresholds))
    assert_same(bits, pack_bits(a @ b.T < thresholds))
    assert_same(backend.sign_gemm(move(x), matrix), a @ b.T)


@every_backend
def test_no_rows_and_no_images_give_empty_results(backend: Backend) -> None:
    matrix = backend.prepare(np.zeros((5, 2), dtype=np.uint64), 100)
    assert backend.pack_signs(np.zeros((0, 100), dtype=np.float32)).shape == (0, 2)
    assert backend.xor_gemm(np.zeros((0, 2), dtype=np.uint64), matrix).shape == (0, 5)
    assert backend.sign_gemm(np.zeros((0, 100), dtype=np.float32), matrix).shape == (0, 5)
    geometry = ConvGeometry(in_channels=3, kernel_size=(1, 1))
    conv = backend.prepare_conv2d(np.zeros((5, 1), dtype=np.uint64), geometry)
    images = np.zeros((0, 4, 4, 1), dtype=np.uint64)
    assert backend.xor_conv2d(images, conv, geometry).shape == (0, 4, 4, 5)


@every_backend
def test_wrong_operands_are_refused_in_one_line(backend: Backend) -> None:
    words = np.zeros((4, 2), dtype=np.uint64)
    matrix = backend.prepare(words, 100)
    geometry = ConvGeometry(in_channels=64, kernel_size=(2, 1))
    conv = backend.prepare_conv2d(words, geometry)
    narrow = ConvGeometry(in_channels=32, kernel_size=(2, 1))
    thresholds = np.zeros(4, dtype=np.int32)
    x = np.zeros((3, 100), dtype=np.float32)
    images = np.zeros((1, 4, 4, 1), dtype=np.uint64)
    full = np.full((4, 2), 2**64 - 1, dtype=np.uint64)
    attempts = [
        (lambda: backend.prepare(words, 129), r"\(4, 2\).*expected.*\(any, 3\)"),
        (lambda: backend.prepare(words, 0), "n_bits=0"),
        (lambda: backend.prepare(full, 100), "pad bits 0"),
        (lambda: backend.prepare_conv2d(full, narrow), "pad bits 0"),
        (lambda: backend.prepare(words.astype(np.int64), 100), "int64.*expected uint64"),
        (lambda: backend.xor_gemm(words[:, :1], matrix), r"\(4, 1\).*not contiguous"),
        (lambda: backend.xor_gemm(words[:, :1].copy(), matrix), r"\(any, 2\)"),
        (lambda: backend.xor_gemm_threshold(words, matrix, thresholds[:3]), r"\(4,\)"),
        (lambda: backend.sign_gemm(x.astype(np.float64), matrix), "float64.*expected float32"),
        (lambda: backend.sign_gemm(x[:, :64], matrix), "C-contiguous"),
        (lambda: backend.pack_signs(x.tolist()), "list given"),
        (lambda: backend.xor_conv2d(images[0], conv, geometry), "images"),
        (
            lambda: backend.xor_conv2d(
                images, matrix, ConvGeometry(in_channels=9, kernel_size=(3, 3))
            ),
            "prepare_conv2d",
        ),
        (lambda: backend.xor_conv2d(images[:, :1], conv, geometry), "smaller than the kernel"),
        (
            lambda: backend.xor_gemm(words[:, :1].copy(), backend.prepare_conv2d(words, narrow)),
            "convolution",
        ),
        (lambda: backend.xor_gemm(words, BitMatrix(words, 4, 100, None)), "another backend"),
        (lambda: ConvGeometry(in_channels=0, kernel_size=(1, 1)), "at least 1"),
    ]
    for attempt, message in attempts:
        with pytest.raises(BnnError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
