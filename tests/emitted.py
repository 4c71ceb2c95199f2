"""Designs and golden files for the tests of emitters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnncli.circuit import ClassSums, Design, PixelInputs
from tests.circuits import random_circuit

GOLDEN = Path(__file__).parent / "golden"


def image_design(*, masked: bool = False, sums: bool = True) -> Design:
    """Make a design from images of 77 bytes to scores of three classes, weights of both signs."""
    rng = np.random.default_rng(4)
    pixel, threshold = rng.integers(0, 77, 20), rng.integers(0, 256, 20)
    mask = None
    if masked:
        mask = (1 << rng.integers(0, 8, 20)).astype(np.uint8)
        threshold = np.zeros(20)
    pixels = PixelInputs(77, pixel.astype(np.int32), threshold.astype(np.uint8), mask)
    score = ClassSums(rng.integers(0, 3, 25), rng.integers(-5, 6, 25), np.array([3, -200, 0]))
    circuit = random_circuit(20, 60, 25, seed=6)
    design = Design("images", circuit, pixels, score, notes=("drawn at random",))
    return design if sums else replace(design, sums=None)


def check_golden(name: str, emitted: str | bytes) -> None:
    """Compare with a stored file; a missing one is written, and the test fails."""
    path = GOLDEN / name
    data = emitted.encode() if isinstance(emitted, str) else emitted
    if not path.exists():
        path.write_bytes(data)
        pytest.fail(f"{path.name} was missing and has been written; read it and commit it")
    assert data == path.read_bytes()
