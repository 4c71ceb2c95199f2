"""Everything that has a registered name, with a line about each; torch is imported where needed."""

from __future__ import annotations

import dataclasses
import fnmatch
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnncli.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Entry:
    """A registered name and what it stands for."""

    name: str
    summary: str


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").split("\n", 1)[0].rstrip(".")


def _archs() -> list[Entry]:
    from bnncli.models import ARCHS

    return [Entry(arch.name, arch.summary) for arch in ARCHS.values()]


def _data() -> list[Entry]:
    from bnncli.data import SOURCES, find_source
    from bnncli.data.boards import board_tasks
    from bnncli.data.rules import EXAMPLES

    images = [
        Entry(
            source.name,
            f"{'' if source.whole else f'{source.n_train:,} + '}{source.n_test:,} images "
            f"{'x'.join(map(str, source.image_shape))}, {len(source.classes)} classes",
        )
        for source in (*SOURCES.values(), *map(find_source, EXAMPLES))
    ]
    return [*images, *(Entry(name, summary) for name, summary in board_tasks())]


def _quantizers() -> list[Entry]:
    from bnncli.quantizers import QUANTIZERS

    summaries = [Entry(name, preset.summary) for name, preset in QUANTIZERS.items()]
    return [Entry("float", "real numbers, not quantized"), *summaries]


def _surrogates() -> list[Entry]:
    from bnncli.quantizers import SURROGATES

    return [Entry(name, _first_line(kind)) for name, kind in SURROGATES.items()]


def _scales() -> list[Entry]:
    from bnncli.quantizers import SCALES

    return [
        Entry(name, f"{_first_line(type(scale))}{_set(scale)}") for name, scale in SCALES.items()
    ]


def _set(described: Any) -> str:
    """Name the fields of a dataclass that are not at their defaults."""
    given = [
        f"{field.name}={getattr(described, field.name)}"
        for field in dataclasses.fields(described)
        if getattr(described, field.name) != field.default
    ]
    return f" ({', '.join(given)})" if given else ""


def _norms() -> list[Entry]:
    from bnncli.norms import NORMS

    return [
        Entry(name, _first_line(kind) if inspect.isclass(kind) else "no norm")
        for name, kind in NORMS.items()
    ]


def _optimizers() -> list[Entry]:
    from bnncli.optim import OPTIMIZERS

    return [
        Entry(name, f"{preset.summary} [trains {preset.trains}; rate {preset.lr:g}]")
        for name, preset in OPTIMIZERS.items()
    ]


def _options() -> list[Entry]:
    from bnncli.models import ARCHS
    from bnncli.norms import NORMS
    from bnncli.optim import OPTIMIZERS
    from bnncli.options import options_of
    from bnncli.quantizers import QUANTIZERS

    owners = {
        **{f"arch {name}": arch.layers for name, arch in ARCHS.items()},
        **{f"weights {name}": preset.make for name, preset in QUANTIZERS.items()},
        **{f"norm {name}": make for name, make in NORMS.items()},
        **{f"optimizer {name}": preset.make for name, preset in OPTIMIZERS.items()},
    }
    listed = {owner: options_of(make) for owner, make in owners.items()}
    return [
        Entry(owner, ", ".join(f"{name}={value}" for name, value in options.items()))
        for owner, options in listed.items()
        if options
    ]


def _schedules() -> list[Entry]:
    from bnncli.training.schedules import SCHEDULES

    return [Entry(name, _first_line(schedule)) for name, schedule in SCHEDULES.items()]


def _recipes() -> list[Entry]:
    from bnncli.recipes import find_recipe, recipe_names

    return [Entry(name, find_recipe(name).about) for name in recipe_names()]


def _trainers() -> list[Entry]:
    from bnncli.training import experiment  # noqa: F401 (registers them)
    from bnncli.training.trainers import TRAINERS

    return [Entry(name, trainer.summary) for name, trainer in TRAINERS.items()]


def _wirings() -> list[Entry]:
    from bnncli.layers import WIRINGS

    return [Entry(name, _first_line(draw)) for name, draw in WIRINGS.items()]


def _parametrizations() -> list[Entry]:
    from bnncli.layers import PARAMETRIZATIONS

    return [Entry(name, _first_line(kind)) for name, kind in PARAMETRIZATIONS.items()]


def _inits() -> list[Entry]:
    from bnncli.layers import INITS

    return [Entry(name, _first_line(draw)) for name, draw in INITS.items()]


def _encoders() -> list[Entry]:
    from bnncli.layers import THRESHOLDS

    return [Entry(name, _first_line(place)) for name, place in THRESHOLDS.items()]


def _methods() -> list[Entry]:
    from bnncli.compare.methods import registered_methods

    return [Entry(name, known.method.about) for name, known in registered_methods().items()]


def _comparisons() -> list[Entry]:
    from bnncli.compare.matrix import find_preset, preset_names

    return [Entry(name, find_preset(name).about) for name in preset_names()]


def _augmentations() -> list[Entry]:
    from bnncli.data.augment import FORMS

    return [Entry(name, form) for name, form in FORMS.items()]


def _formats() -> list[Entry]:
    from bnncli.codegen import EMITTERS

    return [Entry(emitter.name, emitter.summary) for emitter in EMITTERS.values()]


def _passes() -> list[Entry]:
    from bnncli.minimize.passes import PASSES

    return [Entry(one.name, one.summary) for one in PASSES.values()]


KINDS: dict[str, Callable[[], list[Entry]]] = {
    "archs": _archs,
    "data": _data,
    "quantizers": _quantizers,
    "surrogates": _surrogates,
    "scales": _scales,
    "norms": _norms,
    "optimizers": _optimizers,
    "wirings": _wirings,
    "parametrizations": _parametrizations,
    "inits": _inits,
    "encoders": _encoders,
    "options": _options,
    "schedules": _schedules,
    "augmentations": _augmentations,
    "trainers": _trainers,
    "recipes": _recipes,
    "methods": _methods,
    "comparisons": _comparisons,
    "formats": _formats,
    "passes": _passes,
}


def entries(kind: str, pattern: str = "*") -> list[Entry]:
    """List the names of a kind that match a wildcard pattern; none at all is an error."""
    if kind not in KINDS:
        raise unknown_name("kind of name", kind, KINDS)
    everything = KINDS[kind]()
    found = [entry for entry in everything if fnmatch.fnmatchcase(entry.name, pattern)]
    if everything and not found:
        raise unknown_name(f"name among {kind}", pattern, [entry.name for entry in everything])
    return found
