"""Where data sets lie: the folder given, then the user's cache, then a download.

A set is decoded once; the cache keeps its records as one ``.npy`` file named by content.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnncli.data.download import download
from bnncli.data.files import replacing, verify
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnncli.data.files import DataFile
    from bnncli.data.sources import DataSource


@dataclass(frozen=True)
class Found:
    """Say which files hold a data set: one path for each file of the bundle."""

    files: tuple[DataFile, ...]
    paths: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Give the folder of the files."""
        return self.paths[0].parent


def cache_dir() -> Path:
    """Give the cache folder: ``BNN_CACHE_DIR``, else the user's cache of this system."""
    given = os.environ.get("BNN_CACHE_DIR")
    if given:
        return Path(given)
    import pooch

    return Path(pooch.os_cache("bnn"))


def places(source: DataSource, data_dir: Path | None = None) -> list[Path]:
    """List the folders to search, best first; ``data_dir`` defaults to ``BNN_DATA_DIR``."""
    given = os.environ.get("BNN_DATA_DIR")
    if data_dir is None and given:
        data_dir = Path(given)
    own = [] if data_dir is None else [*(data_dir / name for name in source.folders), data_dir]
    return [*own, cache_dir() / source.name]


def find(source: DataSource, data_dir: Path | None = None) -> Found | None:
    """Find the first folder that holds a complete bundle; contents are not verified here."""
    for folder in places(source, data_dir):
        for bundle in source.bundles:
            paths = tuple(folder / file.name for file in bundle)
            if all(path.is_file() for path in paths):
                return Found(bundle, paths)
    return None


def offline() -> bool:
    """Say whether ``BNN_OFFLINE`` forbids downloads (set, and neither empty nor 0)."""
    return os.environ.get("BNN_OFFLINE", "") not in {"", "0"}


def missing(source: DataSource, data_dir: Path | None = None) -> BnnError:
    """Build the error for a data set that is nowhere, with the one thing to do about it."""
    searched = ", ".join(
        str(folder) if folder.is_dir() else f"{folder} (no such folder)"
        for folder in places(source, data_dir)
    )
    wanted = " or ".join(", ".join(file.name for file in bundle) for bundle in source.bundles)
    forbidden = " without BNN_OFFLINE" if offline() else ""
    return BnnError(
        f"data set {source.name!r} is not here: looked for {wanted} in {searched}; "
        f"run `bnn data fetch {source.name}`{forbidden}, or put the files in a folder and give it "
        "as --data-dir or BNN_DATA_DIR"
    )


def fetch(source: DataSource) -> Found:
    """Download the first bundle that is published into the cache; keep files that are right."""
    folder = cache_dir() / source.name
    bundle = next(bundle for bundle in source.bundles if all(file.urls for file in bundle))
    if offline():
        raise BnnError(
            f"data set {source.name!r} cannot be fetched: BNN_OFFLINE is set; unset it, or put "
            f"{', '.join(file.name for file in bundle)} in {folder}"
        )
    return Found(bundle, tuple(download(file, folder) for file in bundle))


def decoded_path(source: DataSource) -> Path:
    """Give the file of the cache that holds the decoded records, whether or not it is there."""
    return cache_dir() / "decoded" / f"{source.name}-{source.content_key}.npy"


def load_records(
    source: DataSource, data_dir: Path | None = None, *, may_download: bool = False
) -> NDArray[np.void]:
    """Load the decoded records of a data set, training images first, then test images.

    Files are verified by checksum before they are decoded. Once the cache holds the decoded
    records, those are used, and files that are still there are compared by size only.
    Shape: (n_train + n_test,) of (label: uint8, image: uint8 (channels, height, width)); possibly
    a read-only memory map.
    """
    if source.embedded:
        return _decode(source, ())
    found = find(source, data_dir)
    cached = decoded_path(source)
    if found is None or _sizes_agree(found):
        records = _open_decoded(source, cached)
        if records is not None:
            return records
    if found is not None:
        found = _verified(source, found, may_download=may_download)
    elif may_download:
        found = fetch(source)
    else:
        raise missing(source, data_dir)
    decoded = _decode(source, found.paths)
    _keep(decoded, cached)
    return decoded


def _record_type(source: DataSource) -> np.dtype[np.void]:
    return np.dtype([("label", np.uint8), ("image", np.uint8, source.image_shape)])


def _sizes_agree(found: Found) -> bool:
    pairs = zip(found.files, found.paths, strict=True)
    return all(path.stat().st_size == file.n_bytes for file, path in pairs)


def _verified(source: DataSource, found: Found, *, may_download: bool) -> Found:
    """Verify the files; damaged ones of our own cache are fetched again where that is allowed."""
    ours = found.folder == cache_dir() / source.name
    remedy = f"run `bnn data fetch {source.name}`" if ours else "replace it by the published file"
    try:
        for file, path in zip(found.files, found.paths, strict=True):
            verify(path, file, remedy)
    except BnnError:
        if not ours or not may_download or offline():
            raise
        return fetch(source)
    return found


def _decode(source: DataSource, paths: tuple[Path, ...]) -> NDArray[np.void]:
    """Decode a bundle and check its shape against the source."""
    parts = source.decode(source, paths)
    records = np.empty(source.n_train + source.n_test, dtype=_record_type(source))
    start = 0
    wanted = (("train", source.n_train), ("test", source.n_test))
    for (split, n_images), (images, labels) in zip(wanted, parts, strict=True):
        if len(images) != n_images or len(labels) != n_images:
            raise BnnError(
                f"{source.name}: {split} has {len(images)} images and {len(labels)} labels, "
                f"expected {n_images} of each"
            )
        if n_images and labels.max() >= len(source.classes):
            raise BnnError(
                f"{source.name}: {split} has label {labels.max()}, expected 0 to "
                f"{len(source.classes) - 1}"
            )
        records["image"][start : start + n_images] = images
        records["label"][start : start + n_images] = labels
        start += n_images
    return records


def _open_decoded(source: DataSource, path: Path) -> NDArray[np.void] | None:
    """Map the decoded records; None when there are none yet."""
    if not path.is_file():
        return None
    problem = "its shape is not that of the data set"
    try:
        records = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        problem = str(error)
    else:
        shape = (source.n_train + source.n_test,)
        if records.shape == shape and records.dtype == _record_type(source):
            return np.asarray(records)
    sys.stderr.write(f"warning: {path} is damaged ({problem}); decoding {source.name} again\n")
    return None


def _keep(records: NDArray[np.void], path: Path) -> None:
    """Write the decoded records to the cache; warn in one line when it cannot be written."""
    try:
        with replacing(path) as part, part.open("wb") as stream:
            np.save(stream, records)
    except OSError as error:
        sys.stderr.write(
            f"warning: {path.parent} cannot be written ({error.strerror or error}); the data set "
            "is decoded again each time; set BNN_CACHE_DIR to a writable folder\n"
        )
