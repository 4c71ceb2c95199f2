"""Laws of trees slid over images: windows, numpy and every instruction set give the same."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bnncli.bench import harness, tree_training
from bnncli.data import SOURCES
from bnncli.errors import BnnError, UsageError
from bnncli.freeze import freeze
from bnncli.layers import Features, GroupSum, LogicConv2d, OrPool2d, Planes, Thermometer
from bnncli.layers.logic_conv import draw_leaves
from bnncli.layers.tree_functions import largest_neighbours, trees, windows_trees
from bnncli.models import Quantization, build_model
from bnncli.native import available_isas, default_backend
from bnncli.native.kernels import load_library
from bnncli.native.logic_trees import LARGEST_POOL, MOST_LEVELS, CTrees, NumpyTrees, Trees

ISAS = available_isas()
REFERENCE = NumpyTrees()
SHAPES = [
    # channels, height, width, outputs, depth, kernel, padding, pool
    (3, 7, 6, 5, 3, 3, 1, 1),
    (2, 8, 6, 4, 2, 3, 1, 2),
    (3, 6, 9, 5, 1, 3, 1, 3),
    (2, 5, 7, 3, 4, 2, 0, 2),
    (1, 4, 5, 2, 6, 3, 1, 1),
    (2, 6, 4, 3, 5, 3, 1, 2),
    (4, 3, 3, 2, 3, 3, 0, 1),
    (1, 2, 3, 7, 2, 1, 2, 1),
]


def draw(seed: int, shape: tuple[int, ...], batch: int, bits: bool = False) -> Trees:
    """Draw operands; trees of bits tie, as those of a trained network do."""
    channels, height, width, outputs, depth, kernel, padding, pool = shape
    rng = np.random.default_rng(seed)
    x = rng.random((channels, height, width, batch), dtype=np.float32)
    coefficients = rng.uniform(-1, 1, (outputs * (2**depth - 1), 4)).astype(np.float32)
    if bits:
        x = (x < 0.4).astype(np.float32)
        tables = rng.integers(0, 2, (len(coefficients), 4))
        f00, f10, f01, f11 = tables.T.astype(np.float32)
        coefficients = np.stack([f00, f10 - f00, f01 - f00, f11 - f10 - f01 + f00], axis=1)
    leaves = rng.integers(0, channels * kernel**2, (outputs, 2**depth), dtype=np.int32)
    return Trees(x, leaves, coefficients, kernel, padding, pool)


def run(backend, operands: Trees, threads: int = 1) -> list[np.ndarray | None]:
    """Give outputs, winners and all gradients."""
    y, winners = backend.forward(operands, winners=True, threads=threads)
    grad = np.random.default_rng(7).standard_normal(y.shape, dtype=np.float32)
    found = [y, winners]
    for need_x in (True, False):
        found += backend.backward(operands, winners, grad, need_x=need_x, threads=threads)
    return found


def assert_close(found, expected, relative: float = 1e-6) -> None:
    """Compare relative to the largest: sums of thousands in one order and in another."""
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            scale = max(1.0, float(np.abs(theirs).max()))
            np.testing.assert_allclose(mine / scale, theirs / scale, rtol=0, atol=relative)


def levels_of(operands: Trees, dtype: torch.dtype) -> list[Tensor]:
    counts = [len(operands.leaves) * 2**level for level in reversed(range(operands.depth))]
    parts = torch.from_numpy(operands.coefficients).to(dtype).split(counts)
    return [part.clone().requires_grad_() for part in parts]


def on_windows(x: Tensor, leaves: Tensor, levels: list[Tensor], operands: Trees) -> Tensor:
    """Compute the same in torch, on windows laid out in memory."""
    p = operands.padding
    padded = nn.functional.pad(x, (0, 0, p, p, p, p))
    places = windows_trees(padded, leaves, levels, operands.kernel)
    return largest_neighbours(places, operands.pool)


def run_torch(operands: Trees, compute, dtype: torch.dtype = torch.float32) -> list[np.ndarray]:
    x = torch.from_numpy(operands.x).to(dtype).requires_grad_()
    levels = levels_of(operands, dtype)
    y = compute(x, torch.from_numpy(operands.leaves), levels, operands)
    grad = np.random.default_rng(7).standard_normal(y.shape, dtype=np.float32)
    y.backward(torch.from_numpy(grad).to(dtype))
    gradients = [x.grad, torch.cat([level.grad for level in levels])]
    return [t.detach().numpy().astype(np.float32) for t in (y, *gradients)]


def by_kernels(x: Tensor, leaves: Tensor, levels: list[Tensor], operands: Trees) -> Tensor:
    sizes = {"kernel_size": operands.kernel, "padding": operands.padding, "pool": operands.pool}
    return trees(x, leaves, levels, **sizes)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", [1, 16, 31, 63, 64, 65, 130])
def test_every_instruction_set_agrees_with_numpy(isa, batch):
    for shape, bits in product(SHAPES, (False, True)):
        operands = draw(batch, shape, batch, bits)
        assert_close(run(CTrees(isa), operands), run(REFERENCE, operands), 5e-6)


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 3),
    places=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    outputs=st.integers(1, 4),
    depth=st.integers(1, MOST_LEVELS),
    kernel=st.integers(1, 3),
    pool=st.integers(1, 3),
    batch=st.integers(1, 70),
    bits=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_shape_agrees_with_numpy(
    isa, seed, channels, places, outputs, depth, kernel, pool, batch, bits
):
    padding = (kernel - 1) // 2
    height, width = (pool * n - 2 * padding + kernel - 1 for n in places)
    shape = (channels, height, width, outputs, depth, kernel, padding, pool)
    operands = draw(seed, shape, batch, bits)
    assert_close(run(CTrees(isa), operands), run(REFERENCE, operands), 5e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [SHAPES[1], (2, 50, 60, 2, 3, 3, 1, 2)], ids=["small", "wide"])
def test_threads_change_no_bit(isa, shape):
    operands = draw(1, shape, 200)
    alone = run(CTrees(isa), operands)
    for threads in (2, 3):
        for mine, theirs in zip(run(CTrees(isa), operands, threads), alone, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("batch", [1, 31, 63, 65])
@pytest.mark.parametrize("bits", [False, True], ids=["between", "bits"])
def test_the_function_is_that_of_windows_laid_out(batch, bits):
    """Outputs and gradients, those of ties too, within float32's last digits."""
    for shape in SHAPES:
        operands = draw(batch, shape, batch, bits)
        assert_close(run_torch(operands, by_kernels), run_torch(operands, on_windows))


def test_numpy_gives_the_gradients_that_torch_derives():
    for shape, bits in product(SHAPES, (False, True)):
        operands = draw(3, shape, 5, bits)
        y, _, dx, dc, _, _ = run(REFERENCE, operands)
        assert_close([y, dx, dc], run_torch(operands, on_windows, torch.float64))


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_gradients_are_those_of_small_differences(shape):
    operands = draw(5, shape, 2)
    x = torch.from_numpy(operands.x).double().requires_grad_()
    leaves, levels = torch.from_numpy(operands.leaves), levels_of(operands, torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, *levels: by_kernels(x, leaves, list(levels), operands), (x, *levels)
    )


def test_the_first_of_equals_wins_and_takes_the_whole_gradient():
    x = torch.tensor([[0.0, 1, 0, 0], [1, 1, 0, 0]]).view(1, 2, 4, 1).requires_grad_()
    y = OrPool2d(2)(x)
    y.backward(torch.tensor([3.0, 5.0]).view(1, 1, 2, 1))
    assert y.flatten().tolist() == [1, 0]
    assert x.grad.flatten().tolist() == [0, 3, 5, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("sampling", ["soft", "hard"])
@pytest.mark.parametrize("isa", ["kernels", "windows"])
def test_a_pooled_convolution_is_a_convolution_and_a_pool(monkeypatch, isa, sampling):
    if isa == "windows":
        monkeypatch.setattr("bnncli.layers.tree_functions.uses_kernels", lambda *_: False)
    options = {"depth": 2, "padding": 1, "init": "random", "sampling": sampling, "strength": 1.0}
    given = (torch.rand(2, 6, 8, 33) < 0.3).float()
    found = []
    for pool, after in ((2, nn.Identity()), (1, OrPool2d(2))):
        torch.manual_seed(4)
        conv = LogicConv2d(2, 5, 3, rng=np.random.default_rng(4), pool=pool, **options)
        x = given.clone().requires_grad_()
        y = after(conv(x))
        y.square().sum().backward()
        found.append([y, x.grad, *(level.gate_logits.grad for level in conv.trees())])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_pixels_that_learn_nothing_get_no_gradient():
    operands = draw(0, SHAPES[1], 9)
    for backend in (REFERENCE, *map(CTrees, ISAS)):
        y, winners = backend.forward(operands, winners=True)
        assert backend.backward(operands, winners, y, need_x=False)[0] is None
        assert backend.forward(operands)[1] is None


def test_leaves_are_those_that_were_drawn_and_stay_in_the_checkpoint():
    torch.manual_seed(0)
    conv = LogicConv2d(3, 4, 3, rng=np.random.default_rng(8), depth=2, pool=2)
    drawn = draw_leaves(3, 4, 3, 2, 2, np.random.default_rng(8))
    assert np.array_equal(conv.leaves().numpy(), drawn)
    assert sorted(conv.state_dict()) == sorted(
        f"levels.{level}.{name}"
        for level in range(2)
        for name in ("gate_logits", "progress", "wiring.a", "wiring.b")
    )
    other = LogicConv2d(3, 4, 3, rng=np.random.default_rng(9), depth=2)
    other.load_state_dict(conv.state_dict())
    assert torch.equal(other.leaves(), conv.leaves())


@pytest.mark.parametrize("pool", [1, 2])
def test_frozen_pooled_convolutions_give_what_the_hard_form_gives(pool):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    options = {"init": "random", "strength": 1.0, "padding": 1, "pool": pool}
    model = nn.Sequential(
        Thermometer((1, 6, 8), n_levels=2),
        Planes(2, 6, 8),
        LogicConv2d(2, 4, 3, rng=rng, depth=3, **options),
        Features(),
        GroupSum(4 * 48 // pool**2, 4, tau=2.0),
    ).eval()
    images = rng.integers(0, 256, (70, 1, 6, 8), dtype=np.uint8)
    with torch.inference_mode():
        hard = model(torch.from_numpy(images)).numpy()
    assert np.array_equal(freeze(model).logits(images, default_backend()), hard)


def test_the_architecture_pools_where_sizes_are_even():
    """28 is halved twice; 7 is odd and stays."""
    torch.manual_seed(0)
    model = build_model(
        "logic-conv",
        image_shape=SOURCES["mnist"].image_shape,
        n_classes=10,
        quantization=Quantization(weights="gates", activations="bits"),
        pixels=nn.Identity(),
        widths=(20,),
        channels=2,
        convolutions=3,
    )
    pools = [m.pool for m in model.modules() if isinstance(m, LogicConv2d)]
    assert pools == [2, 2, 1]


@pytest.mark.parametrize("backend", [REFERENCE, *map(CTrees, ISAS)], ids=lambda b: b.name)
def test_malformed_operands_are_refused_in_one_line(backend):
    good = draw(0, SHAPES[1], 4)
    y, winners = backend.forward(good, winners=True)
    calls = [
        lambda: backend.forward(good._replace(x=good.x.astype(np.float64))),
        lambda: backend.forward(good._replace(x=good.x[..., ::2])),
        lambda: backend.forward(good._replace(x=good.x[..., :0].copy())),
        lambda: backend.forward(good._replace(x=good.x[0])),
        lambda: backend.forward(good._replace(leaves=good.leaves[:, :3].copy())),
        lambda: backend.forward(good._replace(leaves=good.leaves[:0])),
        lambda: backend.forward(good._replace(leaves=good.leaves + 18)),
        lambda: backend.forward(good._replace(leaves=good.leaves - 18)),
        lambda: backend.forward(good._replace(leaves=np.tile(good.leaves, 32))),
        lambda: backend.forward(good._replace(coefficients=good.coefficients[:-1])),
        lambda: backend.forward(good._replace(kernel=0)),
        lambda: backend.forward(good._replace(kernel=9)),
        lambda: backend.forward(good._replace(padding=-1)),
        lambda: backend.forward(good._replace(pool=0)),
        lambda: backend.forward(good._replace(pool=5)),
        lambda: backend.forward(good, threads=0),
        lambda: backend.backward(good, None, y),
        lambda: backend.backward(good, winners[:1], y),
        lambda: backend.backward(good, winners + np.uint8(good.pool**2), y),
        lambda: backend.backward(good, winners, y[..., :1]),
        lambda: backend.backward(good, winners, y, threads=0),
    ]
    for call in calls:
        with pytest.raises(BnnError) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert "expected" in str(caught.value)


def test_pools_that_do_not_divide_are_refused():
    conv = LogicConv2d(1, 2, 3, rng=np.random.default_rng(0), depth=1, pool=2)
    with pytest.raises(UsageError, match="5x6 does not divide into windows of 2x2"):
        conv(torch.rand(1, 7, 8, 3))


@pytest.mark.parametrize(
    ("name", "value"), [("in_channels", 0), ("kernel_size", 0), ("padding", -1), ("pool", 0)]
)
def test_convolutions_that_cannot_exist_are_refused_in_one_line(name, value):
    sizes = {"in_channels": 1, "out_channels": 2, "kernel_size": 3, name: value}
    with pytest.raises(UsageError, match=f"{name}={value}.*expected at least") as caught:
        LogicConv2d(**sizes, rng=np.random.default_rng(0))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not ISAS, reason="the C kernels are not built")
def test_the_limits_are_those_of_the_kernels():
    functions = load_library().functions
    assert (functions.BNN_TREE_DEPTH, functions.BNN_TREE_POOL) == (MOST_LEVELS, LARGEST_POOL)


@pytest.mark.parametrize(
    "shape",
    [
        (1, LARGEST_POOL + 1, LARGEST_POOL + 1, 2, 1, 1, 0, LARGEST_POOL + 1),
        (1, 3, 3, 2, MOST_LEVELS + 1, 2, 0, 1),
    ],
    ids=["pool", "depth"],
)
def test_what_is_too_large_for_the_kernels_is_computed_in_torch(shape):
    operands = draw(0, shape, 3)
    assert_close(run_torch(operands, by_kernels), run_torch(operands, on_windows))


def test_every_contender_of_the_bench_computes_the_same_step():
    shape = tree_training.TreeShape(size=6, outputs=3, depth=2, batch=5)
    harness.check_outputs("law", tree_training.contest(shape))
    assert shape.operations() == 36 * 5 * (6 * 9 + (13 * 9 + 6 * 3) // 4)
