"""Compile C on this machine and load it; what was built once is kept in the user's cache.

A library is named by the checksum of its source, the options, the compiler and the machine, and takes
its place in one move, so that processes may build the same one at the same time. See
``book/decisions/emitters.md``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bnncli.data.store import cache_dir
from bnncli.errors import BnnError
from bnncli.native.kernels import available_isas

SHARED = ("-x", "c", "-", "-fPIC", "-shared")
NAMES = ("cc", "clang", "gcc")
_LONGEST_MESSAGE = 300


class NoCompiler(BnnError):
    """No C compiler is installed; what can be interpreted is interpreted then."""


class CompileError(BnnError):
    """The compiler refused a source; the message has the first line of its own."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler: the command that begins every call, and what it says it is."""

    command: tuple[str, ...]
    version: str

    @property
    def name(self) -> str:
        """Give the command as one text."""
        return shlex.join(self.command)


@dataclass(frozen=True)
class Library:
    """A loaded library: cffi's view of it."""

    ffi: Any
    lib: Any


def find_compiler() -> Compiler | None:
    """Find the C compiler: $CC, else cc, clang or gcc; None where there is none."""
    try:
        given = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise BnnError(f"CC={os.environ['CC']} cannot be read ({error}); set CC anew") from None
    if given:
        if shutil.which(given[0]) is None:
            raise BnnError(
                f"CC={os.environ['CC']} is given, but there is no program {given[0]!r}; set CC to "
                f"a C compiler, or unset it"
            )
        return _compiler(tuple(given))
    path = next((path for name in NAMES if (path := shutil.which(name))), None)
    return _compiler((path,)) if path else None


@cache
def _compiler(command: tuple[str, ...]) -> Compiler:
    try:
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise BnnError(
            f"{shlex.join(command)} cannot be run ({error.strerror or error}); set CC to a C "
            f"compiler, or unset it"
        ) from None
    return Compiler(command, said.stdout + said.stderr)


def need_compiler(purpose: str) -> Compiler:
    """Find the C compiler or raise :class:`NoCompiler`."""
    found = find_compiler()
    if found is None:
        raise NoCompiler(f"{purpose}: no C compiler found; install gcc or clang, or set CC")
    return found


def library_path(compiler: Compiler, source: str, options: tuple[str, ...]) -> Path:
    """Give the file of the cache that holds a library, whether or not it is there.

    Machines of other kinds may share the cache, and ``CC`` may say -march=native.
    """
    what = hashlib.sha256()
    machine = (platform.machine(), *available_isas())
    for text in (*machine, *compiler.command, compiler.version, *options, source):
        what.update(f"{len(text)}:{text}".encode())
    return cache_dir() / "compiled" / f"{what.hexdigest()}.so"


def compile_to(
    compiler: Compiler, source: str, options: tuple[str, ...], target: Path, purpose: str
) -> None:
    """Compile a source into a file; the compiler's own temporary files lie beside it."""
    command = [*compiler.command, *options, *SHARED, "-o", str(target)]
    environment = {**os.environ, "TMPDIR": str(target.parent), "LC_ALL": "C"}
    result = subprocess.run(
        command,
        input=source,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    if result.returncode:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        told = next((line for line in lines if "error" in line), (lines or ["no message"])[0])
        raise CompileError(
            f"{purpose}: {compiler.name} failed with exit code {result.returncode}: "
            f"{told[:_LONGEST_MESSAGE]}; set CC to another C compiler"
        )


def load(
    source: str,
    declarations: str,
    *,
    options: tuple[str, ...] = ("-O2",),
    purpose: str = "compiled code",
    keep: bool = True,
) -> Library:
    """Compile C as a shared library, or find it in the cache, and load it.

    ``declarations`` are the prototypes to call, as cffi reads them. Without ``keep`` nothing stays
    on disk. Raises :class:`NoCompiler` or :class:`CompileError`.
    """
    compiler = need_compiler(purpose)
    path = library_path(compiler, source, options)
    if keep:
        if path.is_file() and (found := _open(path, declarations)):
            return found
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder: Path | None = path.parent
            with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as build:
                part = Path(build) / path.name
                compile_to(compiler, source, options, part, purpose)
                part.replace(path)
        except OSError as error:
            sys.stderr.write(
                f"warning: {path.parent} cannot be written ({error.strerror or error}); compiled "
                "code is built again each time; set BNN_CACHE_DIR to a writable folder\n"
            )
        else:
            return _loaded(path, declarations, purpose)
    with tempfile.TemporaryDirectory(prefix="bnn-") as build:
        part = Path(build) / path.name
        compile_to(compiler, source, options, part, purpose)
        return _loaded(part, declarations, purpose)


def _open(path: Path, declarations: str) -> Library | None:
    """Load a library; None where the file is damaged."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(declarations)
    try:
        return Library(ffi, ffi.dlopen(str(path)))
    except OSError:
        return None


def _loaded(path: Path, declarations: str, purpose: str) -> Library:
    library = _open(path, declarations)
    if library is None:
        raise CompileError(
            f"{purpose}: what the C compiler built cannot be loaded; set CC to a compiler for this "
            f"machine"
        )
    return library
