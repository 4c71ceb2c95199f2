"""Suite ``logic-training``: forward and backward through gate layers, written in several ways.

One step is two layers on random wires, the gradients of the logits of both and, inside the second,
of its inputs. The optimizer is not in it. Every contender computes the same relaxed gates from the
same logits, so their outputs and gradients are compared before anything is timed.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from bnncli.bench import tree_training
from bnncli.bench.harness import (
    Case,
    Contender,
    Contest,
    Observation,
    Work,
    equal_to,
    spread,
    take_turns,
)
from bnncli.layers.gate_functions import gates
from bnncli.layers.parametrization import make_parametrization
from bnncli.training.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    Layer = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    """x, a, b and logits -> y."""

SIZES = (784, 8000, 8000)
BATCH = 128
OURS = "kernels"
STACK = "16-operation stack"
TOLERANCE = 2e-3
"""Of gradients that are sums over the batch and over gates, in float32 and in any order."""


def _parametrized(name: str, layer: Layer) -> Layer:
    parametrization = make_parametrization(name)
    return lambda x, a, b, logits: layer(x, a, b, parametrization.soft(logits))


def _feature_major(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    first, second = x.index_select(0, a), x.index_select(0, b)
    return (c[:, 0:1] + c[:, 1:2] * first) + second * (c[:, 2:3] + c[:, 3:4] * first)


def _feature_major_fused(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    first, second = x.index_select(0, a), x.index_select(0, b)
    constant = torch.addcmul(c[:, 0:1], c[:, 1:2], first)
    return torch.addcmul(constant, second, torch.addcmul(c[:, 2:3], c[:, 3:4], first))


def _batch_major(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    first, second = x.index_select(1, a), x.index_select(1, b)
    return (c[:, 0] + c[:, 1] * first) + second * (c[:, 2] + c[:, 3] * first)


def _sixteen(first: Tensor, second: Tensor) -> Tensor:
    """Evaluate all sixteen relaxed gates, in the order of their truth tables."""
    both = first * second
    either, differ = first + second - both, first + second - 2 * both
    low = [torch.zeros_like(both), 1 - either, first - both, 1 - second]
    low += [second - both, 1 - first, differ, 1 - both]
    high = [both, 1 - differ, first, 1 - second + both, second, 1 - first + both, either]
    return torch.stack([*low, *high, torch.ones_like(both)], dim=-1)


def _stack(x: Tensor, a: Tensor, b: Tensor, logits: Tensor) -> Tensor:
    weights = torch.softmax(logits, dim=1)
    return (_sixteen(x.index_select(1, a), x.index_select(1, b)) * weights).sum(dim=-1)


def _step(
    layer: Layer, sizes: tuple[int, ...], batch: int, n_logits: int, *, batch_major: bool
) -> Contender:
    """Make the step; what it gives holds the output and the gradients, features first."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.random((sizes[0], batch), dtype=np.float32))
    wires = [
        [torch.from_numpy(rng.integers(0, inputs, outputs, dtype=np.int32)) for _ in "ab"]
        for inputs, outputs in pairwise(sizes)
    ]
    logits = [
        torch.from_numpy(rng.standard_normal((n, n_logits), dtype=np.float32)).requires_grad_()
        for n in sizes[1:]
    ]
    grad = torch.from_numpy(rng.standard_normal((sizes[-1], batch), dtype=np.float32))
    x, upstream = (t.t().contiguous() if batch_major else t for t in (pixels, grad))

    def run() -> Tensor:
        y = x
        for (a, b), given in zip(wires, logits, strict=True):
            given.grad = None
            y = layer(y, a, b, given)
        y.backward(upstream)  # type: ignore[no-untyped-call]
        return y

    def read(y: Tensor) -> NDArray[np.float32]:
        given = y.detach().t() if batch_major else y.detach()
        parts = [given, *(t.grad for t in logits if t.grad is not None)]
        return np.concatenate([part.numpy().ravel() for part in parts])

    return Contender(run, read)


def _contest(name: str, sizes: tuple[int, ...], batch: int) -> Contest:
    n_logits = make_parametrization(name).n_logits
    step = partial(_step, sizes=sizes, batch=batch, n_logits=n_logits)
    contenders = {
        OURS: step(_parametrized(name, gates), batch_major=False),
        "torch, feature-major": step(_parametrized(name, _feature_major), batch_major=False),
        "torch, feature-major, addcmul": step(
            _parametrized(name, _feature_major_fused), batch_major=False
        ),
        "torch, batch-major": step(_parametrized(name, _batch_major), batch_major=True),
    }
    if name == "softmax":
        contenders[STACK] = step(_stack, batch_major=True)
    return Contest(contenders, [OURS], equal_to(OURS, TOLERANCE))


def least_bytes(sizes: tuple[int, ...], batch: int) -> int:
    """Count the bytes that a step must move if a row is in no cache when it is needed again.

    Forward a gate reads two rows and writes one; backward it reads three and, where its inputs
    have gradients, reads and writes two.
    """
    keep_freed_memory()  # as training does
    first, *others = (outputs * batch * 4 for outputs in sizes[1:])
    return 6 * first + 10 * sum(others)


def operations(sizes: tuple[int, ...], batch: int) -> int:
    """Count multiplications and additions: 6 a gate forward, 7 backward, 8 more for its inputs."""
    first, *others = (outputs * batch for outputs in sizes[1:])
    return 13 * first + 21 * sum(others)


def _limit(sizes: tuple[int, ...], batch: int) -> dict[str, float | str]:
    """Time a copy of the values of the last layer: what memory alone would cost a step."""
    source = np.ones((sizes[-1], batch), dtype=np.float32)
    target = np.empty_like(source)
    copy = Contender(partial(np.copyto, target, source))
    _, samples = take_turns({"copy": copy}, seconds=0.5)
    bytes_per_second = 2 * source.nbytes / spread(samples["copy"]).median
    return {
        "GB/s of a copy": bytes_per_second / 1e9,
        "MB that a step moves": least_bytes(sizes, batch) / 1e6,
        "ms at the speed of a copy": least_bytes(sizes, batch) / bytes_per_second * 1e3,
    }


def cases() -> list[Case | Observation]:
    """List the step with both common parametrizations."""
    work = Work(operations=operations(SIZES, BATCH), bytes=least_bytes(SIZES, BATCH), steps=1)
    shape = "-".join(map(str, SIZES))
    return [
        *(
            Case(f"step/{name}/{shape}-b{BATCH}", work, partial(_contest, name, SIZES, BATCH))
            for name in ("softmax", "iwp")
        ),
        *tree_training.cases(),
        Observation(f"limit/{shape}-b{BATCH}", partial(_limit, SIZES, BATCH)),
    ]
