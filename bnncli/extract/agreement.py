"""Whether a design answers as the packed model that it was made from, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.data import find_source, load_dataset
from bnncli.data.store import decoded_path, find
from bnncli.extract.running import answers
from bnncli.native import default_backend

if TYPE_CHECKING:
    from pathlib import Path

    from bnncli.circuit import Design
    from bnncli.packed import PackedModel


@dataclass(frozen=True)
class Agreement:
    """On how many test images design and packed model give the same answer."""

    data: str
    n_images: int
    n_equal: int

    def sentence(self) -> str:
        """Say it in a line."""
        if self.n_equal == self.n_images:
            return (
                f"answers as the packed model on all {self.n_images:,} test images of {self.data}"
            )
        return (
            f"answers as the packed model on {self.n_equal:,} of {self.n_images:,} test images of "
            f"{self.data}"
        )


def agreement(
    design: Design, packed: PackedModel, *, data_dir: Path | None = None
) -> Agreement | None:
    """Compare answers on the test set of the model's data; None where that set is not here."""
    name = packed.metadata.get("data")
    if name is None:
        return None
    source = find_source(name)
    if (
        not source.embedded
        and find(source, data_dir) is None
        and not decoded_path(source).is_file()
    ):
        return None
    images = load_dataset(name, data_dir=data_dir).test.images
    logits = packed.plan(default_backend()).logits(images)
    found = answers(design, images)
    if not design.channels:
        expected = logits.argmax(axis=1)
    elif design.channels == 1 and logits.shape[1] == 2:
        expected = (logits[:, 1:] > logits[:, :1]).astype(np.int64)
    else:
        expected = (logits > 0).astype(np.int64)
    same = found == expected
    equal = same if same.ndim == 1 else same.all(axis=1)
    return Agreement(name, len(images), int(equal.sum()))
