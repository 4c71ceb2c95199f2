"""Named experiments: each TOML file here is a recipe, with the result it reached.

Sections ``[model]``, ``[data]``, ``[train]`` as in a run's ``config.toml``; ``[about] text`` says
what it is for; ``[result]`` what it reached. Importing this needs no torch.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnncli.errors import unknown_name
from bnncli.training.config import Settings, read_settings

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Recipe:
    """A named experiment."""

    name: str
    about: str
    settings: Settings
    result: dict[str, Any]


def recipe_names(folder: Path = FOLDER) -> list[str]:
    """List the registered recipes."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def find_recipe(name: str, folder: Path = FOLDER) -> Recipe:
    """Look a recipe up by name."""
    if name not in recipe_names(folder):
        raise unknown_name("recipe", name, recipe_names(folder))
    path = folder / f"{name}.toml"
    settings = read_settings(path).updated({"recipe": name})
    values = tomllib.loads(path.read_text())
    about = values.get("about", {}).get("text", "")
    return Recipe(name, about, settings, values.get("result", {}))


def settings_from(name_or_path: str) -> Settings:
    """Read the settings of a recipe by name, or of a TOML file by its path."""
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return read_settings(path)
    return find_recipe(name_or_path).settings
