#!/usr/bin/env -S python3
"""Tasks: ``nox`` runs lint and tests; each session installs what it needs."""

# /// script
# dependencies = ["nox>=2025.5"]
# ///

from __future__ import annotations

import os
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


@nox.session(default=False)
def book(session: nox.Session) -> None:
    """Run every notebook, compare its outputs, then build the book; a warning is an error."""
    install(session, "test", "book")
    # The kernel of --nbval-current-env is this session's Python, whatever kernels are registered.
    compare = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "book/sanitize.cfg"]
    session.run("pytest", *compare, "book", *session.posargs, env=environment())
    session.run("jupyter-book", "build", "book", "-W", "--keep-going", env=environment())


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the kernels and packed models against torch on this machine."""
    install(session)
    for suite in ("kernels", "models", "training", "logic"):
        session.run("bnn", "bench", suite, env=environment())


if __name__ == "__main__":
    nox.main()
