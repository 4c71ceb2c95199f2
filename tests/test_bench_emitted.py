"""The part of the suite ``circuits`` on emitted C, on a small network: contenders agree."""

from __future__ import annotations

import pytest

from bnncli.bench import emitted
from bnncli.bench.logic_inference import Shape
from bnncli.native import available_isas
from bnncli.native.compile import find_compiler


@pytest.mark.skipif(not available_isas(), reason="the C kernels are not built")
@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("kind", ["network", "images"])
def test_contenders_agree_and_are_timed(kind, monkeypatch):
    monkeypatch.setattr(emitted, "SHAPES", (Shape(60, every_gate=True),))
    monkeypatch.setattr(emitted, "PIXEL_IMAGES", 600)
    (case,) = (case for case in emitted.cases() if f"/{kind}/" in case.name)
    result = case.measure(0.05)
    assert [timing.contender.split()[0] for timing in result.timings] == ["interpreter", "emitted"]
    assert "-std=c99" in result.facts["built with"]
