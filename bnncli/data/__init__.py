"""Data sets as arrays: digits (embedded), mnist, fashion-mnist and cifar10.

Nothing here imports torch; augmentation, which does, is imported from ``bnncli.data.augment``.
"""

from __future__ import annotations

from bnncli.data.dataset import ImageData, ImageSplit, load_dataset, load_source
from bnncli.data.files import DataFile
from bnncli.data.sources import SOURCES, DataSource, find_source
from bnncli.data.store import Found, cache_dir, fetch, find, missing

__all__ = [
    "SOURCES",
    "DataFile",
    "DataSource",
    "Found",
    "ImageData",
    "ImageSplit",
    "cache_dir",
    "fetch",
    "find",
    "find_source",
    "load_dataset",
    "load_source",
    "missing",
]
