"""The file of a packed model: round trip, and one clear refusal of everything else."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest

from bnncli.bits import pack_bits
from bnncli.errors import BnnError
from bnncli.packed import PackedModel, load_packed, logic, save_packed
from bnncli.packed import elementwise as ew
from bnncli.packed import layers as la
from bnncli.packed import uniform as un
from bnncli.packed.file import VERSION, from_bytes, to_bytes
from bnncli.packed.step import STEPS

RNG = np.random.default_rng(0)


def words(*shape):
    return pack_bits(RNG.integers(0, 2, shape).astype(bool))


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


CONV = {"kernel_size": (3, 3), "stride": (1, 2), "padding": (1, 0)}

# One step of every kind, in an order in which the forms fit; the sizes need not.
EVERY_KIND = (
    ew.Pixels(gain=floats(3), offset=floats(3)),
    la.FloatConv2d(weight=floats(3, 3, 3, 2), stride=(1, 1), padding=(0, 1)),
    la.SignConv2d(in_channels=3, words=words(5, 27), **CONV),
    la.TernaryConv2d(in_channels=3, planes=words(2, 5, 27), **CONV),
    un.UniformConv2d(in_channels=5, planes=words(6, 5, 45), n_levels=64, **CONV),
    ew.Affine(gain=floats(1), offset=floats(5)),
    ew.RMSNorm(weight=floats(5), eps=1e-5),
    ew.ReLU(),
    ew.Sign(),
    ew.RoundTernary(),
    ew.MaxPool(size=2),
    ew.Binarize(),
    la.ThresholdConv2d(
        in_channels=5, words=words(4, 45), thresholds=np.arange(4, dtype=np.int32), **CONV
    ),
    ew.PoolBits(size=2, any_mask=words(4)),
    la.XnorConv2d(in_channels=5, words=words(4, 45), **CONV),
    ew.Binarize(),
    ew.FlattenBits(channels=4),
    la.ThresholdLinear(
        in_features=70, words=words(3, 70), thresholds=np.array([-(2**31), 0, 71], np.int32)
    ),
    la.XnorLinear(in_features=3, words=words(6, 3)),
    ew.Flatten(),
    la.SignLinear(in_features=6, words=words(6, 6)),
    la.TernaryLinear(in_features=6, planes=words(2, 6, 6)),
    un.UniformLinear(in_features=6, planes=words(4, 6, 6), n_levels=16),
    la.FloatLinear(weight=floats(10, 6)),
)
# The other kind that takes pixels, so it heads a model of its own.
LOGIC = logic.LogicNetwork(
    pixel=np.array([3, 0, 3], np.int32),
    threshold=np.array([0, 255, 7], np.uint8),
    op=np.array([8, 6], np.uint8),
    a=np.array([2, 5], np.int32),
    b=np.array([3, 4], np.int32),
    outputs=np.array([5, 6, 1, 0], np.int32),
    n_groups=2,
)
MODEL = PackedModel(EVERY_KIND, {"arch": "every-kind", "note": "−1 ⇔ bit 1"})
CONTENT = to_bytes(MODEL)


def reseal(header: bytes, body: bytes, version: int = VERSION) -> bytes:
    """Build a file with a valid checksum around any header and body."""
    start = -(-(24 + len(header)) // 8) * 8
    total = start + len(body) + 32
    content = struct.pack("<8sIIQ", b"BNNPACK\0", version, len(header), total) + header
    content += bytes(start - len(content)) + body
    return content + hashlib.sha256(content).digest()


def header_and_body():
    (n,) = struct.unpack_from("<I", CONTENT, 12)
    return CONTENT[24 : 24 + n], CONTENT[-(-(24 + n) // 8) * 8 : -32]


def test_every_kind_survives_a_round_trip(tmp_path):
    assert {step.kind for step in (*EVERY_KIND, LOGIC)} == set(STEPS)
    assert from_bytes(to_bytes(PackedModel((LOGIC,)))).steps == (LOGIC,)
    path = tmp_path / "folder" / "model.bnn"
    save_packed(MODEL, path)
    assert load_packed(path) == MODEL
    assert [p.name for p in path.parent.iterdir()] == ["model.bnn"]
    assert to_bytes(load_packed(path)) == path.read_bytes() == CONTENT == reseal(*header_and_body())


def test_arrays_are_plain_little_endian_and_aligned():
    header, body = header_and_body()
    records = [a for step in json.loads(header)["steps"] for a in step["arrays"].values()]
    assert all(record["offset"] % 8 == 0 for record in records)
    arrays = [a for step in EVERY_KIND for a in step.arrays().values()]
    for record, values in zip(records, arrays, strict=True):
        raw = np.ascontiguousarray(values).tobytes()
        assert body[record["offset"] :][: len(raw)] == raw
        assert record["dtype"][0] == "<"


def test_a_flipped_bit_anywhere_is_refused():
    for i in range(len(CONTENT)):
        damaged = bytearray(CONTENT)
        damaged[i] ^= 1 << (i % 8)
        with pytest.raises(BnnError, match=r"^damaged\.bnn: .*expected") as caught:
            from_bytes(bytes(damaged), "damaged.bnn")
        assert "\n" not in str(caught.value)


def test_a_truncated_or_extended_file_is_refused():
    for n in range(len(CONTENT)):
        with pytest.raises(BnnError, match="expected"):
            from_bytes(CONTENT[:n])
    with pytest.raises(BnnError, match="truncated or damaged"):
        from_bytes(CONTENT + b"\0")


def test_a_newer_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(BnnError, match=f"version {VERSION + 1}, expected {VERSION}; update"):
        from_bytes(reseal(*header_and_body(), version=VERSION + 1))
    with pytest.raises(BnnError, match="expected a packed model"):
        from_bytes(b"PK\3\4" + bytes(100))
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(BnnError, match="cannot be read"):
            load_packed(path)


def changed(path, value):
    """Give the header with one value replaced or, with ..., removed."""
    header = json.loads(header_and_body()[0])
    at = header
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return json.dumps(header).encode()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"metadata": {}}',
        changed(["metadata"], None),
        changed(["metadata", "arch"], 3),
        changed(["steps"], []),
        changed(["steps", 0], "pixels"),
        changed(["steps", 0, "kind"], "pickle"),
        changed(["steps", 0, "kind"], ["pixels"]),
        changed(["steps", 0, "kind"], "affine"),
        changed(["steps", 0, "arrays", "gain"], ...),
        changed(["steps", 0, "arrays", "more"], {}),
        changed(["steps", 0, "numbers", "more"], 1),
        changed(["steps", 0, "numbers"], ...),
        changed(["steps", 0, "arrays", "gain", "dtype"], "<f8"),
        changed(["steps", 0, "arrays", "gain", "dtype"], "O"),
        changed(["steps", 0, "arrays", "gain", "shape"], [-3]),
        changed(["steps", 0, "arrays", "gain", "shape"], [0]),
        changed(["steps", 0, "arrays", "gain", "shape"], [2**62]),
        changed(["steps", 0, "arrays", "gain", "shape"], [1, 3]),
        changed(["steps", 0, "arrays", "gain", "shape"], [2.0]),
        changed(["steps", 0, "arrays", "gain", "offset"], -8),
        changed(["steps", 0, "arrays", "gain", "offset"], 10**9),
        changed(["steps", 0, "arrays", "gain", "offset"], True),
        changed(["steps", 2, "numbers", "in_channels"], "3"),
        changed(["steps", 2, "numbers", "in_channels"], 2**40),
        changed(["steps", 2, "numbers", "kernel_size"], [3]),
        changed(["steps", 2, "numbers", "kernel_size"], [3, None]),
        changed(["steps", 2, "numbers", "stride"], 1),
        changed(["steps", 4, "numbers", "n_levels"], 2**40),
        changed(["steps", 6, "numbers", "eps"], float("nan")),
        changed(["steps", 10, "numbers", "size"], 2.0),
    ],
)
def test_a_header_that_does_not_describe_the_file_is_refused(header):
    with pytest.raises(
        BnnError, match=r"^crafted: (malformed header|packed (step|model)).*; freeze"
    ):
        from_bytes(reseal(header, header_and_body()[1]), "crafted")


def test_an_existing_file_is_replaced_only_when_forced(tmp_path):
    path = tmp_path / "model.bnn"
    path.write_bytes(b"mine")
    with pytest.raises(BnnError, match="exists already"):
        save_packed(MODEL, path)
    assert path.read_bytes() == b"mine"
    save_packed(MODEL, path, force=True)
    assert load_packed(path) == MODEL


def test_a_failed_write_leaves_the_old_file(tmp_path):
    folder = tmp_path / "model.bnn"
    folder.mkdir()
    with pytest.raises(BnnError, match="cannot be written"):
        save_packed(MODEL, folder, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["model.bnn"]
