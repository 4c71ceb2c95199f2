"""The suite ``logic`` on small networks: contenders agree, and no compiler is no obstacle."""

from __future__ import annotations

import numpy as np
import pytest

from bnncli.bench import logic_inference as suite
from bnncli.bench import report
from bnncli.bench.harness import Case, Contender, Contest, Work
from bnncli.bench.logic_inference import PEER, Shape
from bnncli.bench.peer_logic import PeerNetwork, peer_source
from bnncli.bench.suites import SUITES
from bnncli.errors import BnnError
from bnncli.native import available_isas
from bnncli.native.compile import find_compiler
from bnncli.packed import NumpyBackend

SMALL = Shape(60, every_gate=True)
needs_kernels = pytest.mark.skipif(not available_isas(), reason="the C kernels are not built")


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(suite, "SHAPES", (SMALL,))
    monkeypatch.setattr(suite, "PIXEL_IMAGES", 128)
    suite.peer.cache_clear()


@needs_kernels
@pytest.mark.parametrize("kind", ["network", "pixels"])
def test_contenders_agree_and_are_timed(kind):
    (case,) = (case for case in suite.cases() if case.name.startswith(kind))
    result = case.measure(0.05)
    names = [timing.contender for timing in result.timings]
    assert all(f"c:{isa}" in names for isa in available_isas() if isa != "ref")
    assert result.work.gates == result.work.images * SMALL.n_gates
    assert (PEER in names) == (find_compiler() is not None)


@needs_kernels
def test_without_a_compiler_the_suite_says_so(monkeypatch):
    monkeypatch.setattr(suite, "find_compiler", lambda: None)
    for case in suite.cases():
        result = case.measure(0.05)
        assert PEER not in [timing.contender for timing in result.timings]
        assert result.facts[PEER].startswith("left out: no C compiler")
        assert result.baseline.startswith("c:scalar")


def test_every_signal_of_a_layer_is_read_about_twice():
    network = suite.layered_network(Shape(500))
    reads = np.bincount(np.concatenate([network.a, network.b]), minlength=network.n_signals)
    assert set(reads[2 + 784 : 2 + 784 + 5 * 500].tolist()) == {2}


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
def test_the_function_gives_the_class_of_the_largest_count():
    network = suite.layered_network(SMALL)
    images = suite.random_images(192).reshape(192, -1)
    function = PeerNetwork(network, suite.N_PIXELS)
    counts = NumpyBackend().prepare_logic(network)(images)
    assert np.array_equal(function.predict(images), counts.argmax(axis=1))


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
def test_a_compiler_that_fails_is_named_in_one_line(monkeypatch):
    monkeypatch.setattr("bnncli.bench.peer_logic.peer_source", lambda *_: "this is not C")
    with pytest.raises(
        BnnError, match=r"compiling the network for comparison: .* failed"
    ) as caught:
        PeerNetwork(suite.layered_network(SMALL), suite.N_PIXELS)
    assert "\n" not in str(caught.value)


def test_the_function_has_a_variable_for_each_gate():
    source = peer_source(suite.layered_network(SMALL), suite.N_PIXELS)
    assert source.count("const uint64_t g") == SMALL.n_gates


def test_what_is_prepared_first_is_not_part_of_the_seconds(monkeypatch):
    now = 0.0

    def wait(seconds):
        nonlocal now
        now += seconds

    def case(name, prepare=None):
        contest = Contest({"A": Contender(lambda: wait(0.001))}, ["A"], lambda _: None)
        return Case(name, Work(steps=1), lambda: contest, prepare)

    cases = [case("slow", lambda: wait(100.0)), case("other")]
    monkeypatch.setattr(suite, "cases", lambda: cases)
    done = report.run_suite(SUITES["logic"], seconds=0.4, clock=lambda: now)
    assert 100.3 < now < 100.5
    assert min(result.timings[0].rounds for result in done.results) > 20
