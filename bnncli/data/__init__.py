"""Data sets as arrays: digits (embedded), mnist, fashion-mnist, cifar10, and rules (computed).

Nothing here imports torch; augmentation, which does, is imported from ``bnncli.data.augment``.
"""

from __future__ import annotations

from bnncli.data.dataset import ImageData, ImageSplit, load_dataset, load_source
from bnncli.data.files import DataFile
from bnncli.data.rules import canonical_rule, rule_table, step_board
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
    "canonical_rule",
    "fetch",
    "find",
    "find_source",
    "load_dataset",
    "load_source",
    "missing",
    "rule_table",
    "step_board",
]
