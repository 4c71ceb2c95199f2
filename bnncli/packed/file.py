"""The file of a packed model, ``.bnn``: preamble, JSON header, raw arrays, checksum.

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
from bnncli.packed import (  # noqa: F401 (registers the kinds of steps)
    elementwise,
    layers,
    logic,
    uniform,
)
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


def _check_preamble(content: bytes) -> int:
    """Refuse anything but an undamaged file of this version; return the header's length."""
    if len(content) < _PREAMBLE.size or content[: len(MAGIC)] != MAGIC:
        raise BnnError(
            f"starts with {content[: len(MAGIC)]!r}, expected a packed model "
            f"({MAGIC!r}); give a file that bnn wrote"
        )
    _, version, header_bytes, total = _PREAMBLE.unpack_from(content)
    if version != VERSION:
        raise BnnError(
            f"file version {version}, expected {VERSION}; update bnn or freeze the run again"
        )
    if len(content) != total:
        raise BnnError(
            f"{len(content)} bytes, expected {total}; the file is truncated or damaged, "
            f"copy it or freeze the run again"
        )
    expected, found = content[-_CHECKSUM_BYTES:], hashlib.sha256(content[:-_CHECKSUM_BYTES])
    if found.digest() != expected:
        raise BnnError(
            f"damaged: sha256 {found.hexdigest()}, expected {expected.hex()}; copy it or "
            f"freeze the run again"
        )
    return int(header_bytes)


def _malformed(what: str) -> BnnError:
    return BnnError(f"malformed header: {what}; freeze the run again")


def _entry(record: object, key: str, kind: type) -> Any:
    """Look up a key whose value must be of a type."""
    value = record.get(key) if isinstance(record, dict) else None
    if type(value) is not kind:
        raise _malformed(f"{key!r} is {value!r}, expected {kind.__name__}")
    return value


def _array(record: object, spec: ArraySpec, body: memoryview) -> Array:
    """Read one array; it is read-only and shares the file's memory."""
    dtype, offset = _entry(record, "dtype", str), _entry(record, "offset", int)
    shape = _entry(record, "shape", list)
    if dtype != spec.dtype.str or not all(type(n) is int and n > 0 for n in shape):
        raise _malformed(f"array {dtype} {shape}, expected {spec.dtype.str}")
    end = offset + math.prod(shape) * spec.dtype.itemsize
    if offset < 0 or end > len(body):
        raise _malformed(f"array at {offset} to {end}, expected within {len(body)} bytes")
    return np.frombuffer(body[offset:end], dtype=spec.dtype).reshape(shape)


def _step(record: object, body: memoryview) -> Step:
    """Build one step; its own checks refuse fields that do not fit."""
    kind = _entry(record, "kind", str)
    if kind not in STEPS:
        raise _malformed(f"step kind {kind!r}, expected one of {', '.join(sorted(STEPS))}")
    numbers, arrays = _entry(record, "numbers", dict), _entry(record, "arrays", dict)
    specs, array_specs = STEPS[kind].specs(), STEPS[kind].array_specs()
    if arrays.keys() != array_specs.keys() or numbers.keys() | arrays.keys() != specs.keys():
        raise _malformed(f"{kind} with {sorted([*numbers, *arrays])}, expected {sorted(specs)}")
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in numbers.items()}
    values |= {n: _array(arrays[n], spec, body) for n, spec in array_specs.items()}
    return STEPS[kind](**values)


def _read(content: bytes, header_bytes: int) -> PackedModel:
    end = len(content) - _CHECKSUM_BYTES
    start = _aligned(_PREAMBLE.size + header_bytes)
    try:
        header = json.loads(content[_PREAMBLE.size : min(_PREAMBLE.size + header_bytes, end)])
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)) from error
    metadata = _entry(header, "metadata", dict)
    if not all(type(value) is str for value in metadata.values()):
        raise _malformed(f"metadata {metadata!r}, expected text values")
    body = memoryview(content)[min(start, end) : end]
    steps = tuple(_step(record, body) for record in _entry(header, "steps", list))
    return PackedModel(steps, metadata)


def from_bytes(content: bytes, name: str = "packed model") -> PackedModel:
    """Read a packed model from the bytes of its file; ``name`` is for error messages."""
    try:
        return _read(content, _check_preamble(content))
    except BnnError as error:
        raise BnnError(f"{name}: {error}") from error


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
