"""Files named by their checksum: verify what is there, write what is not without halves."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_output(path: Path, *, force: bool) -> None:
    """Refuse to replace a file without ``force``, and what is no file, before any work is done."""
    if path.exists() and not path.is_file():
        raise UsageError(f"-o {path}: is no file; give a file, or leave -o out")
    if path.exists() and not force:
        raise BnnError(f"{path}: exists already; give --force to replace it, or another -o FILE")


@dataclass(frozen=True)
class DataFile:
    """Name one file by its content: size, SHA-256 and where it is published."""

    name: str
    n_bytes: int
    sha256: str
    urls: tuple[str, ...] = ()


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file as 64 hex digits."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BnnError(f"{path}: cannot be read ({error.strerror or error})") from error


def mismatch(where: str, file: DataFile, found: str, n_bytes: int, remedy: str) -> BnnError:
    """Build the error for content that is not the file it should be."""
    return BnnError(
        f"{where}: wrong or damaged content: expected sha256 {file.sha256} ({file.n_bytes} bytes), "
        f"found {found} ({n_bytes} bytes); {remedy}"
    )


def verify(path: Path, file: DataFile, remedy: str = "replace it by the published file") -> None:
    """Raise a :class:`BnnError` unless ``path`` holds exactly the content of ``file``."""
    found = sha256_of(path)
    if found != file.sha256:
        raise mismatch(str(path), file, found, path.stat().st_size, remedy)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block succeeds.

    When the block raises, ``path`` is as before and the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    part.touch(exist_ok=False)
    try:
        yield part
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
