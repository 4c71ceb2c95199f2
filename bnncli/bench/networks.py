"""Networks and images for the suites: random, fixed by a seed, shaped like the real data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bnncli.data.dataset import ImageData, ImageSplit
from bnncli.training.building import build
from bnncli.training.config import ModelSettings, Settings, TrainSettings
from bnncli.training.experiment import resolve

if TYPE_CHECKING:
    from torch import nn

SEED = 0
N_CLASSES = 10
MNIST_SHAPE = (1, 28, 28)
CIFAR_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Network:
    """An architecture on images of some shape, as bits and as the same shape in float32."""

    name: str
    image_shape: tuple[int, int, int]
    bits: ModelSettings

    @property
    def floats(self) -> ModelSettings:
        """Give the same layer sizes with float weights and activations."""
        return ModelSettings(
            arch=self.bits.arch,
            weights="float",
            activations="float",
            widths=self.bits.widths,
            width_factor=self.bits.width_factor,
        )


def random_split(n: int, image_shape: tuple[int, int, int], seed: int) -> ImageSplit:
    """Draw images of uniformly random bytes with random labels."""
    rng = np.random.default_rng(seed)
    return ImageSplit(
        images=rng.integers(0, 256, (n, *image_shape), dtype=np.uint8),
        labels=rng.integers(0, N_CLASSES, n, dtype=np.int64),
    )


def random_data(
    image_shape: tuple[int, int, int], *, n_train: int, n_validation: int = 1, n_test: int = 1
) -> ImageData:
    """Draw a data set of random images."""
    train, validation, test = (
        random_split(n, image_shape, SEED + i)
        for i, n in enumerate((n_train, n_validation, n_test))
    )
    classes = tuple(str(i) for i in range(N_CLASSES))
    return ImageData("random", classes, train, validation, test)


def resolved(model: ModelSettings, train: TrainSettings) -> Settings:
    """Give complete settings, as ``bnn train`` would use them."""
    return resolve(Settings(model=model, train=train))


def settled_network(model: ModelSettings, data: ImageData) -> nn.Sequential:
    """Build a network with random weights whose norms have seen the training images.

    Without that, activations of an untrained deep network are all of one sign.
    """
    network = build(resolved(model, TrainSettings(seed=SEED)), data)
    images = torch.from_numpy(data.train.images)
    with torch.no_grad():
        for _ in range(20):
            network(images)
    return network.eval()
