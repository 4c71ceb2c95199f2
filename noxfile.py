#!/usr/bin/env -S python3
"""Tasks: ``nox`` runs lint and tests; each session installs what it needs."""

# /// script
# dependencies = ["nox>=2025.5"]
# ///

from __future__ import annotations

import os
import time
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
# uv does not see wheels that a machine keeps beside its index and would fetch CUDA builds of torch.
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
DATA = Path("..") / "shared" / "data"


def dependencies(group: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, group))


def install(session: nox.Session, *groups: str) -> None:
    """Install the package in place, with its kernels, and the named dependency groups."""
    # Editable, because from the root of the checkout Python would import the sources otherwise,
    # find no compiled kernels beside them and fall back to numpy.
    require = {"BNN_REQUIRE_KERNEL": "1"}
    session.install("-e", ".", *[d for g in groups for d in dependencies(g)], env=require)


def environment() -> dict[str, str]:
    """Give tests the real data where it lies beside the checkout."""
    env = {"BNN_REQUIRE_KERNEL": "1"}
    if "BNN_DATA_DIR" not in os.environ and DATA.is_dir():
        env["BNN_DATA_DIR"] = str(DATA.resolve())
    return env


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and spelling."""
    session.install("-e", ".", *dependencies("lint"), "nox>=2025.5")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("codespell", "bnncli", "kernels", "tests", "book", "README.md", "CHANGELOG.md")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with the compiled kernels required."""
    install(session, "test")
    session.run("pytest", *session.posargs, env=environment())


def reader_environment() -> dict[str, str | None]:
    """Give chapters what their readers have: no data set but the embedded one."""
    return {"BNN_REQUIRE_KERNEL": "1", "BNN_DATA_DIR": None}


@nox.session(default=False)
def book(session: nox.Session) -> None:
    """Run every notebook and compare its outputs, build the book, open its pages in Chromium."""
    install(session, "test", "book")
    env, started = reader_environment(), time.monotonic()
    # The kernel of --nbval-current-env is this session's Python, whatever kernels are registered.
    compare = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "book/sanitize.cfg"]
    session.run("pytest", *compare, "--ignore=book/_build", "book", *session.posargs, env=env)
    executed = time.monotonic()
    # Everything anew: a page that is not built again keeps its warnings to itself.
    session.run("jupyter-book", "build", "book", "--all", "-W", "--keep-going", env=env)
    built = time.monotonic()
    session.run("pytest", "tests/book_pages.py", env=env)
    session.log(
        f"notebooks {executed - started:.0f} s (bar 600), build {built - executed:.0f} s (bar 120), "
        f"pages {time.monotonic() - built:.0f} s"
    )


@nox.session(name="book-refresh", default=False)
def book_refresh(session: nox.Session) -> None:
    """Execute the notebooks, or those named, in place; look at the result and commit it."""
    install(session, "book")
    given = session.posargs or sorted(str(path) for path in Path("book").glob("*.ipynb"))
    how = [
        "--to",
        "notebook",
        "--execute",
        "--inplace",
        "--ExecutePreprocessor.record_timing=False",
    ]
    session.run("jupyter", "nbconvert", *how, *given, env=reader_environment())


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the kernels and packed models against torch on this machine."""
    install(session)
    for suite in ("kernels", "models", "training", "logic"):
        session.run("bnn", "bench", suite, env=environment())


if __name__ == "__main__":
    nox.main()
