"""Laws of the data sets: exact reading, checked files, a whole cache, splits fixed by the seed."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner

import bnncli.data
from bnncli.cli.data import app
from bnncli.data import (
    SOURCES,
    DataFile,
    DataSource,
    fetch,
    find,
    find_source,
    load_dataset,
    load_source,
)
from bnncli.data.dataset import draw_validation
from bnncli.data.files import replacing
from bnncli.data.readers import parse_cifar, read_idx, read_tar_members
from bnncli.data.sources import decode_cifar, decode_idx
from bnncli.data.store import decoded_path
from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

N_TRAIN, N_TEST, SIDE = 40, 10, 4
NAMES = ("train-images.gz", "train-labels.gz", "test-images.gz", "test-labels.gz")


def idx_bytes(array: np.ndarray) -> bytes:
    """Write an array of bytes as the IDX format has it."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tiny_files(seed: int = 0) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    arrays = [
        rng.integers(0, 256, (N_TRAIN, SIDE, SIDE), dtype=np.uint8),
        np.arange(N_TRAIN, dtype=np.uint8) % 3,
        rng.integers(0, 256, (N_TEST, SIDE, SIDE), dtype=np.uint8),
        np.arange(N_TEST, dtype=np.uint8) % 3,
    ]
    return {
        name: gzip.compress(idx_bytes(array), mtime=0)
        for name, array in zip(NAMES, arrays, strict=True)
    }


def tiny_source(url: str = "", files: dict[str, bytes] | None = None) -> DataSource:
    """Describe a small data set of the MNIST kind, published under ``url``."""
    content = tiny_files() if files is None else files
    return DataSource(
        name="tiny",
        classes=("a", "b", "c"),
        channels=1,
        height=SIDE,
        width=SIDE,
        n_train=N_TRAIN,
        n_test=N_TEST,
        n_validation=8,
        licence="none",
        citation="none",
        decode=decode_idx,
        bundles=(
            tuple(
                DataFile(name, len(body), digest(body), (f"{url}/{name}",))
                for name, body in content.items()
            ),
        ),
        folders=("tiny",),
    )


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def files_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BNN_CACHE_DIR", str(folder))
    monkeypatch.delenv("BNN_DATA_DIR", raising=False)
    monkeypatch.delenv("BNN_OFFLINE", raising=False)
    return folder


class Handler(http.server.BaseHTTPRequestHandler):
    """Serve ``files``; a name in ``cut`` ends after that many bytes of those promised."""

    files: ClassVar[dict[str, bytes]] = {}
    cut: ClassVar[dict[str, int]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.asked.append(name)
        if name not in self.files or self.path.startswith("/gone/"):
            self.send_error(404)
            return
        body = self.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut.get(name, len(body))])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("TestHandler", (Handler,), {"files": tiny_files(), "cut": {}, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", handler
        httpd.shutdown()
        thread.join()


def one_line(error: pytest.ExceptionInfo[BnnError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# Readers


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_idx_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    path.write_bytes(gzip.compress(idx_bytes(array)))
    found = read_idx(path)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


IMAGE = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


LYING_IDX = {
    "cut": (gzip.compress(IMAGE)[:-12], "truncated or damaged gzip"),
    "bad gzip sum": (gzip.compress(IMAGE)[:-8] + b"\0" * 8, "truncated or damaged gzip"),
    "no gzip": (IMAGE, "truncated or damaged gzip"),
    "empty": (gzip.compress(b""), "not an IDX file"),
    "floats": (gzip.compress(b"\0\0\x0d\x03" + IMAGE[4:]), "magic 0x00000d03"),
    "bad magic": (gzip.compress(b"\1" + IMAGE[1:]), "magic 0x01000803"),
    "cut header": (gzip.compress(IMAGE[:9]), "IDX header is cut: 3 axes, 5 bytes"),
    "huge": (gzip.compress(IMAGE[:4] + b"\xff" * 12), "truncated or damaged gzip"),
    "too short": (gzip.compress(IMAGE[:-1]), r"shape \(2, 3, 4\), 24 bytes; found 23"),
    "too long": (gzip.compress(IMAGE + b"x"), "24 bytes; found more than 24"),
    "other items": (gzip.compress(IMAGE), r"items have shape \(3, 4\), expected \(4, 3\)"),
}


@pytest.mark.parametrize(("content", "message"), LYING_IDX.values(), ids=LYING_IDX)
def test_a_lying_idx_file_is_named_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.gz"
    path.write_bytes(content)
    with pytest.raises(BnnError, match=message) as caught:
        read_idx(path, item_shape=(4, 3))
    assert str(path) in one_line(caught)


def cifar_bytes(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], images.reshape(len(images), -1)], axis=1).tobytes()


def tar_bytes(members: dict[str, bytes], compression: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{compression}") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def cifar_parts() -> tuple[list[np.ndarray], list[np.ndarray], dict[str, bytes]]:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8) for _ in range(3)]
    labels = [rng.integers(0, 10, 5, dtype=np.uint8) for _ in range(3)]
    batches = [cifar_bytes(x, y) for x, y in zip(images, labels, strict=True)]
    return images, labels, dict(zip(("b1.bin", "b2.bin", "test.bin"), batches, strict=True))


def cifar_source(members: dict[str, bytes], archives: dict[str, bytes]) -> DataSource:
    return dataclasses.replace(
        SOURCES["cifar10"],
        name="tinycifar",
        n_train=10,
        n_test=5,
        decode=decode_cifar,
        bundles=tuple((DataFile(n, len(c), digest(c)),) for n, c in archives.items()),
        members=tuple(DataFile(n, len(c), digest(c)) for n, c in members.items()),
    )


@pytest.mark.parametrize("compression", ["gz", "xz"])
@pytest.mark.parametrize("folder", ["cifar-10", "cifar10", "."])
def test_cifar_reads_both_archives_in_every_layout(
    tmp_path: Path, cache: Path, compression: str, folder: str
) -> None:
    images, labels, members = cifar_parts()
    shuffled = {"readme.html": b"hello"} | dict(reversed(members.items()))
    archives = {f"c.tar.{kind}": tar_bytes(shuffled, kind) for kind in ("gz", "xz")}
    source = cifar_source(members, archives)
    name = f"c.tar.{compression}"
    put(tmp_path / folder, {name: archives[name]})
    data = load_source(source, data_dir=tmp_path, validation=0)
    np.testing.assert_array_equal(data.train.images, np.concatenate(images[:2]))
    np.testing.assert_array_equal(data.train.labels, np.concatenate(labels[:2]))
    np.testing.assert_array_equal(data.test.images, images[2])
    np.testing.assert_array_equal(data.test.labels, labels[2])
    assert files_under(tmp_path / folder) >= {name}
    assert files_under(cache) == {f"decoded/{decoded_path(source).name}"}


def test_a_wrong_archive_is_named_in_one_line(tmp_path: Path) -> None:
    _, _, members = cifar_parts()
    expected = [DataFile(n, len(c), digest(c)) for n, c in members.items()]
    path = tmp_path / "c.tar.gz"
    whole = tar_bytes(members, "gz")
    changed = members | {"b2.bin": bytes(len(members["b2.bin"]))}
    cases = {
        whole[: len(whole) // 2]: "truncated or damaged archive",
        b"no archive": "truncated or damaged archive",
        tar_bytes({"b1.bin": members["b1.bin"]}, "gz"): "has no member b2.bin",
        tar_bytes(changed, "gz"): f"member b2.bin: .*expected sha256 {expected[1].sha256}",
        tar_bytes(members | {"b1.bin": b"x"}, "gz"): "member b1.bin: wrong or damaged",
    }
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(BnnError, match=message) as caught:
            read_tar_members(path, expected)
        assert str(path) in one_line(caught)


@pytest.mark.parametrize("content", [b"", b"x" * 3072, b"x" * 3074])
def test_half_a_cifar_record_is_refused(content: bytes) -> None:
    with pytest.raises(BnnError, match="no whole number of 3073-byte records"):
        parse_cifar(content, "here")


# Search order, checksums and the cache


def test_search_order(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_source()
    assert find(source) is None
    put(cache / "tiny", tiny_files())
    assert find(source).folder == cache / "tiny"
    direct = put(tmp_path / "env", tiny_files())
    monkeypatch.setenv("BNN_DATA_DIR", str(direct))
    assert find(source).folder == direct
    nested = put(tmp_path / "env" / "tiny", tiny_files())
    assert find(source).folder == nested
    given = put(tmp_path / "given", tiny_files())
    assert find(source, given).folder == given
    (given / NAMES[2]).unlink()
    assert find(source, given).folder == cache / "tiny"


def test_loading_decodes_once_and_gives_the_same_again(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tiny_source()
    folder = put(tmp_path / "data", tiny_files())
    calls = []

    def counting(*args: object) -> object:
        calls.append(args)
        return decode_idx(*args)  # type: ignore[arg-type]

    source = dataclasses.replace(source, decode=counting)
    first = load_source(source, data_dir=folder)
    second = load_source(source, data_dir=folder)
    assert len(calls) == 1
    assert files_under(cache) == {f"decoded/{decoded_path(source).name}"}
    for one, two in ((first.train, second.train), (first.test, second.test)):
        np.testing.assert_array_equal(one.images, two.images)
        np.testing.assert_array_equal(one.labels, two.labels)
    for split in (second.train, second.validation, second.test):
        assert split.images.flags.writeable
        assert split.images.flags.c_contiguous
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
    assert capfd.readouterr() == ("", "")


def test_decoded_records_serve_without_the_files(tmp_path: Path, cache: Path) -> None:
    source = tiny_source()
    load_source(source, data_dir=put(tmp_path / "data", tiny_files()))
    assert len(load_source(source).test) == N_TEST
    assert cache.is_dir()


@pytest.mark.parametrize("damage", ["truncate", "flip", "replace"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_named_with_both_checksums(
    tmp_path: Path, cache: Path, damage: str, name: str
) -> None:
    source = tiny_source()
    folder = put(tmp_path / "data", tiny_files())
    content = (folder / name).read_bytes()
    bad = {
        "truncate": content[:-5],
        "flip": content[:20] + bytes([content[20] ^ 1]) + content[21:],
        "replace": tiny_files(seed=1)[NAMES[0]] if name != NAMES[0] else b"",
    }[damage]
    (folder / name).write_bytes(bad)
    with pytest.raises(BnnError, match="wrong or damaged") as caught:
        load_source(source, data_dir=folder)
    text = one_line(caught)
    for part in (str(folder / name), digest(content), digest(bad)):
        assert part in text
    assert caught.value.exit_code == 1
    assert not cache.exists()


def test_a_truncated_file_is_noticed_even_when_decoded_before(tmp_path: Path, cache: Path) -> None:
    source = tiny_source()
    folder = put(tmp_path / "data", tiny_files())
    load_source(source, data_dir=folder)
    (folder / NAMES[0]).write_bytes(tiny_files()[NAMES[0]][:-1])
    with pytest.raises(BnnError, match="wrong or damaged"):
        load_source(source, data_dir=folder)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"some other file"])
def test_a_damaged_decoded_file_is_made_again_and_said(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str], damage: bytes
) -> None:
    source = tiny_source()
    folder = put(tmp_path / "data", tiny_files())
    expected = load_source(source, data_dir=folder).test.images
    kept = decoded_path(source)
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    np.testing.assert_array_equal(load_source(source, data_dir=folder).test.images, expected)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(kept) in err
    assert kept.read_bytes() == whole


def test_an_unwritable_cache_costs_one_warning_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("BNN_CACHE_DIR", str(blocked / "cache"))
    folder = put(tmp_path / "data", tiny_files())
    for _ in range(2):
        assert len(load_source(tiny_source(), data_dir=folder).test) == N_TEST
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("warning: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_train": N_TRAIN + 1, "n_validation": 0}, "train has 40 images and 40 labels"),
        ({"n_test": 3}, "test has 10 images"),
        ({"classes": ("a", "b")}, "train has label 2, expected 0 to 1"),
        ({"height": SIDE + 1}, "items have shape"),
    ],
)
def test_content_that_is_not_the_data_set_is_refused(
    tmp_path: Path, cache: Path, change: dict[str, object], message: str
) -> None:
    source = dataclasses.replace(tiny_source(), **change)
    with pytest.raises(BnnError, match=message):
        load_source(source, data_dir=put(tmp_path / "data", tiny_files()))
    assert not cache.exists()


def test_replacing_leaves_no_part_behind(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")

    def interrupted() -> None:
        with replacing(target) as part:
            part.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files_under(tmp_path) == {"a"}
    assert target.read_text() == "old"
    with replacing(target) as part:
        part.write_text("new")
    assert files_under(tmp_path) == {"a"}
    assert target.read_text() == "new"


# Downloads


def test_nothing_is_downloaded_unasked(
    cache: Path, tmp_path: Path, server: tuple[str, type[Handler]]
) -> None:
    url, handler = server
    with pytest.raises(BnnError, match="is not here") as caught:
        load_source(tiny_source(url), data_dir=tmp_path / "nowhere")
    text = one_line(caught)
    for part in (NAMES[0], str(tmp_path / "nowhere"), str(cache), "bnn data fetch tiny"):
        assert part in text
    assert handler.asked == []
    assert not cache.exists()


def test_download_fills_the_cache_once(
    cache: Path, server: tuple[str, type[Handler]], capfd: pytest.CaptureFixture[str]
) -> None:
    url, handler = server
    source = tiny_source(url)
    data = load_source(source, download=True)
    assert len(data.train) + len(data.validation) == N_TRAIN
    assert sorted(handler.asked) == sorted(NAMES)
    decoded = f"decoded/{decoded_path(source).name}"
    assert files_under(cache) == {f"tiny/{name}" for name in NAMES} | {decoded}
    load_source(source, download=True)
    fetch(source)
    assert len(handler.asked) == len(NAMES)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == len(NAMES)


def test_the_bar_goes_to_stderr_of_a_terminal(
    cache: Path,
    server: tuple[str, type[Handler]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    fetch(tiny_source(server[0]))
    out, err = capfd.readouterr()
    assert out == ""
    assert "bytes" in err
    assert "downloading" not in err


def test_the_next_address_serves_when_the_first_does_not(
    cache: Path, server: tuple[str, type[Handler]]
) -> None:
    url, handler = server
    (bundle,) = tiny_source(url).bundles
    files = tuple(
        dataclasses.replace(file, urls=(f"{url}/gone/{file.name}", *file.urls)) for file in bundle
    )
    fetch(dataclasses.replace(tiny_source(url), bundles=(files,)))
    assert len(handler.asked) == 2 * len(NAMES)
    assert files_under(cache) == {f"tiny/{name}" for name in NAMES}


@pytest.mark.parametrize("kind", ["truncated", "wrong", "absent", "refused"])
def test_a_failed_download_says_why_and_keeps_nothing_of_it(
    cache: Path, server: tuple[str, type[Handler]], kind: str
) -> None:
    url, handler = server
    source = tiny_source(url)
    content = handler.files[NAMES[1]]
    wrong = content[:-1] + b"!"
    messages = {
        "truncated": "IncompleteRead|bytes read|more expected",
        "wrong": f"expected sha256 {digest(content)}.*found {digest(wrong)}",
        "absent": "404",
        "refused": "refused",
    }
    kept = {f"tiny/{NAMES[0]}"}
    if kind == "truncated":
        handler.cut[NAMES[1]] = len(content) // 2
    elif kind == "wrong":
        handler.files[NAMES[1]] = wrong
    elif kind == "absent":
        del handler.files[NAMES[1]]
    else:
        source, kept = tiny_source("http://127.0.0.1:9"), set()
    with pytest.raises(BnnError, match=messages[kind]) as caught:
        load_source(source, download=True)
    name = NAMES[0] if kind == "refused" else NAMES[1]
    assert one_line(caught).startswith(f"{name} could not be downloaded")
    assert str(cache) in str(caught.value)
    assert files_under(cache) == kept


def test_an_interrupted_download_leaves_nothing(
    cache: Path, server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    whole = pooch.HTTPDownloader.__call__

    def interrupted(self: object, url: str, output: str, owner: object) -> None:
        whole(self, url, output, owner)
        assert any(name.endswith(".part") for name in files_under(cache))
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(tiny_source(server[0]))
    assert files_under(cache) == set()


def test_a_damaged_file_of_the_cache_is_fetched_again(
    cache: Path, server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    source = tiny_source(url)
    put(cache / "tiny", tiny_files())
    (cache / "tiny" / NAMES[3]).write_bytes(b"junk")
    with pytest.raises(BnnError, match="run `bnn data fetch tiny`"):
        load_source(source)
    monkeypatch.setenv("BNN_OFFLINE", "1")
    with pytest.raises(BnnError, match="run `bnn data fetch tiny`"):
        load_source(source, download=True)
    monkeypatch.setenv("BNN_OFFLINE", "0")
    assert len(load_source(source, download=True).test) == N_TEST
    assert handler.asked == [NAMES[3]]


def test_a_damaged_file_of_the_user_is_never_replaced(
    cache: Path, tmp_path: Path, server: tuple[str, type[Handler]]
) -> None:
    url, handler = server
    folder = put(tmp_path / "data", tiny_files())
    (folder / NAMES[0]).write_bytes(b"junk")
    with pytest.raises(BnnError, match="replace it"):
        load_source(tiny_source(url), data_dir=folder, download=True)
    assert handler.asked == []
    assert (folder / NAMES[0]).read_bytes() == b"junk"


def test_offline_forbids_downloads(
    cache: Path, server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    monkeypatch.setenv("BNN_OFFLINE", "1")
    with pytest.raises(BnnError, match="BNN_OFFLINE is set"):
        load_source(tiny_source(url), download=True)
    assert handler.asked == []


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("BNN_CACHE_DIR", str(blocked))
    with pytest.raises(BnnError, match="set BNN_CACHE_DIR to a writable folder") as caught:
        fetch(tiny_source(server[0]))
    assert str(blocked) in one_line(caught)


# Splits


@settings(deadline=None, max_examples=60)
@given(
    labels=hnp.arrays(np.uint8, st.integers(1, 80), elements=st.integers(0, 4)),
    part=st.floats(0, 1),
    seed=st.integers(0, 2**64),
)
def test_validation_is_drawn_in_proportion(labels: np.ndarray, part: float, seed: int) -> None:
    size = round(part * len(labels))
    drawn = draw_validation(labels, size, seed)
    assert len(drawn) == size
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, draw_validation(labels, size, seed))
    counts = np.bincount(labels, minlength=5)
    got = np.bincount(labels[drawn], minlength=5)
    assert (np.abs(got - counts * size / len(labels)) < 1).all()


def test_the_split_of_seed_0_stays_what_it_is() -> None:
    labels = load_dataset("digits", validation=0).train.labels.astype(np.uint8)
    drawn = draw_validation(labels, 180, 0)
    assert drawn[:8].tolist() == [12, 44, 53, 72, 90, 98, 99, 101]
    assert digest(drawn.astype("<i8").tobytes()).startswith("77261044110d3ef0")


def test_validation_draws_every_image_about_equally_often() -> None:
    labels = np.repeat(np.arange(2, dtype=np.uint8), 50)
    times = np.zeros(100, dtype=int)
    for seed in range(400):
        times[draw_validation(labels, 20, seed)] += 1
    assert times.sum() == 8000
    assert times.min() > 40
    assert times.max() < 130


def test_the_seed_moves_validation_and_never_the_test_set() -> None:
    one, same, other = (load_dataset("digits", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.validation.images, same.validation.images)
    assert not np.array_equal(one.validation.images, other.validation.images)
    np.testing.assert_array_equal(one.test.images, other.test.images)
    np.testing.assert_array_equal(one.test.labels, other.test.labels)


def test_train_and_validation_part_the_training_set_in_order(tmp_path: Path, cache: Path) -> None:
    source = tiny_source()
    folder = put(tmp_path / "data", tiny_files())
    whole = load_source(source, data_dir=folder, validation=0)
    assert len(whole.validation) == 0
    assert whole.validation.images.shape == (0, 1, SIDE, SIDE)
    data = load_source(source, data_dir=folder, validation=0.25, seed=7)
    drawn = draw_validation(whole.train.labels.astype(np.uint8), 10, 7)
    np.testing.assert_array_equal(data.validation.images, whole.train.images[drawn])
    np.testing.assert_array_equal(data.validation.labels, whole.train.labels[drawn])
    np.testing.assert_array_equal(data.train.images, np.delete(whole.train.images, drawn, axis=0))
    np.testing.assert_array_equal(data.train.labels, np.delete(whole.train.labels, drawn))


@pytest.mark.parametrize("validation", [-1, 1437, 5000, 1.0, -0.1, float("nan")])
def test_an_impossible_validation_is_a_usage_error(validation: float) -> None:
    with pytest.raises(UsageError, match="validation="):
        load_dataset("digits", validation=validation)


def test_a_negative_seed_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="seed=-1"):
        load_dataset("digits", seed=-1)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'cifar10'"):
        load_dataset("cifar-10")


# The embedded digits


def test_digits_shapes_and_splits() -> None:
    data = load_dataset("digits")
    assert data.image_shape == (1, 8, 8)
    assert data.n_classes == 10
    assert (len(data.train), len(data.validation), len(data.test)) == (1257, 180, 360)
    assert np.bincount(data.test.labels).tolist() == [36] * 10
    assert set(np.bincount(data.validation.labels)) <= {17, 18, 19}
    assert data.train.images.max() == 255
    assert set(np.unique(data.train.images)) == {*range(0, 256, 16), 255}


def test_digits_need_no_folder_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BNN_DATA_DIR", str(tmp_path / "nowhere"))
    assert len(load_dataset("digits").test) == 360
    assert list(tmp_path.iterdir()) == []


def test_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    scans = datasets.load_digits()
    pixels = np.minimum(255, scans.images * 16).astype(np.uint8)[:, None]
    in_test = np.zeros(len(pixels), dtype=bool)
    for label in range(10):
        where = np.flatnonzero(scans.target == label)
        in_test[[where[(2 * j + 1) * len(where) // 72] for j in range(36)]] = True
    data = load_dataset("digits", validation=0)
    np.testing.assert_array_equal(data.train.images, pixels[~in_test])
    np.testing.assert_array_equal(data.train.labels, scans.target[~in_test])
    np.testing.assert_array_equal(data.test.images, pixels[in_test])
    np.testing.assert_array_equal(data.test.labels, scans.target[in_test])


# The published sets

COUNTS = {
    "mnist": (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "fashion-mnist": ([6000] * 10, [1000] * 10),
    "cifar10": ([5000] * 10, [1000] * 10),
}
MEANS = {
    "mnist": [0.1307],
    "fashion-mnist": [0.2860],
    "cifar10": [0.4914, 0.4822, 0.4465],
}
DEVIATIONS = {
    "mnist": [0.3081],
    "fashion-mnist": [0.3530],
    "cifar10": [0.2470, 0.2435, 0.2616],
}


@pytest.mark.data
@pytest.mark.parametrize("name", list(COUNTS))
def test_published_sets_are_as_published(name: str) -> None:
    folder = os.environ.get("BNN_DATA_DIR")
    if not folder or find(find_source(name), Path(folder)) is None:
        pytest.skip(f"no {name} in BNN_DATA_DIR")
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BNN_CACHE_DIR", cache)  # removed at once: it is large
        data = load_dataset(name, validation=0)
        assert len(load_dataset(name).validation) == 5000
    assert [len(data.train), len(data.test)] == [sum(counts) for counts in COUNTS[name]]
    assert np.bincount(data.train.labels).tolist() == COUNTS[name][0]
    assert np.bincount(data.test.labels).tolist() == COUNTS[name][1]
    pixels = data.train.images
    histograms = [
        np.bincount(pixels[:, channel].ravel(), minlength=256) for channel in range(pixels.shape[1])
    ]
    values = np.arange(256) / 255
    means = [np.average(values, weights=weights) for weights in histograms]
    variances = [
        np.average((values - mean) ** 2, weights=weights)
        for mean, weights in zip(means, histograms, strict=True)
    ]
    np.testing.assert_allclose(means, MEANS[name], atol=5.1e-5)
    np.testing.assert_allclose(np.sqrt(variances), DEVIATIONS[name], atol=5.1e-5)


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_sources_are_complete(source: DataSource) -> None:
    assert source.classes
    assert len(set(source.classes)) == 10
    assert source.n_validation < source.n_train
    for file in (*source.members, *(file for bundle in source.bundles for file in bundle)):
        assert len(file.sha256) == 64
        assert set(file.sha256) <= set("0123456789abcdef")
        assert file.n_bytes > 0
    if not source.embedded:
        assert any(all(file.urls for file in bundle) for bundle in source.bundles)


# The command line


def invoke(*words: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout, result.exception


def test_list_says_where_each_set_is(tmp_path: Path, cache: Path) -> None:
    code, out, _ = invoke("list", "--data-dir", str(tmp_path))
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert set(rows) == {"name", *SOURCES}
    assert "embedded" in rows["digits"]
    assert "not here" in rows["mnist"]
    put(tmp_path / "mnist", {file.name: b"" for file in SOURCES["mnist"].bundles[0]})
    put(tmp_path / "cifar10", {"cifar-10-binary.tar.xz": b""})
    _, out, _ = invoke("list", "--data-dir", str(tmp_path))
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert f"found at {tmp_path / 'mnist'} " in rows["mnist"]
    assert f"{tmp_path}/cifar10/cifar-10-binary.tar.xz " in rows["cifar10"]


def test_list_as_json(cache: Path) -> None:
    code, out, _ = invoke("list", "--json")
    assert code == 0
    entries = {item["name"]: item for item in json.loads(out)["data_sets"]}
    assert set(entries) == set(SOURCES)
    assert entries["digits"]["state"] == "embedded"
    assert Path(entries["digits"]["path"]).is_file()
    assert entries["cifar10"]["state"] == "absent"
    assert entries["cifar10"]["path"] is None
    assert entries["cifar10"]["image_shape"] == [3, 32, 32]
    assert entries["cifar10"]["classes"][:2] == ["airplane", "automobile"]


def test_path_prints_the_place_or_raises(tmp_path: Path, cache: Path) -> None:
    code, out, error = invoke("path", "mnist")
    assert (code, out) == (1, "")
    assert isinstance(error, BnnError)
    assert "bnn data fetch mnist" in str(error)
    folder = put(tmp_path / "mnist", {file.name: b"" for file in SOURCES["mnist"].bundles[0]})
    assert invoke("path", "mnist", "--data-dir", str(tmp_path)) == (0, f"{folder}\n", None)


def test_fetch_downloads_and_decodes(
    cache: Path, server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_source(server[0])
    monkeypatch.setitem(SOURCES, "tiny", source)
    assert invoke("fetch", "tiny", "digits")[:2] == (
        0,
        f"tiny {cache / 'tiny'}\ndigits {Path(bnncli.data.__file__).parent / 'digits.npz'}\n",
    )
    assert decoded_path(source).is_file()
    for name in NAMES:
        (cache / "tiny" / name).unlink()
    assert invoke("path", "tiny")[1] == f"{decoded_path(source)}\n"


def test_fetch_checks_every_name_before_the_first_byte(
    cache: Path, server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "tiny", tiny_source(server[0]))
    _, out, error = invoke("fetch", "tiny", "mnits")
    assert out == ""
    assert isinstance(error, UsageError)
    assert "did you mean 'mnist'" in str(error)
    assert server[1].asked == []


def test_data_loads_without_torch() -> None:
    code = (
        "import sys, bnncli.data; bnncli.data.load_dataset('digits');"
        "print(sorted({'torch', 'pooch', 'rich'} & set(sys.modules)))"
    )
    with contextlib.chdir(Path(bnncli.data.__file__).parents[2]):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run.stdout == b"[]\n"
