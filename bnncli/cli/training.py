"""A training as seen from a terminal: views, signals, summary."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from bnncli.cli.console import kib, percent, print_json, print_note, size_change, stderr

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from rich.console import Console

    from bnncli.data import ImageData
    from bnncli.training.config import Settings
    from bnncli.training.experiment import Outcome
    from bnncli.training.runs import Run


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to train, apart from what: none of it changes a run's settings.

    A device or number of threads that is None is that of the run's first start, for a new run
    what there is.
    """

    data_dir: Path | None
    download: bool
    device: str | None
    threads: int | None
    runs_dir: Path
    tensorboard: bool
    as_json: bool
    quiet: bool

    @classmethod
    def plain(cls, runs_dir: Path, *, quiet: bool = False) -> Manner:
        """Train computed data here, as another command's first step."""
        return cls(
            data_dir=None,
            download=False,
            device=None,
            threads=None,
            runs_dir=runs_dir,
            tensorboard=False,
            as_json=False,
            quiet=quiet,
        )


def start(settings: Settings, manner: Manner, *, force: bool) -> None:
    """Train resolved settings in a new run directory."""
    from bnncli.job import prepare
    from bnncli.training.building import pick_device
    from bnncli.training.runs import new_run

    if manner.tensorboard:
        from bnncli.training.tensorboard import check_tensorboard

        check_tensorboard()
    device = pick_device(manner.device or "auto")
    data = prepare(settings, data_dir=manner.data_dir, download=manner.download)
    _train(new_run(manner.runs_dir, settings, force=force), data, manner, device, resume=False)


def trained(settings: Settings, name: str, manner: Manner) -> Run:
    """Give the finished run of settings as it stands; train it where there is none.

    Filling in a recipe's settings imports torch, so the cache remembers which run they belong to.
    """
    from bnncli.training.runs import Run, remember_run, remembered_run

    known = remembered_run(settings)
    if known is not None and Run(manner.runs_dir / known).finished:
        return Run(manner.runs_dir / known)
    from bnncli.training.experiment import resolve
    from bnncli.training.runs import run_of

    whole = resolve(settings)
    run = run_of(manner.runs_dir, whole)
    if not run.finished:
        if not manner.quiet:
            print_note(f"no finished run of {name} in {manner.runs_dir} yet: training it")
        if (run.path / "config.toml").exists():
            go_on(str(run.path), manner)
        else:
            start(whole, manner, force=False)
    remember_run(settings, run)
    return run


def go_on(name: str, manner: Manner) -> None:
    """Resume a run from its checkpoint, or from the start where it was stopped before any."""
    from bnncli.forms import run_settings
    from bnncli.training.building import pick_device
    from bnncli.training.experiment import load_run_data
    from bnncli.training.runs import find_run

    run = find_run(name, manner.runs_dir)
    if run.finished:
        result = run.result()
        if not manner.quiet:
            print_note(f"{run.path} is finished; see it with: {_eval_command(run, manner)}")
        if manner.as_json:
            _print_outcome(run, finished=True, result=result)
        return
    # A sum depends on the device and on how threads split it: elsewhere a run ends differently.
    first: dict[str, Any] = next(iter(run.starts()), {"device": "auto", "threads": None})
    manner = replace(
        manner,
        device=manner.device or first["device"],
        threads=manner.threads or first["threads"],
    )
    device = pick_device(manner.device or "auto")
    data = load_run_data(run_settings(run), data_dir=manner.data_dir, download=manner.download)
    _train(run, data, manner, device, resume=run.checkpoint.exists())


def _train(
    run: Run, data: ImageData, manner: Manner, device: torch.device, *, resume: bool
) -> None:
    import torch

    from bnncli import job
    from bnncli.cli.progress import training_view
    from bnncli.training.signals import stop_on_signals

    console = stderr()
    if manner.threads is not None:
        torch.set_num_threads(manner.threads)
    settings = run.settings()
    if not manner.quiet:
        _print_header(console, settings, data, str(device))
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        view = training_view(console, settings.train.epochs, quiet=manner.quiet)
        reporters = [stack.enter_context(view)]
        if manner.tensorboard:
            from bnncli.training.tensorboard import tensorboard_reporter

            reporters.append(stack.enter_context(tensorboard_reporter(run.path / "tensorboard")))
        try:
            outcome = job.train(
                run,
                data,
                device=device,
                command=shlex.join(["bnn", *sys.argv[1:]]),
                resume=resume,
                reporters=reporters,
                should_stop=stop,
            )
        except KeyboardInterrupt as error:
            print_note(f"interrupted; go on with: {_resume_command(run, manner)}", console)
            raise typer.Exit(130) from error
    if outcome.finished and stop.requested and not manner.quiet:
        print_note("asked to stop after the last step; the run is finished", console)
    _end(console, run, outcome, manner)


def _resume_command(run: Run, manner: Manner) -> str:
    return shlex.join(["bnn", "train", "--resume", str(run.path), *_data_options(manner)])


def _eval_command(run: Run, manner: Manner) -> str:
    return shlex.join(["bnn", "eval", str(run.path), *_data_options(manner)])


def _data_options(manner: Manner) -> list[str]:
    # What the environment says, it says to the next command as well.
    said = os.environ.get("BNN_DATA_DIR")
    given = None if manner.data_dir is None else str(manner.data_dir)
    where = [] if given is None or given == said else ["--data-dir", given]
    return where if manner.download else [*where, "--offline"]


def _print_header(console: Console, settings: Settings, data: ImageData, device: str) -> None:
    model, train = settings.model, settings.train
    console.print(
        f"[bold]{model.arch}[/] on [bold]{data.name}[/], weights {model.weights}, activations "
        f"{model.activations}, {train.optimizer}, seed {train.seed}, {device}"
    )
    console.print(_splits(data))


def _splits(data: ImageData) -> str:
    from bnncli.data.exams import CLASSIFICATION

    if data.exam is not CLASSIFICATION:
        return f"boards drawn anew for each step; training and tests count {data.exam.items}"
    if data.train is data.test:
        return f"{len(data.test):,} images, all there are: validated and tested on each"
    sizes = f"{len(data.train):,} training, {len(data.validation):,} validation"
    return f"{sizes}, {len(data.test):,} test images"


def _print_outcome(run: Run, *, finished: bool, result: dict[str, Any]) -> None:
    settings = run.settings().to_dict()
    values = {"run": str(run.path), "finished": finished, "settings": settings, "result": result}
    print_json(values)


def _end(console: Console, run: Run, outcome: Outcome, manner: Manner) -> None:
    if manner.as_json:
        _print_outcome(run, finished=outcome.finished, result=outcome.result)
    if not outcome.finished:
        # Said even when quiet: without it the checkpoint would go unnoticed.
        print_note(f"stopped and saved; go on with: {_resume_command(run, manner)}", console)
        raise typer.Exit(130)
    if not manner.quiet:
        lines = {**summary(run, outcome.result), "next": _eval_command(run, manner)}
        for name, value in lines.items():
            print_note(f"{name:<16} {value}", console)


def summary(run: Run, result: dict[str, Any]) -> dict[str, str]:
    """Say what a finished run reached; every accuracy with its form."""
    lines = {
        "run": str(run.path),
        "best epoch": str(result["best_epoch"] + 1),
        "validation hard": percent(result["validation_hard_accuracy"]),
        "test hard": percent(result["test_hard_accuracy"]),
    }
    if "packed_error" in result:
        lines["test packed"] = f"none: {result['packed_error']}"
    else:
        floats, packed = result["float_bytes"], result["packed_bytes"]
        lines["test packed"] = percent(result["test_packed_accuracy"])
        lines["size"] = f"{kib(packed)} packed, {size_change(floats, packed)} ({kib(floats)})"
    if "restarts" in result:
        n_attempts = result["restarts"] + 1
        attempts = f"{n_attempts} attempt{'s' if n_attempts > 1 else ''}"
        errors, steps = result["hard_errors"], result["steps"]
        lines["hard errors"] = f"{errors} after {steps:,} steps in {attempts}"
    lines["training"] = f"{result['train_seconds']:.1f} s"
    return lines
