"""Laws of the benchmark harness on fake contenders and a fake clock, and one run of each suite."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bnncli.bench import harness, kernels, report, training
from bnncli.bench.harness import Case, Contender, Contest, Observation, Work, equal_to
from bnncli.bench.suites import SUITES, Suite, find_suite
from bnncli.cli.bench import app, duration, report_rows
from bnncli.errors import BnnError, UsageError
from bnncli.native import compiled

MS = 1e-3
RUNNER = CliRunner(env={"OPENBLAS_NUM_THREADS": "1"})  # which the command sets; undone after


class World:
    """A clock that only contenders move, and the order in which they were called."""

    def __init__(self):
        self.now = 0.0
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now

    def contender(self, name: str, *seconds: float, gives: object = 0, clock=None) -> Contender:
        """Take the given seconds in turn, call after call."""
        count = 0

        def run() -> object:
            nonlocal count
            self.now += seconds[count % len(seconds)]
            self.calls.append(name)
            count += 1
            return gives

        return Contender(run, clock=clock)


def contest(contenders: dict[str, Contender], *baselines: str) -> Contest:
    return Contest(contenders, baselines or tuple(contenders)[:1], equal_to(next(iter(contenders))))


def test_contenders_take_turns():
    world = World()
    contenders = {name: world.contender(name, 2 * MS) for name in "ABC"}
    harness.take_turns(contenders, seconds=0.05, clock=world.clock)
    calibration = 2 * len(contenders)
    turns = "".join(world.calls[calibration:])
    assert turns == "ABC" * (len(turns) // 3)
    assert len(turns) >= 3 * harness.MIN_ROUNDS


@given(st.floats(1e-8, 1.0))
def test_a_sample_lasts_a_millisecond_and_not_much_longer(seconds):
    world = World()
    loops = harness.calibrate(world.contender("A", seconds).run, world.clock)
    assert loops * seconds >= harness.MIN_SAMPLE_SECONDS * (1 - 1e-6)
    assert loops == 1 or (loops - 1) * seconds <= 1.3 * harness.MIN_SAMPLE_SECONDS


def test_samples_are_seconds_a_call():
    world = World()
    loops, samples = harness.take_turns(
        {"A": world.contender("A", 1e-5)}, seconds=0.02, clock=world.clock
    )
    assert loops["A"] >= 100
    assert samples["A"] == pytest.approx([1e-5] * len(samples["A"]))


@given(seconds=st.floats(0.01, 2.0), a=st.floats(1e-4, 0.1), b=st.floats(1e-4, 0.1))
def test_the_time_is_bounded_beyond_the_least_rounds(seconds, a, b):
    world = World()
    contenders = {"A": world.contender("A", a), "B": world.contender("B", b)}
    loops, samples = harness.take_turns(contenders, seconds=seconds, clock=world.clock)
    rounds = len(samples["A"])
    assert len(samples["B"]) == rounds
    one_round = loops["A"] * a + loops["B"] * b
    assert world.now <= seconds + 1e-6 or rounds == harness.MIN_ROUNDS
    # Nor is time left for another round.
    assert world.now + one_round > seconds - 1e-6 or rounds == harness.MAX_ROUNDS


def test_median_and_quartiles():
    assert harness.spread([5.0]) == harness.Spread(5.0, 5.0, 5.0)
    assert harness.spread([9.0, 1.0, 5.0, 7.0, 3.0]) == harness.Spread(5.0, 3.0, 7.0)
    assert harness.spread([1.0, 2.0, 3.0, 4.0]) == harness.Spread(2.5, 1.75, 3.25)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1))
def test_the_spread_is_numpys_percentiles(values):
    found = harness.spread(values)
    expected = np.percentile(values, [50, 25, 75])
    np.testing.assert_allclose([found.median, found.low, found.high], expected, rtol=1e-12)


def test_ratios_are_taken_inside_rounds():
    """A machine that slows down tenfold halfway moves the times and not the ratios."""
    world = World()
    slower = [4 * MS] * 4 + [40 * MS] * 100
    contenders = {
        "slow": world.contender("slow", *slower),
        "fast": world.contender("fast", *(t / 4 for t in slower)),
    }
    case = Case("law", Work(operations=8), lambda: contest(contenders))
    result = case.measure(0.5, world.clock)
    timings = {t.contender: t for t in result.timings}
    assert timings["fast"].ratio == harness.Spread(*[pytest.approx(4.0)] * 3)
    assert timings["slow"].ratio == harness.Spread(1.0, 1.0, 1.0)
    assert timings["fast"].seconds.median == pytest.approx(timings["slow"].seconds.median / 4)


def test_ratios_are_against_the_fastest_baseline():
    world = World()
    contenders = {
        "baseline 1": world.contender("1", 8 * MS),
        "baseline 2": world.contender("2", 4 * MS),
        "other": world.contender("3", 2 * MS),
    }
    case = Case("law", Work(), lambda: contest(contenders, "baseline 1", "baseline 2"))
    result = case.measure(0.1, world.clock)
    assert result.baseline == "baseline 2"
    assert [t.ratio.median for t in result.timings] == pytest.approx([0.5, 1.0, 2.0])


def test_a_contender_may_keep_its_own_time():
    world = World()
    own = 0.0

    def run() -> int:
        nonlocal own
        own += 1e-5
        world.now += 2e-5
        return 0

    loops, samples = harness.take_turns(
        {"A": Contender(run, clock=lambda: own)}, seconds=0.2, clock=world.clock
    )
    assert loops["A"] >= 100
    assert samples["A"] == pytest.approx([1e-5] * len(samples["A"]))


@pytest.mark.parametrize(
    "wrong", [[1.0, 2.0, 4.0], [1.0, 2.0], [1.0, 2.0, math.nan]], ids=["value", "shape", "nan"]
)
@pytest.mark.parametrize("tolerance", [0.0, 0.5])
def test_a_wrong_contender_is_refused_before_anything_is_timed(wrong, tolerance):
    world = World()
    contenders = {
        "right": world.contender("right", MS, gives=[1.0, 2.0, 3.0]),
        "wrong": world.contender("wrong", MS, gives=wrong),
    }
    entry = Contest(contenders, ["right"], equal_to("right", tolerance))
    with pytest.raises(BnnError, match=r"bench law: wrong .*not timed"):
        Case("law", Work(), lambda: entry).measure(1.0, world.clock)
    assert world.calls == ["right", "wrong"]


def test_outputs_within_the_tolerance_pass():
    equal_to("a", 0.5)({"a": np.array([1.0, 2.0]), "b": np.array([1.5, 1.5])})
    with pytest.raises(BnnError):
        equal_to("a", 0.4)({"a": np.array([1.0, 2.0]), "b": np.array([1.5, 1.5])})


def test_a_wrong_kernel_is_refused(monkeypatch):
    right = kernels.NumpyBackend.xor_gemm

    def off_by_two(self, a_words, b):
        out = right(self, a_words, b)
        out[-1, -1] += 2
        return out

    monkeypatch.setattr(kernels.NumpyBackend, "xor_gemm", off_by_two)
    case = Case("law", Work(), partial(kernels._xor_gemm, 3, 5, 65))
    with pytest.raises(BnnError, match="numpy differs from torch float32 in 1 of 15"):
        case.measure(0.01)


def make_suite(monkeypatch, cases) -> Suite:
    monkeypatch.setattr(kernels, "cases", lambda: cases)
    return SUITES["kernels"]


def test_cases_share_the_time_and_report_progress(monkeypatch):
    world = World()
    cases = [
        Case(f"case-{i}", Work(operations=10), lambda: contest({"A": world.contender("A", MS)}))
        for i in range(4)
    ]
    heard = []
    done = report.run_suite(
        make_suite(monkeypatch, cases),
        seconds=1.0,
        progress=lambda *event: heard.append(event),
        clock=world.clock,
    )
    assert heard == [(i, 4, f"case-{i}") for i in range(4)]
    rounds = [result.timings[0].rounds for result in done.results]
    assert max(rounds) - min(rounds) <= 2
    assert world.now <= 1.0 + 1e-6
    assert world.now > 0.98


def test_the_filter_takes_parts_of_names_and_wildcards(monkeypatch):
    cases = [Observation(name, dict) for name in ("xor/1x2", "xor/3x4", "sign/1x2")]
    assert [c.name for c in report.choose(cases, "xor")] == ["xor/1x2", "xor/3x4"]
    assert [c.name for c in report.choose(cases, "s*1x")] == ["sign/1x2"]
    assert len(report.choose(cases, "")) == 3
    with pytest.raises(UsageError, match=r"--filter conv: .* xor/1x2, xor/3x4, sign/1x2"):
        report.choose(cases, "conv")


def test_threads_are_given_back(monkeypatch):
    seen = []

    def watch():
        seen.append(torch.get_num_threads())
        return {"threads": float(seen[-1])}

    suite = make_suite(monkeypatch, [Observation("threads", watch)])
    before = torch.get_num_threads()
    done = report.run_suite(suite, threads=before + 1, seconds=1.0)
    assert seen == [before + 1] == [done.threads]
    assert torch.get_num_threads() == before


def test_unusable_requests():
    with pytest.raises(UsageError, match="kernels"):
        find_suite("kernel")
    with pytest.raises(UsageError, match="--seconds 0"):
        report.run_suite(SUITES["kernels"], seconds=0.0)


@pytest.mark.parametrize("name", SUITES)
def test_suites_list_cases_with_different_names(name):
    names = [case.name for case in SUITES[name].cases()]
    assert names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "build",
    [
        partial(kernels._pack, 3, 65),
        partial(kernels._xor_gemm, 3, 5, 65),
        partial(kernels._xor_threshold, 3, 65, 31),
        partial(kernels._sign_gemm, 3, 5, 65),
        partial(kernels._xor_conv, 3, 5),
        partial(kernels._sign_conv, 3, 5),
    ],
    ids=["pack", "xor-gemm", "xor-threshold", "sign-gemm", "xor-conv", "sign-conv"],
)
def test_every_kind_of_kernel_case_agrees(build):
    entry = build()
    harness.check_outputs("law", entry)
    assert set(entry.baselines) <= set(entry.contenders)
    assert "numpy" in entry.contenders
    assert ("c:ref" in entry.contenders) == compiled()


def test_the_step_that_is_timed_is_the_trainers():
    data = training.random_data((1, 4, 4), n_train=8)
    settings = training.resolved(
        training.ModelSettings(arch="mlp", widths=(3,), weights="binary"),
        training.TrainSettings(batch_size=4),
    )
    trainer = training.image_training(settings, data, device=torch.device("cpu"))
    step = training.stepper(trainer)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    losses = [step.run() for _ in range(5)]
    assert trainer.progress.step == 5
    assert trainer.progress.loss_sum == pytest.approx(sum(losses))
    assert step.clock() == trainer.progress.step_seconds > 0
    after = list(trainer.model.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    with pytest.raises(BnnError, match="binary: the loss is nan"):
        training.finite_losses({"float": np.asarray(1.0), "binary": np.asarray(math.nan)})


def test_json_holds_everything(monkeypatch, tmp_path):
    world = World()
    contenders = {
        "torch float32": world.contender("A", 4 * MS),
        "other": world.contender("B", 2 * MS),
    }
    cases = [
        Case("race", Work(operations=8000), lambda: contest(contenders)),
        Case("slower race", Work(operations=4000), lambda: contest(contenders)),
        Observation("look", lambda: {"share": 0.5}),
    ]
    done = report.run_suite(make_suite(monkeypatch, cases), seconds=0.1, clock=world.clock)
    path = tmp_path / "report.json"
    report.write_report(done, path)
    values = json.loads(path.read_text())
    assert set(values) == {
        *("schema", "suite", "started", "machine", "threads", "seconds"),
        *("load_before", "load_after", "results", "float_peak"),
    }
    assert values["schema"] == 1
    assert {"cpu", "cpus", "kernels", "isas", "torch", "numpy", "revision"} <= set(
        values["machine"]
    )
    assert values["float_peak"] == pytest.approx(2e6)
    race, _, look = values["results"]
    assert race["baseline"] == "torch float32"
    other = race["timings"][1]
    assert set(other) == {
        *("contender", "seconds", "ratio", "rounds", "loops", "size_bytes", "rates")
    }
    assert other["rates"] == {"operations_per_second": pytest.approx(4e6)}
    assert other["ratio"]["median"] == pytest.approx(2.0)
    assert look["facts"] == {"share": 0.5}
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]

    titles, rows = report_rows(done)
    assert "Gop/s" in titles
    assert "GB/s" not in titles
    row = dict(zip(titles, rows[1], strict=True))
    assert row["× peak"] == "2.00"
    assert row["time"] == "2 ms"


def test_steps_show_what_they_cost(monkeypatch):
    world = World()
    contenders = {"float": world.contender("A", 4 * MS), "binary": world.contender("B", 5 * MS)}
    cases = [Case("step", Work(steps=1), lambda: contest(contenders))]
    done = report.run_suite(make_suite(monkeypatch, cases), seconds=0.1, clock=world.clock)
    titles, rows = report_rows(done)
    row = dict(zip(titles, rows[1], strict=True))
    assert (row["×"], row["cost"], row["steps/s"]) == ("0.80", "1.250", "200")


def test_a_report_that_cannot_be_written(monkeypatch, tmp_path):
    done = report.run_suite(
        make_suite(monkeypatch, [Observation("look", dict)]), seconds=1.0, clock=World().clock
    )
    (tmp_path / "file").write_text("")
    with pytest.raises(BnnError, match="cannot be written"):
        report.write_report(done, tmp_path / "file" / "report.json")


def test_durations():
    assert [duration(s) for s in (2.5, 0.0123456, 12.345e-6)] == ["2.5 s", "12.35 ms", "12.35 µs"]


@pytest.mark.parametrize(
    ("suite", "pattern", "contender"),
    [
        ("kernels", "xor-gemm/16x256x256", "torch float32"),
        ("models", "bnn-mlp-256-256/batch-64", "packed"),
        ("training", "step/mlp-128", "binary"),
    ],
)
def test_the_command_runs_each_suite(suite, pattern, contender, tmp_path):
    path = tmp_path / "report.json"
    result = RUNNER.invoke(
        app, [suite, "--filter", pattern, "--seconds", "0.1", "--json", "-o", str(path)]
    )
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values == json.loads(path.read_text())
    assert values["suite"] == suite
    assert contender in [t["contender"] for t in values["results"][0]["timings"]]


def test_the_command_prints_a_table():
    result = RUNNER.invoke(app, ["models", "-k", "bnn-mlp-256-256/batch-64", "--seconds", "1"])
    assert result.exit_code == 0, result.output
    assert "images/s" in result.stdout
    assert "64 of 64" in result.stdout
    assert "CPUs" in result.stdout
