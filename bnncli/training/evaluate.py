"""Accuracy of a latent model in its soft and hard forms."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bnncli.data.exams import CLASSIFICATION
from bnncli.errors import UsageError
from bnncli.quantizers import soft_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from bnncli.data import ImageSplit
    from bnncli.data.exams import Answers, Exam

EVALUATION_BATCH = CLASSIFICATION.at_once


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode and give it back as it was."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def model_logits(
    model: nn.Module, images: Tensor, *, form: str = "hard", at_once: int | None = None
) -> Tensor:
    """Give the logits of uint8 images in the ``hard`` (quantized) or ``soft`` (relaxed) form.

    Shape: (n, channels, h, w) -> (n, classes), on the CPU.
    """
    if form not in {"hard", "soft"}:
        raise UsageError(f"form={form!r}; a latent model has the forms 'hard' and 'soft'")
    device = next(model.parameters()).device
    with evaluation(model), soft_form(model) if form == "soft" else nullcontext():
        batches = torch.split(images, at_once or EVALUATION_BATCH)
        parts = [model(batch.to(device)).cpu() for batch in batches]
    return torch.cat(parts)


def accuracy(model: nn.Module, split: ImageSplit, *, form: str = "hard") -> float:
    """Give the fraction of a split that the model classifies correctly in the named form."""
    if len(split) == 0:
        raise UsageError("accuracy of an empty split; give the data set a validation share > 0")
    logits = model_logits(model, torch.from_numpy(split.images), form=form)
    return float((logits.argmax(dim=1) == torch.from_numpy(split.labels)).double().mean())


def examine(model: nn.Module, exam: Exam, split: ImageSplit, *, form: str = "hard") -> Answers:
    """Put a latent model in the named form to a data set's test."""

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = model_logits(
            model, torch.from_numpy(images), form=form, at_once=exam.at_once
        ).numpy()
        return values

    return exam(logits, split)
