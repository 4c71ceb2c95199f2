"""The settings of a run: three frozen groups that read from and write to TOML."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tomli_w

from bnncli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


Options = dict[str, int | float | str | bool]
"""Options by name, of whatever is named beside them: a quantizer, an optimizer, a norm."""


@dataclass(frozen=True)
class ModelSettings:
    """What is trained. None means the architecture's own default."""

    arch: str = "smallconv"
    arch_options: Options | None = None
    weights: str | None = None
    weight_options: Options | None = None
    activations: str | None = None
    scale: str | None = None
    surrogate: str | None = None
    activation_surrogate: str | None = None
    norm: str | None = None
    norm_options: Options | None = None
    widths: tuple[int, ...] | None = None
    width_factor: float | None = None
    dropout: float | None = None
    pixels: str = "signed"


@dataclass(frozen=True)
class DataSettings:
    """What it is trained on. ``validation`` None means the data set's own default."""

    name: str = "digits"
    validation: int | None = None
    split_seed: int = 0
    augment: str = "none"


@dataclass(frozen=True)
class TrainSettings:
    """How it is trained. None means the optimizer's own default, or the architecture's trainer.

    The plain optimizer trains what a flip optimizer does not: norms, biases, real weights.
    ``restarts`` are those of the trainers for truth tables and rollouts, ``rounding`` that of the
    trainer for rollouts.
    """

    epochs: int = 20
    batch_size: int = 64
    trainer: str | None = None
    restarts: int | None = None
    rounding: float = 0.0
    optimizer: str = "adam"
    optimizer_options: Options | None = None
    lr: float | None = None
    momentum: float | None = None
    plain_optimizer: str | None = None
    plain_options: Options | None = None
    plain_lr: float | None = None
    weight_decay: float = 0.0
    latent_clip: float = 1.0
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    seed: int = 0
    precision: str = "float32"
    deterministic: bool = False


@dataclass(frozen=True)
class Settings:
    """All settings of a run; equal settings on one machine give equal bits."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    recipe: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give nested plain values, without those that are None (TOML has no null)."""
        return _without_none(dataclasses.asdict(self))

    def to_toml(self) -> str:
        """Write the settings as TOML."""
        return tomli_w.dumps(self.to_dict())

    def updated(self, values: Mapping[str, Mapping[str, Any] | str | None]) -> Settings:
        """Give a copy with nested values replaced; unknown names and wrong types are errors."""
        known = {"model": self.model, "data": self.data, "train": self.train}
        groups: dict[str, Any] = {}
        for name, given in values.items():
            if name == "recipe" and (given is None or isinstance(given, str)):
                groups[name] = given
            elif name in known and isinstance(given, dict):
                groups[name] = _update(known[name], name, given)
            elif name in known or name == "recipe":
                wanted = f"a section [{name}]" if name in known else "text"
                raise UsageError(f"setting {name}={given!r}: expected {wanted}")
            else:
                raise unknown_name("section of settings", name, [*known, "recipe"])
        return dataclasses.replace(self, **groups)


def read_settings(path: Path, base: Settings | None = None) -> Settings:
    """Read a TOML file over the defaults (or over ``base``)."""
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    # A recipe file also records what it reached; a run's settings do not depend on that.
    values.pop("result", None)
    values.pop("about", None)
    return (base or Settings()).updated(values)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _update(group: Any, section: str, given: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(type(group))
    values = {}
    for key, value in given.items():
        if key not in hints:
            raise unknown_name(f"setting in [{section}]", key, hints)
        values[key] = _convert(value, hints[key], f"{section}.{key}")
        if isinstance(values[key], dict):  # a table is laid over what is there, name by name
            values[key] = {**(getattr(group, key) or {}), **values[key]}
    return dataclasses.replace(group, **values)


def _convert(value: Any, hint: Any, name: str) -> Any:
    """Check a TOML value against a field's type; an integer may stand for a float."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
            return tuple(_convert(item, int, name) for item in value)
        if typing.get_origin(kind) is dict and isinstance(value, dict):
            (_, scalar) = typing.get_args(kind)
            return {key: _convert(item, scalar, f"{name}.{key}") for key, item in value.items()}
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(kind, type) and type(value) is kind:
            return value
    wanted = " or ".join(getattr(k, "__name__", str(k)) for k in kinds if k is not type(None))
    raise UsageError(f"setting {name}={value!r}: expected {wanted}")
