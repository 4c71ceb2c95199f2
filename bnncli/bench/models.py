"""Suite ``models``: packed networks against the same networks in torch float32, by batch size."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bnncli.bench.harness import Case, Contender, Contest, Work, equal_to
from bnncli.bench.networks import (
    CIFAR_SHAPE,
    MNIST_SHAPE,
    Network,
    random_data,
    settled_network,
)
from bnncli.freeze import float_bytes, freeze
from bnncli.native import default_backend
from bnncli.packed import model_size
from bnncli.training.config import ModelSettings
from bnncli.training.evaluate import model_logits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

BATCHES = (1, 64, 1000)
TOLERANCE = 1e-5
"""Logits of the packed and hard forms agree within this part of the largest one.

A single wrong bit changes a sum by 2, hundreds of times more.
"""

NETWORKS = (
    Network("bnn-mlp-256-256", MNIST_SHAPE, ModelSettings(arch="bnn-mlp", widths=(256, 256))),
    Network("mlp-large-binary", MNIST_SHAPE, ModelSettings(arch="mlp-large", weights="binary")),
    Network("smallconv-binary", CIFAR_SHAPE, ModelSettings(arch="smallconv", weights="binary")),
    Network("bitconv", CIFAR_SHAPE, ModelSettings(arch="bitconv")),
    Network("bnn-vgg-quarter", CIFAR_SHAPE, ModelSettings(arch="bnn-vgg", width_factor=0.25)),
)


def _contest(network: Network, batch: int) -> Contest:
    data = random_data(network.image_shape, n_train=64, n_test=batch)
    images = data.test.images
    tensor = torch.from_numpy(images)
    floats, bits = (settled_network(m, data) for m in (network.floats, network.bits))
    packed = freeze(bits)
    plan = packed.plan(default_backend())
    hard: NDArray[np.float32] = model_logits(bits, tensor, form="hard").numpy()

    def run_floats(parts: tuple[Tensor, ...]) -> Tensor:
        with torch.inference_mode():
            return torch.cat([floats(part) for part in parts])

    def check(outputs: Mapping[str, NDArray[Any]]) -> None:
        tolerance = TOLERANCE * float(np.abs(hard).max())
        equal_to("hard", tolerance)({"hard": hard, "packed": outputs["packed"]})

    agreeing = int((plan.predict(images) == hard.argmax(axis=1)).sum())
    # A packed plan works in parts of batch_size images; torch may be faster that way as well.
    splits: dict[str, tuple[Tensor, ...]] = {"torch float32": (tensor,)}
    if batch > plan.batch_size:
        splits[f"torch float32 by {plan.batch_size}"] = torch.split(tensor, plan.batch_size)
    contenders = {
        name: Contender(partial(run_floats, parts), size_bytes=float_bytes(floats))
        for name, parts in splits.items()
    }
    contenders["packed"] = Contender(
        lambda: plan.logits(images), size_bytes=model_size(packed).total
    )
    return Contest(
        contenders,
        list(splits),
        check,
        {"packed == hard predictions": f"{agreeing} of {batch}"},
    )


def cases() -> list[Case]:
    """List every network at every batch size."""
    return [
        Case(f"{network.name}/batch-{n}", Work(images=n), partial(_contest, network, n))
        for network in NETWORKS
        for n in BATCHES
    ]
