"""Suite ``kernels``: each backend's operations against torch float32 on the same numbers.

One case is one shape; every instruction set that runs here takes part. Contenders that are slow by
design (numpy and the plain C reference) appear at small shapes only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from bnncli.bench.harness import Case, Contender, Contest, Work, equal_to
from bnncli.bits import pack_signs, unpack_bits
from bnncli.native import CBackend, available_isas
from bnncli.packed.backend import ConvGeometry
from bnncli.packed.reference import NumpyBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend

SEED = 0
SLOW = {"numpy", "c:ref"}
SLOW_OPERATIONS = 2**23
"""The slow contenders take part in products up to this size."""
SLOW_VALUES = 2**20
"""The slow contenders take part in packing up to this many values."""

TORCH = "torch float32"

PACK_SHAPES = [(256, 1024), (4096, 1024), (4096, 4096)]
XOR_SHAPES = [(16, 256, 256), (1, 4096, 4096), (64, 1024, 1024), (1024,) * 3, (256, 4096, 4096)]
THRESHOLD_SHAPES = [(16, 256, 256), (64, 1024, 1024), (256, 4096, 4096)]
SIGN_SHAPES = [(16, 256, 256), (1, 4096, 4096), (64, 1024, 1024), (256, 1024, 1024)]
CONV_SHAPES = [(16, 14), (64, 56), (128, 28), (256, 14), (512, 7)]
SIGN_CONV_SHAPES = [(16, 14), (64, 56), (128, 28)]


def backends(*, small: bool) -> list[Backend]:
    """List the backends of this machine; the slow ones where the case is small."""
    found: list[Backend] = [NumpyBackend(), *(CBackend(isa) for isa in available_isas())]
    return [backend for backend in found if small or backend.name not in SLOW]


def random_signs(shape: Sequence[int], seed: int) -> NDArray[np.float32]:
    """Draw ±1 floats."""
    bits = np.random.default_rng(seed).integers(0, 2, shape, dtype=np.int8)
    return (1 - 2 * bits).astype(np.float32)


def random_floats(shape: Sequence[int], seed: int) -> NDArray[np.float32]:
    """Draw floats from the standard normal distribution."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def float_tolerance(terms: int) -> float:
    """Bound the difference of two float32 sums of n standard normal terms, taken in any order.

    Rounding errors of a sum of n terms behave like n 2⁻²⁴; a wrong sign would change it by about 2.
    """
    return terms * 2.0**-24 * 8


def _pack(rows: int, columns: int) -> Contest:
    x = random_floats((rows, columns), SEED)
    tensor = torch.from_numpy(x)

    def padded(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.unpackbits(packed, axis=-1, count=columns, bitorder="little").view(np.bool_)

    contenders = {
        "torch x < 0": Contender(lambda: tensor < 0),
        "np.packbits(x < 0)": Contender(
            lambda: np.packbits(x < 0, axis=-1, bitorder="little"), padded
        ),
    }
    for backend in backends(small=rows * columns <= SLOW_VALUES):
        contenders[backend.name] = Contender(
            partial(backend.pack_signs, x), partial(unpack_bits, n_bits=columns)
        )
    baselines = ["torch x < 0", "np.packbits(x < 0)"]
    return Contest(contenders, baselines, equal_to("torch x < 0"))


def _xor_gemm(m: int, n: int, k: int) -> Contest:
    a, b = random_signs((m, k), SEED), random_signs((n, k), SEED + 1)
    a_words, b_words = pack_signs(a), pack_signs(b)
    x, weight = torch.from_numpy(a), torch.from_numpy(b)
    contenders = {TORCH: Contender(lambda: F.linear(x, weight))}
    for backend in backends(small=2 * m * n * k <= SLOW_OPERATIONS):
        matrix = backend.prepare(b_words, k)
        contenders[backend.name] = Contender(partial(backend.xor_gemm, a_words, matrix))
    return Contest(contenders, [TORCH], equal_to(TORCH))


def _xor_threshold(m: int, n: int, k: int) -> Contest:
    a, b = random_signs((m, k), SEED), random_signs((n, k), SEED + 1)
    a_words, b_words = pack_signs(a), pack_signs(b)
    thresholds = np.random.default_rng(SEED + 2).integers(-8, 8, n, dtype=np.int32)
    x, weight, limit = (torch.from_numpy(v) for v in (a, b, thresholds.astype(np.float32)))
    contenders = {TORCH: Contender(lambda: F.linear(x, weight) < limit)}
    for backend in backends(small=2 * m * n * k <= SLOW_OPERATIONS):
        matrix = backend.prepare(b_words, k)
        contenders[backend.name] = Contender(
            partial(backend.xor_gemm_threshold, a_words, matrix, thresholds),
            partial(unpack_bits, n_bits=n),
        )
    return Contest(contenders, [TORCH], equal_to(TORCH))


def _sign_gemm(m: int, n: int, k: int) -> Contest:
    a, b = random_floats((m, k), SEED), random_signs((n, k), SEED + 1)
    b_words = pack_signs(b)
    x, weight = torch.from_numpy(a), torch.from_numpy(b)
    contenders = {TORCH: Contender(lambda: F.linear(x, weight))}
    for backend in backends(small=2 * m * n * k <= SLOW_OPERATIONS):
        matrix = backend.prepare(b_words, k)
        contenders[backend.name] = Contender(partial(backend.sign_gemm, a, matrix))
    return Contest(contenders, [TORCH], equal_to(TORCH, float_tolerance(k)))


def _torch_convs(images: NDArray[np.float32], weights: NDArray[np.float32]) -> dict[str, Contender]:
    """Convolve channels-last images by torch, in both of its memory formats."""
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    weight = torch.from_numpy(np.ascontiguousarray(weights.transpose(0, 3, 1, 2)))

    def contender(memory_format: torch.memory_format) -> Contender:
        images, kernels = (v.contiguous(memory_format=memory_format) for v in (x, weight))
        return Contender(
            lambda: F.conv2d(images, kernels, padding=1), lambda y: y.permute(0, 2, 3, 1).numpy()
        )

    return {
        f"{TORCH} NCHW": contender(torch.contiguous_format),
        f"{TORCH} NHWC": contender(torch.channels_last),
    }


def _conv_weights(channels: int) -> tuple[NDArray[np.float32], NDArray[np.uint64], ConvGeometry]:
    """Draw as many 3×3 kernels as channels; Shape: (out, 3, 3, in)."""
    geometry = ConvGeometry(in_channels=channels, kernel_size=(3, 3), padding=(1, 1))
    weights = random_signs((channels, 3, 3, channels), SEED + 1)
    return weights, pack_signs(weights).reshape(channels, -1), geometry


def _xor_conv(channels: int, size: int) -> Contest:
    images = random_signs((1, size, size, channels), SEED)
    weights, words, geometry = _conv_weights(channels)
    contenders = _torch_convs(images, weights)
    baselines = list(contenders)
    image_words = pack_signs(images)
    for backend in backends(small=_conv_operations(channels, size) <= SLOW_OPERATIONS):
        matrix = backend.prepare_conv2d(words, geometry)
        contenders[backend.name] = Contender(
            partial(backend.xor_conv2d, image_words, matrix, geometry)
        )
    return Contest(contenders, baselines, equal_to(baselines[0]))


def _sign_conv(channels: int, size: int) -> Contest:
    images = random_floats((1, size, size, channels), SEED)
    weights, words, geometry = _conv_weights(channels)
    contenders = _torch_convs(images, weights)
    baselines = list(contenders)
    for backend in backends(small=_conv_operations(channels, size) <= SLOW_OPERATIONS):
        matrix = backend.prepare_conv2d(words, geometry)
        contenders[backend.name] = Contender(partial(backend.sign_conv2d, images, matrix, geometry))
    tolerance = float_tolerance(geometry.taps * channels)
    return Contest(contenders, baselines, equal_to(baselines[0], tolerance))


def _conv_operations(channels: int, size: int) -> int:
    return 2 * size * size * channels * channels * 9


def _gemm_cases(
    kind: str, build: Callable[[int, int, int], Contest], shapes: Sequence[Any]
) -> list[Case]:
    return [
        Case(f"{kind}/{m}x{n}x{k}", Work(operations=2 * m * n * k), partial(build, m, n, k))
        for m, n, k in shapes
    ]


def _conv_cases(
    kind: str, build: Callable[[int, int], Contest], shapes: Sequence[tuple[int, int]]
) -> list[Case]:
    return [
        Case(
            f"{kind}/{channels}ch-{size}x{size}",
            Work(operations=_conv_operations(channels, size)),
            partial(build, channels, size),
        )
        for channels, size in shapes
    ]


def cases() -> list[Case]:
    """List the cases: rows × outputs × inputs for products, channels and image for 3×3 convs."""
    packs = [
        Case(f"pack/{rows}x{n}", Work(bytes=4 * rows * n), partial(_pack, rows, n))
        for rows, n in PACK_SHAPES
    ]
    return [
        *packs,
        *_gemm_cases("xor-gemm", _xor_gemm, XOR_SHAPES),
        *_gemm_cases("xor-threshold", _xor_threshold, THRESHOLD_SHAPES),
        *_gemm_cases("sign-gemm", _sign_gemm, SIGN_SHAPES),
        *_conv_cases("xor-conv", _xor_conv, CONV_SHAPES),
        *_conv_cases("sign-conv", _sign_conv, SIGN_CONV_SHAPES),
    ]
