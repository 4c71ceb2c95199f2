"""The file of a packed model, ``.bnnpack``: preamble, JSON header, raw arrays, checksum.

    0   8 bytes  magic "BNNPACK\\0"
    8   u32      version
    12  u32      bytes of the header
    16  u64      bytes of the whole file
    24  header   JSON: metadata, steps (kind, numbers, arrays: dtype, shape, offset)
    …   arrays   little-endian, C order, each at a multiple of 8; offset 0 is the first array
    -32 SHA-256  of everything before

Integers are little-endian; gaps are zero. Nothing is executed on loading.
See ``book/decisions/packed-format.md``.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.data.files import replacing
from bnncli.errors import BnnError
from bnncli.packed import elementwise, layers  # noqa: F401 (registers the kinds of steps)
from bnncli.packed.model import PackedModel
from bnncli.packed.step import STEPS, ArraySpec, Step

if TYPE_CHECKING:
    from pathlib import Path

    from bnncli.packed.step import Array

MAGIC = b"BNNPACK\0"
VERSION = 1
_PREAMBLE = struct.Struct("<8sIIQ")
_CHECKSUM_BYTES = 32
_ALIGNMENT = 8


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _number(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def to_bytes(packed: PackedModel) -> bytes:
    """Serialize a packed model."""
    body = bytearray()
    steps: list[dict[str, Any]] = []
    for step in packed.steps:
        arrays: dict[str, dict[str, Any]] = {}
        for name, values in step.arrays().items():
            body.extend(bytes(_aligned(len(body)) - len(body)))
            # Offsets count from the first array: the header's own length is not known yet.
            arrays[name] = {
                "dtype": step.array_specs()[name].dtype.str,
                "shape": list(values.shape),
                "offset": len(body),
            }
            body.extend(np.ascontiguousarray(values).tobytes())
        numbers = {n: _number(getattr(step, n)) for n in step.specs() if n not in arrays}
        steps.append({"kind": step.kind, "numbers": numbers, "arrays": arrays})
    header = json.dumps({"metadata": dict(packed.metadata), "steps": steps}).encode()
    start = _aligned(_PREAMBLE.size + len(header))
    total = start + len(body) + _CHECKSUM_BYTES
    content = _PREAMBLE.pack(MAGIC, VERSION, len(header), total) + header
    content += bytes(start - len(content)) + bytes(body)
    return content + hashlib.sha256(content).digest()


def _check_preamble(content: bytes, name: str) -> int:
    """Refuse anything but an undamaged file of this version; return the header's length."""
    if len(content) < _PREAMBLE.size or content[: len(MAGIC)] != MAGIC:
        raise BnnError(
            f"{name}: starts with {content[: len(MAGIC)]!r}, expected a packed model "
            f"({MAGIC!r}); give a file that bnn wrote"
        )
    _, version, header_bytes, total = _PREAMBLE.unpack_from(content)
    if version != VERSION:
        raise BnnError(
            f"{name}: file version {version}, expected {VERSION}; update bnn or freeze the run "
            f"again"
        )
    if len(content) != total:
        raise BnnError(
            f"{name}: {len(content)} bytes, expected {total}; the file is truncated or damaged, "
            f"copy it or freeze the run again"
        )
    expected, found = content[-_CHECKSUM_BYTES:], hashlib.sha256(content[:-_CHECKSUM_BYTES])
    if found.digest() != expected:
        raise BnnError(
            f"{name}: damaged: sha256 {found.hexdigest()}, expected {expected.hex()}; copy it or "
            f"freeze the run again"
        )
    return int(header_bytes)


class _Reader:
    """Build steps from a decoded header and the bytes that follow it."""

    def __init__(self, body: memoryview, name: str) -> None:
        self._body = body
        self._name = name

    def malformed(self, what: str) -> BnnError:
        """Build the error for a header that does not describe the file."""
        return BnnError(f"{self._name}: malformed header: {what}; freeze the run again")

    def entry(self, record: object, key: str, kind: type) -> Any:
        """Look up a key whose value must be of a type."""
        value = record.get(key) if isinstance(record, dict) else None
        if type(value) is not kind:
            raise self.malformed(f"{key!r} is {value!r}, expected {kind.__name__}")
        return value

    def array(self, record: object, spec: ArraySpec) -> Array:
        """Read one array; it is read-only and shares the file's memory."""
        dtype, offset = self.entry(record, "dtype", str), self.entry(record, "offset", int)
        shape = self.entry(record, "shape", list)
        if dtype != spec.dtype.str or not all(type(n) is int and n > 0 for n in shape):
            raise self.malformed(f"array {dtype} {shape}, expected {spec.dtype.str}")
        end = offset + math.prod(shape) * spec.dtype.itemsize
        if offset < 0 or end > len(self._body):
            raise self.malformed(f"array at {offset} to {end} of {len(self._body)} bytes")
        return np.frombuffer(self._body[offset:end], dtype=spec.dtype).reshape(shape)

    def step(self, record: object) -> Step:
        """Build one step; its own checks refuse fields that do not fit."""
        kind = self.entry(record, "kind", str)
        if kind not in STEPS:
            raise self.malformed(f"step kind {kind!r}, known: {', '.join(sorted(STEPS))}")
        numbers = self.entry(record, "numbers", dict)
        arrays = self.entry(record, "arrays", dict)
        specs = STEPS[kind].array_specs()
        if (
            arrays.keys() != specs.keys()
            or numbers.keys() | arrays.keys() != STEPS[kind].specs().keys()
        ):
            raise self.malformed(f"{kind} with fields {sorted([*numbers, *arrays])}")
        values = {n: tuple(v) if isinstance(v, list) else v for n, v in numbers.items()}
        values |= {n: self.array(arrays[n], spec) for n, spec in specs.items()}
        return STEPS[kind](**values)


def from_bytes(content: bytes, name: str = "packed model") -> PackedModel:
    """Read a packed model from the bytes of its file; ``name`` is for error messages."""
    header_bytes = _check_preamble(content, name)
    end = len(content) - _CHECKSUM_BYTES
    start = _aligned(_PREAMBLE.size + header_bytes)
    reader = _Reader(memoryview(content)[min(start, end) : end], name)
    try:
        header = json.loads(content[_PREAMBLE.size : min(_PREAMBLE.size + header_bytes, end)])
    except ValueError as error:
        raise reader.malformed(str(error)) from error
    metadata = reader.entry(header, "metadata", dict)
    if not all(type(value) is str for value in metadata.values()):
        raise reader.malformed(f"metadata {metadata!r}, expected text values")
    steps = tuple(reader.step(record) for record in reader.entry(header, "steps", list))
    return PackedModel(steps, metadata)


def save_packed(packed: PackedModel, path: Path, *, force: bool = False) -> None:
    """Write a packed model; replace an existing file only with ``force``.

    The file appears whole or not at all.
    """
    if path.exists() and not force:
        raise BnnError(f"{path}: exists already; choose another name or force the overwrite")
    content = to_bytes(packed)
    try:
        with replacing(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise BnnError(
            f"{path}: cannot be written ({error.strerror or error}); choose a writable folder"
        ) from error


def load_packed(path: Path) -> PackedModel:
    """Read a packed model; refuse a damaged, truncated, newer or foreign file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BnnError(
            f"{path}: cannot be read ({error.strerror or error}); give the path of a packed model"
        ) from error
    return from_bytes(content, str(path))
