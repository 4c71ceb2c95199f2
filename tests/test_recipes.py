"""Recipes: each one resolves, builds on its data set's shape and says what it reached."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnncli.data import ImageData, ImageSplit, find_source
from bnncli.optim import make_optimizer
from bnncli.recipes import find_recipe, recipe_names
from bnncli.training.building import build
from bnncli.training.experiment import resolve

NAMES = recipe_names()


def blank_data(name: str) -> ImageData:
    """Make one black image a split, of the shape and classes of a data set."""
    source = find_source(name)
    split = ImageSplit(np.zeros((1, *source.image_shape), np.uint8), np.zeros(1, np.int64))
    return ImageData(name, tuple(source.classes), split, split, split)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_a_network_for_its_data(name):
    settings = resolve(find_recipe(name).settings)
    data = blank_data(settings.data.name)
    model = build(settings, data).eval()
    assert model(torch.from_numpy(data.test.images)).shape == (1, data.n_classes)
    make_optimizer(model, settings.train.optimizer, lr=settings.train.lr)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_what_it_is_and_what_it_reached(name):
    recipe = find_recipe(name)
    assert recipe.about.endswith(".")
    chance = 0.1
    assert 5 * chance < recipe.result["test_hard_accuracy"] <= 1
    assert recipe.result["seeds"] >= 1
    assert recipe.result["train_seconds"] > 0


def test_the_settings_of_a_recipe_carry_its_name():
    assert all(find_recipe(name).settings.recipe == name for name in NAMES)
