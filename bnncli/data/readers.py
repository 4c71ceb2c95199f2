"""Readers of the published formats: IDX (MNIST and its kin) and CIFAR-10 binary batches.

They check everything that the format states and give one line naming the file when it lies.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import struct
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from bnncli.data.files import DataFile, mismatch
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

IDX_UINT8 = 0x08
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError)


def read_idx(path: Path, item_shape: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Read a gzip-compressed IDX file of unsigned bytes, of items of ``item_shape`` if given.

    The file is two zero bytes, the type 0x08, the number of axes n, n big-endian uint32 lengths,
    then the bytes, last axis fastest (http://yann.lecun.com/exdb/mnist/).
    Shape: as the header says.
    """
    try:
        with gzip.open(path, "rb") as stream:
            magic = stream.read(4)
            if len(magic) != 4 or magic[:2] != b"\0\0" or magic[2] != IDX_UINT8 or magic[3] == 0:
                raise BnnError(
                    f"{path}: not an IDX file of unsigned bytes: magic 0x{magic.hex()}, "
                    "expected 0x000008nn with nn the number of axes"
                )
            header = stream.read(4 * magic[3])
            if len(header) != 4 * magic[3]:
                raise BnnError(f"{path}: IDX header is cut: {magic[3]} axes, {len(header)} bytes")
            shape = struct.unpack(f">{magic[3]}I", header)
            expected = math.prod(shape)
            body = stream.read(expected + 1)
    except (*DAMAGED, OverflowError) as error:
        raise BnnError(f"{path}: truncated or damaged gzip file ({error})") from error
    if len(body) != expected:
        found = f"more than {expected}" if len(body) > expected else str(len(body))
        raise BnnError(f"{path}: IDX header says shape {shape}, {expected} bytes; found {found}")
    if item_shape is not None and shape[1:] != item_shape:
        raise BnnError(f"{path}: IDX items have shape {shape[1:]}, expected {item_shape}")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape).copy()


def read_tar_members(path: Path, members: Sequence[DataFile]) -> list[bytes]:
    """Read the named members of a tar archive (plain, gz, bz2 or xz), each verified by SHA-256.

    Nothing is extracted to disk; members are matched by their last path component.
    """
    found: dict[str, bytes] = {}
    wanted = {member.name: member for member in members}
    try:
        with tarfile.open(path, "r|*") as archive:
            for info in archive:
                name = PurePosixPath(info.name).name
                if name in wanted and info.isfile() and info.size == wanted[name].n_bytes:
                    stream = archive.extractfile(info)
                    found[name] = b"" if stream is None else stream.read()
                elif name in wanted:
                    found[name] = b""
    except DAMAGED as error:
        raise BnnError(f"{path}: truncated or damaged archive ({error})") from error
    for member in members:
        if member.name not in found:
            raise BnnError(
                f"{path}: has no member {member.name}; expected {', '.join(wanted)}; "
                "replace it by the published archive"
            )
        content = found[member.name]
        digest = hashlib.sha256(content).hexdigest()
        if digest != member.sha256:
            where = f"{path}, member {member.name}"
            raise mismatch(where, member, digest, len(content), "replace the archive")
    return [found[member.name] for member in members]


def parse_cifar(content: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split CIFAR-10 binary records into images and labels.

    A record is 1 label byte, then 1,024 red, 1,024 green and 1,024 blue bytes, row by row
    (https://www.cs.toronto.edu/~kriz/cifar.html).
    Shape: n * 3073 bytes -> (n, 3, 32, 32), (n,).
    """
    record = 1 + 3 * 32 * 32
    if not content or len(content) % record:
        raise BnnError(
            f"{where}: {len(content)} bytes are no whole number of {record}-byte records"
        )
    table = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0]
