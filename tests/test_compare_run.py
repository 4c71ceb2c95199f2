"""Running a matrix: reuse, resume, failures, killed workers, full disks, a Dask scheduler."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bnncli import job
from bnncli.compare import comparison as comparing
from bnncli.compare import runner
from bnncli.compare.comparison import cells_of, compare, plan
from bnncli.compare.engine import Engine, open_pool, run_cells
from bnncli.compare.folder import Folder
from bnncli.compare.matrix import Budget, Matrix, parse_matrix
from bnncli.compare.results import CellResult
from bnncli.compare.runner import Conditions, StopFile, run_cell
from bnncli.errors import BnnError, UsageError
from bnncli.training.runs import Run, run_of

TIMES = {"seconds", "step_seconds", "validation_seconds"}


def matrix(*methods: dict, **changes) -> Matrix:
    values = {
        "method": list(methods)
        or [
            {"name": "float"},
            {"name": "binary", "model": {"weights": "binary"}},
        ],
        "base": {"model": {"arch": "mlp", "widths": [16]}},
        "budget": {"epochs": 2},
        "seeds": 2,
        **changes,
    }
    return parse_matrix("test", values)


@pytest.fixture
def conditions(tmp_path):
    return Conditions(
        folder=tmp_path / "comparison", runs_dir=tmp_path / "runs", device="cpu", threads=1
    )


def run(what: Matrix, conditions: Conditions, engine: Engine | None = None, **more):
    conditions = replace(conditions, in_worker=engine is not None)
    return compare(what, Folder(conditions.folder), conditions, engine or Engine(), **more)


def states(found) -> list[str]:
    return [cell.state for cell in found.cells]


def reached(found) -> list[tuple]:
    """Give what must not depend on how a matrix was run."""
    return [
        (
            cell.method,
            cell.seed,
            cell.result["test_hard_accuracy"],
            [{k: v for k, v in row.items() if k not in TIMES} for row in cell.epochs],
        )
        for cell in found.cells
    ]


def test_a_matrix_runs_and_the_same_again_reuses_every_run(conditions):
    found = run(matrix(), conditions)
    assert states(found) == ["finished"] * 4
    assert [(c.method, c.seed) for c in found.cells] == [
        ("float", 0),
        ("float", 1),
        ("binary", 0),
        ("binary", 1),
    ]
    assert all(len(cell.epochs) == 2 and not cell.reused for cell in found.cells)
    assert found.cell_seconds == pytest.approx(sum(c.wall_seconds for c in found.cells))
    assert found.wall_seconds >= found.cell_seconds
    assert {share["epochs"] for share in found.shares} == {2}
    again = run(matrix(), conditions)
    assert all(cell.reused for cell in again.cells)
    assert reached(again) == reached(found)
    # More seeds make another comparison of the same runs.
    more = run(matrix(seeds=3), conditions, force=True)
    assert [cell.reused for cell in more.cells] == [True, True, False] * 2


def test_a_run_of_bnn_train_is_reused(conditions):
    what = matrix({"name": "float"}, seeds=1)
    (cell,) = cells_of(what, plan(what, conditions))
    data = job.prepare(cell.settings, data_dir=None, download=False)
    from bnncli.training.building import pick_device
    from bnncli.training.runs import new_run

    trained = new_run(conditions.runs_dir, cell.settings, force=False)
    job.train(trained, data, device=pick_device("cpu"), command="bnn train")
    (found,) = run(what, conditions).cells
    assert found.reused
    assert found.run == str(trained.path)
    assert found.result == trained.result()


def test_methods_with_equal_settings_share_a_run(conditions):
    found = run(matrix({"name": "one"}, {"name": "two"}, seeds=1), conditions)
    one, two = found.cells
    assert one.run == two.run
    assert (one.reused, two.reused) == (False, True)
    assert two.wall_seconds == 0
    assert one.result == two.result


def test_a_failed_run_is_one_line_and_the_rest_goes_on(conditions):
    wild = {
        "name": "wild",
        "model": {"norm": "none"},
        # Decay alone multiplies each weight by -1e8 in every step.
        "train": {"optimizer": "sgd", "lr": 1e6, "weight_decay": 100.0, "schedule": "constant"},
    }
    found = run(matrix(wild, {"name": "float"}, seeds=1), conditions)
    failed, good = found.cells
    assert (failed.state, good.state) == ("failed", "finished")
    assert failed.error is not None
    assert "training diverged" in failed.error
    assert "\n" not in failed.error
    assert not failed.result


def test_a_damaged_run_is_one_line_and_the_rest_goes_on(conditions):
    what = matrix(seeds=1)
    before = run(what, conditions)
    for name, content in (
        ("config.toml", b"[model\n"),
        ("config.toml", b"[model]\narch = 'mlp'\n"),
        ("result.json", b"{"),
        ("metrics.jsonl", b"3\n"),
    ):
        path = Run(runner.run_of(conditions.runs_dir, plan_cell(what, conditions)).path).path / name
        whole = path.read_bytes()
        path.write_bytes(content)
        found = run(what, conditions)
        path.write_bytes(whole)
        assert states(found) == ["failed", "finished"], name
        assert "damaged" in str(found.cells[0].error)
    assert reached(run(what, conditions)) == reached(before)


def plan_cell(what: Matrix, conditions: Conditions):
    """Give the settings of the first cell."""
    return cells_of(what, plan(what, conditions))[0].settings


def test_each_data_set_is_loaded_once(conditions, monkeypatch):
    loaded = []
    load = runner.load_run_data

    def counting(settings, **more):
        loaded.append(settings.data.name)
        return load(settings, **more)

    runner._load.cache_clear()
    monkeypatch.setattr(runner, "load_run_data", counting)
    shifted = {"name": "shifted", "data": {"augment": "shift:1"}}
    run(matrix({"name": "float"}, shifted), conditions)
    assert loaded == ["digits"]


def test_a_stopped_comparison_goes_on_where_it_was(conditions):
    what = matrix(budget={"epochs": 4}, seeds=1)
    whole = run(what, replace(conditions, runs_dir=conditions.runs_dir / "whole"))

    class Touch(StopFile):
        """Ask for the stop in the middle of the first run."""

        looks = 0

        def __call__(self) -> bool:
            Touch.looks += 1
            if Touch.looks == 40:
                self.path.touch()
                self.next_look = 0
            return super().__call__()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "StopFile", Touch)
        stopped = run(what, conditions)
    assert states(stopped) == ["stopped", "stopped"]
    assert stopped.cells[0].run
    assert not conditions.stop_file.exists()
    first = Run(run_of(conditions.runs_dir, plan_cell(what, conditions)).path)
    assert first.load_checkpoint()["progress"]["step"] > 0
    resumed = run(what, conditions)
    assert states(resumed) == ["finished", "finished"]
    assert not any(cell.reused for cell in resumed.cells)
    assert reached(resumed) == reached(whole)


def test_the_stop_file_is_looked_at_rarely(tmp_path, monkeypatch):
    clock = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stop = StopFile(tmp_path / "stop")
    assert not stop()
    stop.path.touch()
    clock[0] += 0.4
    assert not stop()
    clock[0] += 0.2
    assert stop()


def test_signals_write_the_stop_file_and_leave_nothing_behind(tmp_path):
    path = tmp_path / "stop"
    path.touch()
    before = signal.getsignal(signal.SIGTERM)
    with runner.stop_file_on_signals(path):
        assert not path.exists()
        signal.raise_signal(signal.SIGTERM)
        assert path.exists()
        assert signal.getsignal(signal.SIGTERM) == before
    assert not path.exists()


def test_seconds_are_measured_once_and_kept(conditions, monkeypatch):
    times = iter([0.5, 0.25])
    monkeypatch.setattr(comparing, "calibrate", lambda settings, given: next(times))
    what = replace(matrix(seeds=1), budget=Budget("seconds", 1))
    found = run(what, conditions)
    assert [share["epochs"] for share in found.shares] == [2, 4]
    assert [len(cell.epochs) for cell in found.cells] == [2, 4]
    again = run(what, conditions)  # nothing is left to measure with
    assert all(cell.reused for cell in again.cells)
    assert again.shares == found.shares


def test_an_epoch_is_timed_by_real_steps(conditions):
    from bnncli.compare.budget import calibrate

    what = matrix({"name": "float"}, seeds=1)
    (share,) = plan(what, conditions)
    seconds = calibrate(share.settings, conditions)
    assert seconds > 0
    assert not conditions.runs_dir.exists()


def test_workers_reach_what_one_process_reaches(conditions):
    one = run(matrix(), conditions)
    elsewhere = replace(conditions, runs_dir=conditions.runs_dir / "jobs")
    two = run(matrix(), elsewhere, Engine(jobs=2))
    assert reached(two) == reached(one)
    assert not any(cell.reused for cell in two.cells)
    assert two.environment["jobs"] == 2


def in_pool(what: Matrix, work, conditions: Conditions, engine: Engine) -> list[CellResult]:
    conditions.folder.mkdir(parents=True, exist_ok=True)
    cells = cells_of(what, plan(what, conditions))
    with open_pool(engine, 1) as pool:
        found = dict(run_cells(cells, work, pool, conditions))
    return [found[index] for index in range(len(cells))]


def killing(what: Matrix, conditions: Conditions, *, times: int):
    """Give work that kills its process in seed 1, so many times, and else does nothing slow."""
    kills = conditions.folder / "kills"
    marks = {cell.seed: conditions.mark(cell) for cell in cells_of(what, plan(what, conditions))}

    # Defined here: what a test module defines at its top, a worker could not import.
    def work(cell):
        marks[cell.seed].parent.mkdir(parents=True, exist_ok=True)
        marks[cell.seed].touch()
        if cell.seed == 1:
            with kills.open("a") as file:
                file.write("x")
            if kills.stat().st_size <= times:
                os.kill(os.getpid(), signal.SIGKILL)
        marks[cell.seed].unlink()
        return CellResult(method="m", data="d", seed=cell.seed, run="", state="finished")

    return work


@pytest.mark.parametrize(("times", "state"), [(1, "finished"), (9, "failed")])
def test_a_killed_worker_loses_nothing_but_its_own_run(times, state, conditions):
    what = matrix({"name": "float"}, seeds=4)
    work = killing(what, conditions, times=times)
    found = in_pool(what, work, conditions, Engine(jobs=2))
    assert [cell.state for cell in found] == ["finished", state, "finished", "finished"]
    assert [cell.seed for cell in found] == [0, 1, 2, 3]
    if state == "failed":
        assert found[1].error == "its worker was killed (signal 9: out of memory?)"
    assert (conditions.folder / "kills").stat().st_size == 2


@contextmanager
def full_disk(size: int):
    """Let no file grow above a size, as on a disk without room: the system refuses the rest."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "name"), [(800, "metrics.jsonl"), (5000, "last.pt"), (5000, "model.safetensors")]
)
def test_a_run_that_met_a_full_disk_can_go_on(size, name, tmp_path, conditions, monkeypatch):
    what = matrix({"name": "float"}, seeds=1, budget={"epochs": 4})
    (cell,) = cells_of(what, plan(what, conditions))
    if name == "model.safetensors":  # alone: the checkpoint is larger
        monkeypatch.setattr(Run, "save_checkpoint", unlimited(Run.save_checkpoint))
    with full_disk(size):
        failed = run_cell(cell, replace(conditions, folder=tmp_path / "other"))
    assert failed.state == "failed"
    assert failed.error is not None
    assert name in failed.error or "File too large" in failed.error
    assert "\n" not in failed.error
    monkeypatch.undo()
    left = Run(run_of(conditions.runs_dir, cell.settings).path)
    assert len(left.metrics()) == (2 if name == "metrics.jsonl" else 4)
    found = run(what, conditions)
    assert states(found) == ["finished"]
    whole = run(what, replace(conditions, runs_dir=tmp_path / "whole"))
    assert reached(found) == reached(whole)


def unlimited(function):
    """Let a function write as if there were room."""

    def write(*args):
        size, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        try:
            return function(*args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))

    return write


def test_an_engine_that_contradicts_itself_is_one_line():
    for given, says in (
        ({"name": "spark"}, "unknown engine 'spark'"),
        ({"name": "dask"}, "--scheduler ADDRESS"),
        ({"scheduler": "tcp://x"}, "engine local has none"),
        ({"name": "ray", "scheduler": "auto", "jobs": 2}, "drop --jobs"),
    ):
        with pytest.raises(UsageError, match=says):
            Engine(**given)


@pytest.mark.parametrize(("name", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_is_one_line(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(UsageError, match=rf"pip install 'bnncli\[{name}\]'"),
        open_pool(Engine(name=name, scheduler="tcp://127.0.0.1:1"), None),
    ):
        pass


@pytest.fixture(scope="module")
def scheduler():
    """Start a real scheduler and two worker processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="bnncli[dask] is not installed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
    ):
        yield cluster.scheduler_address


def test_a_dask_scheduler_runs_the_same_matrix(scheduler, conditions):
    one = run(matrix(), replace(conditions, runs_dir=conditions.runs_dir / "one"))
    found = run(matrix(), conditions, Engine(name="dask", scheduler=scheduler))
    assert reached(found) == reached(one)
    assert found.environment["engine"] == "dask"
    assert found.environment["jobs"] == 2


def test_a_dask_worker_that_is_killed_loses_nothing_but_its_own_run(scheduler, conditions):
    what = matrix({"name": "float"}, seeds=4)
    work = killing(what, conditions, times=99)
    found = in_pool(what, work, conditions, Engine(name="dask", scheduler=scheduler))
    assert [cell.state for cell in found] == ["finished", "failed", "finished", "finished"]
    assert str(found[1].error).startswith("its worker was killed")
    assert (conditions.folder / "kills").stat().st_size == 2


def test_no_scheduler_is_one_line(monkeypatch):
    pytest.importorskip("distributed", reason="bnncli[dask] is not installed")
    monkeypatch.setattr("bnncli.compare.cluster.SECONDS_TO_CONNECT", 0.3)
    with (
        pytest.raises(BnnError, match="no Dask scheduler answers"),
        open_pool(Engine(name="dask", scheduler="tcp://127.0.0.1:1"), None),
    ):
        pass
