"""Load a data set as arrays, split into train, validation and test.

See ``book/decisions/data-splits.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncli.data.exams import CLASSIFICATION
from bnncli.data.sources import find_source
from bnncli.data.store import load_records
from bnncli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bnncli.data.exams import Exam
    from bnncli.data.sources import DataSource


@dataclass(frozen=True)
class ImageSplit:
    """Hold images and their labels.

    Shape: images (n, channels, height, width) uint8; labels (n,) int64.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """Hold the three splits of an image data set; ``exam`` says how a network is tested on one."""

    name: str
    classes: tuple[str, ...]
    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    exam: Exam = CLASSIFICATION

    @property
    def n_classes(self) -> int:
        """Count the classes."""
        return len(self.classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give (channels, height, width)."""
        _, channels, height, width = self.test.images.shape
        return channels, height, width


def load_dataset(
    name: str,
    *,
    data_dir: Path | None = None,
    validation: float | None = None,
    seed: int = 0,
    download: bool = False,
) -> ImageData:
    """Load a data set by name, with a validation split drawn from the training set.

    ``validation`` is a count, or as a float a fraction of the training set; None takes the
    default of the data set, 0 leaves it empty. The test set depends on nothing but the name.
    A rule's table (``rule:B3/S23``) is its whole domain: all three splits are the table.
    The files are searched in ``data_dir`` (default ``BNN_DATA_DIR``), then in the user's cache;
    ``download`` permits to fetch them.
    """
    return load_source(
        find_source(name), data_dir=data_dir, validation=validation, seed=seed, download=download
    )


def load_source(
    source: DataSource,
    *,
    data_dir: Path | None = None,
    validation: float | None = None,
    seed: int = 0,
    download: bool = False,
) -> ImageData:
    """Load a described data set; see :func:`load_dataset`."""
    n_validation = _validation_size(source, validation)
    if seed < 0:
        raise UsageError(f"seed={seed}: a seed is a non-negative integer")
    records = load_records(source, data_dir, may_download=download)
    if source.whole:
        every = _take(records, np.arange(source.n_train))
        return ImageData(source.name, source.classes, every, every, every, source.exam)
    labels = records["label"][: source.n_train]
    held_out = np.zeros(source.n_train, dtype=np.bool_)
    held_out[draw_validation(labels, n_validation, seed)] = True
    return ImageData(
        name=source.name,
        classes=source.classes,
        train=_take(records, np.flatnonzero(~held_out)),
        validation=_take(records, np.flatnonzero(held_out)),
        test=_take(records, np.arange(source.n_train, len(records))),
        exam=source.exam,
    )


def draw_validation(labels: NDArray[np.uint8], n_validation: int, seed: int) -> NDArray[np.intp]:
    """Draw ``n_validation`` indices, each class in proportion to its size.

    Class c gets n_validation * n_c / n of them, rounded by largest remainder (ties to the lower
    label); the members are the first of their class in a permutation by PCG64(seed).
    Shape: (n,) -> (n_validation,), ascending.
    """
    counts = np.bincount(labels)
    quota, remainder = np.divmod(counts * n_validation, max(len(labels), 1))
    order = np.argsort(-remainder, kind="stable")
    quota[order[: n_validation - quota.sum()]] += 1
    permutation = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    by_class = np.argsort(labels[permutation], kind="stable")
    rank = np.empty(len(labels), dtype=np.intp)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(permutation[rank < quota[labels[permutation]]])


def _validation_size(source: DataSource, validation: float | None) -> int:
    if validation is None:
        return source.n_validation
    if source.whole:
        raise UsageError(
            f"validation={validation}: {source.name} is a whole truth table, of which nothing is "
            "held out; leave validation out"
        )
    if isinstance(validation, int):
        if not 0 <= validation < source.n_train:
            raise UsageError(
                f"validation={validation}: {source.name} has {source.n_train} training images; "
                f"give 0 to {source.n_train - 1}"
            )
        return validation
    if not 0 <= validation < 1:
        raise UsageError(
            f"validation={validation}: a fraction lies in [0, 1); give a whole number for a count "
            "of images"
        )
    return round(validation * source.n_train)


def _take(records: NDArray[np.void], index: NDArray[np.intp]) -> ImageSplit:
    return ImageSplit(
        images=np.ascontiguousarray(records["image"][index]),
        labels=records["label"][index].astype(np.int64),
    )
