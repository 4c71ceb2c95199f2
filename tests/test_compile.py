"""Compiling and loading C: the cache, its key, failing and missing compilers, nothing left over."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from bnncli.errors import BnnError
from bnncli.native import compile as compiling
from bnncli.native.compile import CompileError, NoCompiler, find_compiler, library_path, load

ANSWER = "int answer(void) { return %d; }"
DECLARED = "int answer(void);"

pytestmark = pytest.mark.skipif(
    not any(shutil.which(name) for name in compiling.NAMES), reason="no C compiler"
)


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    """Give the cache, and a folder that catches every temporary file."""
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("BNN_CACHE_DIR", str(cache))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("CC", raising=False)
    return cache, temporary


def files_under(*folders):
    return sorted(p for folder in folders for p in Path(folder).rglob("*") if p.is_file())


def fake_compiler(folder, script):
    path = folder / "fakecc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def answer(number, **options):
    return load(ANSWER % number, DECLARED, **options).lib.answer()


def test_what_was_built_is_not_built_again(monkeypatch, folders):
    assert answer(1) == 1
    assert answer(2) == 2
    assert len(files_under(*folders)) == 2
    monkeypatch.setattr(compiling, "compile_to", None)
    assert answer(1) == 1


def test_the_key_has_source_options_compiler_and_processor(folders, monkeypatch):
    compiler = find_compiler()
    paths = {
        library_path(compiler, "a", ("-O1",)),
        library_path(compiler, "b", ("-O1",)),
        library_path(compiler, "a", ("-O2",)),
        library_path(compiler, "a", ("-O1", "")),
        library_path(compiling.Compiler(compiler.command, "other"), "a", ("-O1",)),
    }
    monkeypatch.setattr(compiling, "available_isas", lambda: ["ref", "another"])
    paths.add(library_path(compiler, "a", ("-O1",)))
    assert len(paths) == 6
    assert all(path.parent == folders[0] / "compiled" for path in paths)


def test_without_keep_nothing_stays(folders):
    assert answer(3, keep=False) == 3
    assert not files_under(*folders)


def test_a_refused_source_is_told_in_one_line_and_leaves_nothing(folders):
    with pytest.raises(
        CompileError, match=r"purpose: .* failed with exit code 1: .*error: "
    ) as told:
        load("int answer(void) { return nothing; }", DECLARED, purpose="purpose")
    assert "nothing" in str(told.value)
    assert "\n" not in str(told.value)
    assert not files_under(*folders)


def test_a_compiler_that_is_killed_leaves_nothing(monkeypatch, folders, tmp_path):
    script = '[ "$1" = --version ] && exit 0; echo half > "$TMPDIR/part.s"; kill -9 $$'
    monkeypatch.setenv("CC", fake_compiler(tmp_path, script))
    compiling._compiler.cache_clear()
    with pytest.raises(CompileError, match="exit code -9: no message"):
        answer(4)
    assert not files_under(*folders)


def test_a_damaged_library_is_built_again(folders):
    path = library_path(find_compiler(), ANSWER % 5, ("-O2",))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a library")
    assert answer(5) == 5
    assert files_under(*folders) == [path]


def test_no_compiler_is_an_exception_of_its_own(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert find_compiler() is None
    with pytest.raises(NoCompiler, match="no C compiler found") as told:
        answer(6)
    assert isinstance(told.value, BnnError)


def test_a_compiler_given_by_name_is_used_or_refused(monkeypatch):
    real = find_compiler().command[0]
    monkeypatch.setenv("CC", f"{real} -DUNUSED")
    assert find_compiler().command == (real, "-DUNUSED")
    assert answer(7) == 7
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(BnnError, match="CC=no-such-compiler -O2 is given, but there is no program"):
        find_compiler()


def test_a_compiler_that_cannot_be_run_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", '"cc')
    with pytest.raises(BnnError, match="cannot be read"):
        find_compiler()
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(BnnError, match="cannot be run"):
        find_compiler()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(folders, capsys):
    folders[0].mkdir(mode=0o500)
    assert answer(8) == 8
    assert capsys.readouterr().err.count("\n") == 1


def test_a_cache_that_is_no_folder_is_named(folders, capsys):
    folders[0].write_text("")
    assert answer(9) == 9
    assert "BNN_CACHE_DIR" in capsys.readouterr().err
    assert not files_under(folders[1])


def test_a_program_that_is_no_library_is_refused(monkeypatch, tmp_path, folders):
    script = 'for last; do :; done; echo text > "$last"'
    monkeypatch.setenv("CC", fake_compiler(tmp_path, script))
    compiling._compiler.cache_clear()
    with pytest.raises(CompileError, match="cannot be loaded"):
        answer(10, keep=False)
    assert not files_under(*folders)
