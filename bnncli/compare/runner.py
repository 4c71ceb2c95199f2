"""One cell of a matrix: find its run, reuse, resume or train it, and say how it ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch

from bnncli import job
from bnncli.compare.results import CellResult
from bnncli.errors import BnnError
from bnncli.forms import run_settings
from bnncli.training.building import pick_device
from bnncli.training.experiment import load_run_data
from bnncli.training.runs import new_run, run_of
from bnncli.training.signals import SIGNALS, stop_on_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bnncli.compare.results import Cell
    from bnncli.data import ImageData
    from bnncli.training.config import DataSettings, Settings
    from bnncli.training.runs import Run

FAILURES = (BnnError, OSError, RuntimeError, ValueError, MemoryError)
"""What a run may fail of: its files, the disk, torch, the memory. Others are faults of ours."""

STOPPED = "on request"
SECONDS_BETWEEN_LOOKS = 0.5
ONE_RUN_A_PROCESS = threading.Lock()
"""Runs draw from torch's default generator, so two in one process would change each other."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How to run the cells: none of it changes a run's settings. Goes to the workers.

    ``folder`` is the comparison's: it holds the stop file and a mark for each run that is under
    way. Workers see it and ``runs_dir`` under the same paths. ``threads`` None is torch's choice.
    """

    folder: Path
    runs_dir: Path
    data_dir: Path | None = None
    download: bool = False
    device: str = "auto"
    threads: int | None = None
    command: str = "bnn compare"
    in_worker: bool = False

    @property
    def stop_file(self) -> Path:
        """Give the file that asks all running cells to save and stop."""
        return self.folder / "stop"

    def mark(self, cell: Cell) -> Path:
        """Give the file that says that a cell is under way, and in which process."""
        return self.folder / "running" / run_of(self.runs_dir, cell.settings).name


class StopFile:
    """Tell whether the stop file is there; look at most every half second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.next_look = 0.0
        self.there = False

    def __call__(self) -> bool:
        """Tell whether to stop."""
        now = time.monotonic()
        if not self.there and now >= self.next_look:
            self.next_look = now + SECONDS_BETWEEN_LOOKS
            self.there = self.path.exists()
        return self.there


def cell_data(settings: Settings, *, data_dir: Path | None, download: bool) -> ImageData:
    """Load the data set of settings, each split once per process."""
    # How the images are changed in training is not part of what is loaded.
    return _load(replace(settings.data, augment="none"), data_dir, download)


@cache
def _load(data: DataSettings, data_dir: Path | None, download: bool) -> ImageData:
    from bnncli.training.config import Settings

    return load_run_data(Settings(data=data), data_dir=data_dir, download=download)


def one_line(error: BaseException) -> str:
    """Say in one line why something failed."""
    if isinstance(error, OSError) and error.strerror:
        name = error.filename2 or error.filename
        return error.strerror if name is None else f"{os.fsdecode(name)}: {error.strerror}"
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else "no reason given"
    return text if isinstance(error, BnnError) else f"{type(error).__name__}: {text}"


def result_of(cell: Cell, conditions: Conditions, state: str, error: str | None) -> CellResult:
    """Build the result of a cell that reached nothing."""
    return CellResult(
        method=cell.method,
        data=cell.data,
        seed=cell.seed,
        run=str(run_of(conditions.runs_dir, cell.settings).path),
        state=state,
        error=error,
    )


def run_cell(cell: Cell, conditions: Conditions) -> CellResult:
    """Reuse, resume or train the run of a cell; its failure is a result, not an exception."""
    with ONE_RUN_A_PROCESS:
        began = time.perf_counter()
        stop = StopFile(conditions.stop_file)
        if stop():
            return result_of(cell, conditions, "stopped", STOPPED)
        try:
            with _worker_signals(conditions) as asked, _marked(conditions.mark(cell)):
                result = _run(cell, conditions, lambda: asked() or stop())
        except FAILURES as error:
            result = result_of(cell, conditions, "failed", one_line(error))
        return replace(result, wall_seconds=time.perf_counter() - began)


@contextmanager
def _worker_signals(conditions: Conditions) -> Iterator[Callable[[], bool]]:
    """Stop a worker's run at a signal; where there is no worker, that is the parent's to do."""
    if not conditions.in_worker:
        yield lambda: False
        return
    if threading.current_thread() is threading.main_thread():
        # A terminal's Ctrl-C reaches idle workers too; the parent asks for a stop by its file.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_signals() as asked:
        yield asked


@contextmanager
def _marked(mark: Path) -> Iterator[None]:
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _run(cell: Cell, conditions: Conditions, stop: Callable[[], bool]) -> CellResult:
    run = run_of(conditions.runs_dir, cell.settings)
    blank = result_of(cell, conditions, "finished", None)
    there = (run.path / "config.toml").exists()
    if there and replace(run_settings(run), recipe=None) != replace(cell.settings, recipe=None):
        raise run.damaged("config.toml", "not the settings that the folder's name stands for")
    if there and run.finished:
        return replace(blank, reused=True, result=run.result(), epochs=tuple(run.metrics()))
    resume = there and run.checkpoint.exists()
    if not there:
        new_run(conditions.runs_dir, cell.settings, force=False)
    device, threads = _device_and_threads(run, conditions, resume=resume)
    data = cell_data(cell.settings, data_dir=conditions.data_dir, download=conditions.download)
    with torch_threads(threads):
        outcome = job.train(
            run,
            data,
            device=pick_device(device),
            command=conditions.command,
            resume=resume,
            should_stop=stop,
        )
    epochs = tuple(run.metrics())
    if not outcome.finished:
        return replace(blank, state="stopped", error=STOPPED, epochs=epochs)
    return replace(blank, result=run.result(), epochs=epochs)


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Let torch use so many threads meanwhile; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if number is None else number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device_and_threads(
    run: Run, conditions: Conditions, *, resume: bool
) -> tuple[str, int | None]:
    """Give those of a resumed run's first start: elsewhere its sums would round differently."""
    starts = run.starts() if resume else []
    if not starts:
        return conditions.device, conditions.threads
    return starts[0]["device"], starts[0]["threads"]


@contextmanager
def stop_file_on_signals(stop_file: Path) -> Iterator[None]:
    """Write the stop file at the first Ctrl-C or SIGTERM; the second one acts as it always did.

    The file is gone before and after.
    """
    stop_file.unlink(missing_ok=True)
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if main else {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(_number: int, _frame: object) -> None:
        stop_file.touch()
        restore()

    for number in before:
        signal.signal(number, request)
    try:
        yield
    finally:
        restore()
        stop_file.unlink(missing_ok=True)
