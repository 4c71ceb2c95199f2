"""The module order of the design: each module imports only from modules above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bnncli

PACKAGE = Path(bnncli.__file__).parent

# In import order. A module may import modules named before its own, never after.
ORDER = [
    "errors",
    "options",
    "bits",
    "gates",
    "jsontext",
    "data",
    "circuit",
    "packed",
    "native",
    "prove",
    "minimize",
    "codegen",
    "extract",
    "quantizers",
    "norms",
    "layers",
    "models",
    "optim",
    "training",
    "recipes",
    "freeze",
    "forms",
    "job",
    "compare",
    "registries",
    "bench",
    "play",
    "views",
    "cli",
]
# Frozen models run without torch, so these see nothing of the torch modules.
CIRCUITS = {"circuit", "prove", "minimize", "codegen", "extract"}
TORCH_FREE = {"gates", "packed", "native"} | CIRCUITS
ALLOWED_IN_TORCH_FREE = TORCH_FREE | {"errors", "options", "bits", "jsontext", "data"}


def top_module(path: Path) -> str:
    """Give the module of the order that a source file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Give the names directly below ``bnncli`` that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("bnncli.")}
    return found - {"__version__", "_kernels"}


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def test_every_module_has_a_place_in_the_order():
    assert {top_module(path) for path in SOURCES} <= set(ORDER)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_upwards(path):
    mine = top_module(path)
    allowed = set(ORDER[: ORDER.index(mine) + 1])
    if mine in TORCH_FREE:
        allowed &= ALLOWED_IN_TORCH_FREE
    assert imported(path) <= allowed, f"{mine} imports {sorted(imported(path) - allowed)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_short_enough_to_read(path):
    assert len(path.read_text().splitlines()) <= 400


def test_the_training_loop_is_one_short_file():
    assert len((PACKAGE / "training" / "loop.py").read_text().splitlines()) < 150


@pytest.mark.parametrize(
    "module", ["bnncli.packed", "bnncli.native", "bnncli.data", "bnncli.cli.main"]
)
def test_modules_that_must_not_load_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_source_overwrites_parameters_in_place():
    """Assigning to ``p.data`` loses latent weights; it appears only in the test of the failure."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = {t.attr for t in targets if isinstance(t, ast.Attribute)}
            assert "data" not in names or top_module(path) != "optim", path
