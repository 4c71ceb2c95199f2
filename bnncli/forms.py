"""Evaluate the forms of a trained network: soft, hard, packed, compiled; where they differ.

A packed model from a file is evaluated without torch; only what needs a latent model imports it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnncli.data import find_source, load_dataset
from bnncli.errors import UsageError
from bnncli.native import default_backend
from bnncli.packed import load_packed
from bnncli.packed.file import to_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from torch import nn

    from bnncli.data import ImageData
    from bnncli.data.exams import Answers, Logits
    from bnncli.packed import PackedModel
    from bnncli.training.config import Settings
    from bnncli.training.runs import Run

N_EXAMPLES = 5


@dataclass(frozen=True)
class FormResult:
    """How one form did in the whole test; ``parts`` are accuracies of a test in several parts."""

    form: str
    accuracy: float
    correct: int
    images_per_second: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Disagreement:
    """One test item, such as an image, that the hard and the packed form answer differently."""

    index: int
    label: int
    hard: int
    packed: int


@dataclass(frozen=True)
class Difference:
    """How far the packed form is from the hard form; examples are the first few disagreements."""

    n_different: int
    max_logit_difference: float
    examples: tuple[Disagreement, ...]


@dataclass(frozen=True)
class Evaluation:
    """What ``bnn eval`` found in the test of a data set, which has ``n_images`` items.

    ``packed_bytes`` is the size of the packed model's file; ``float_bytes`` is that of the weights
    of the same network as float32. ``compiled_differs`` counts the items that the compiled circuit
    answers in another way than the packed form, None where it was not evaluated.
    """

    source: str
    data: str
    items: str
    n_images: int
    backend: str
    forms: tuple[FormResult, ...]
    float_bytes: int | None
    packed_bytes: int
    sample_seed: int | None
    difference: Difference | None
    compiled_differs: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values; forms by their names."""
        values = asdict(self)
        values["forms"] = {form.pop("form"): form for form in values["forms"]}
        return values


def difference(hard: Answers, packed: Answers) -> Difference:
    """Compare two forms' answers item by item."""
    different = np.flatnonzero(hard.predicted != packed.predicted)
    return Difference(
        n_different=len(different),
        max_logit_difference=float(np.abs(hard.values - packed.values).max()),
        examples=tuple(
            Disagreement(
                int(i), int(hard.expected[i]), int(hard.predicted[i]), int(packed.predicted[i])
            )
            for i in different[:N_EXAMPLES]
        ),
    )


def run_settings(run: Run) -> Settings:
    """Read a run's settings; refuse a file that lost some of them."""
    from bnncli.training.experiment import resolve

    settings = run.settings()
    try:
        whole = resolve(settings) == settings
    except UsageError as error:
        raise run.damaged("config.toml", str(error)) from error
    if not whole:
        raise run.damaged("config.toml", "not all settings are there")
    return settings


def run_model(run: Run, data: ImageData) -> nn.Sequential:
    """Build a run's network with its best weights; refuse settings that are not whole."""
    from bnncli.training.experiment import load_run_model

    run_settings(run)
    return load_run_model(run, data)


def freeze_run(model: nn.Sequential, run: Run, *, sample_seed: int | None = None) -> PackedModel:
    """Freeze a run's model, with what it was made from as metadata."""
    from bnncli.freeze import float_bytes, freeze

    settings = run.settings()
    metadata = {
        "run": run.name,
        "arch": settings.model.arch,
        "data": settings.data.name,
        "weights": settings.model.weights or "float",
        "activations": settings.model.activations or "float",
        "float_bytes": str(float_bytes(model)),
    }
    if sample_seed is not None:
        metadata["sample_seed"] = str(sample_seed)
    return freeze(model, sample_seed=sample_seed, metadata=metadata)


def evaluate_file(
    path: Path,
    *,
    data_name: str | None,
    data_dir: Path | None,
    download: bool,
    compiled: bool = False,
) -> Evaluation:
    """Evaluate a packed model's file on a test set, by default that of its own data set.

    With ``compiled`` its circuit is extracted, compiled and evaluated too.
    """
    packed = load_packed(path)
    own = packed.metadata.get("data")
    name = data_name or own
    if name is None:
        raise UsageError(f"{path}: does not say what it was trained on; give --data NAME")
    if own is not None:
        _check_same_task(own, name)
    data = load_dataset(name, data_dir=data_dir, download=download)
    result, answers = packed_form(packed, data)
    extra = compiled_form(packed, data, answers) if compiled else Extra()
    floats, seed = packed.metadata.get("float_bytes"), packed.metadata.get("sample_seed")
    return Evaluation(
        source=str(path),
        data=name,
        items=data.exam.items,
        n_images=len(answers.predicted),
        backend=default_backend().name,
        forms=(result, *extra.forms),
        float_bytes=None if floats is None else int(floats),
        packed_bytes=path.stat().st_size,
        sample_seed=None if seed is None else int(seed),
        difference=None,
        compiled_differs=extra.differs,
    )


def evaluate_run(
    run: Run,
    *,
    device: torch.device,
    data_name: str | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    sample_seed: int | None = None,
    compiled: bool = False,
) -> Evaluation:
    """Evaluate a run's best weights on the whole test set in every form.

    The packed form is the run's own file. With ``sample_seed`` the weights are drawn once at
    random instead, hard and packed alike. With ``compiled`` the packed model's circuit is extracted,
    compiled and evaluated too.
    """
    from bnncli.freeze import float_bytes, sampled_model

    own = run.settings().data.name
    name = data_name or own
    _check_same_task(own, name)
    data = load_dataset(name, data_dir=data_dir, download=download)
    model = run_model(run, data)
    if sample_seed is None:
        packed = load_packed(run.packed) if run.packed.exists() else freeze_run(model, run)
    else:
        packed = freeze_run(model, run, sample_seed=sample_seed)
    hard_model = model if sample_seed is None else sampled_model(model, sample_seed).eval()
    soft, _ = latent_form(model.to(device), data, "soft")
    hard, answers = latent_form(hard_model.to(device), data, "hard")
    result, packed_answers = packed_form(packed, data)
    extra = compiled_form(packed, data, packed_answers) if compiled else Extra()
    return Evaluation(
        source=str(run.path),
        data=name,
        items=data.exam.items,
        n_images=len(answers.predicted),
        backend=default_backend().name,
        forms=(soft, hard, result, *extra.forms),
        float_bytes=float_bytes(model),
        packed_bytes=len(to_bytes(packed)),
        sample_seed=sample_seed,
        difference=difference(answers, packed_answers),
        compiled_differs=extra.differs,
    )


def packed_form(packed: PackedModel, data: ImageData) -> tuple[FormResult, Answers]:
    """Evaluate a packed model on the test set with the default backend."""
    plan = packed.plan(default_backend())
    return _timed("packed", plan.logits, data)


class Extra(NamedTuple):
    """The form of a compiled circuit, where it is asked for, and how many answers it changes."""

    forms: tuple[FormResult, ...] = ()
    differs: int | None = None


def compiled_form(packed: PackedModel, data: ImageData, answers: Answers) -> Extra:
    """Evaluate a packed model's circuit as compiled C; compare with the packed form's answers."""
    from bnncli.extract.running import compiled_logits

    result, own = _timed("compiled", compiled_logits(packed), data)
    return Extra((result,), int(np.count_nonzero(own.predicted != answers.predicted)))


def latent_form(model: nn.Module, data: ImageData, form: str) -> tuple[FormResult, Answers]:
    """Evaluate a latent model on the test set in its soft or hard form."""
    import torch

    from bnncli.training.evaluate import model_logits

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return model_logits(
            model, torch.from_numpy(images), form=form, at_once=data.exam.at_once
        ).numpy()

    return _timed(form, logits, data)


def _timed(form: str, logits: Logits, data: ImageData) -> tuple[FormResult, Answers]:
    logits(data.test.images[:1])  # the first call also loads and plans
    began = time.perf_counter()
    answers = data.exam(logits, data.test)
    seconds = time.perf_counter() - began
    right = answers.right
    correct, n = int(right.sum()), len(right)
    parts = {name: float(right[where].mean()) for name, where in answers.parts.items()}
    return FormResult(form, correct / n, correct, n / seconds, parts), answers


def _check_same_task(own: str, other: str) -> None:
    """Refuse a data set whose images or classes do not fit the network."""
    trained, given = find_source(own), find_source(other)
    fits = trained.image_shape == given.image_shape
    if not fits or len(trained.classes) != len(given.classes):
        raise UsageError(
            f"--data {other}: images {given.image_shape} in {len(given.classes)} classes, but the "
            f"model was trained on {own}: {trained.image_shape} in {len(trained.classes)}; "
            f"give a data set of that shape"
        )
