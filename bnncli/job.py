"""The main job end to end: check, train, freeze, evaluate what runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from bnncli.errors import BnnError, UsageError
from bnncli.forms import freeze_run, packed_form, run_model
from bnncli.freeze import float_bytes
from bnncli.native import backend_name
from bnncli.packed import save_packed
from bnncli.packed.file import to_bytes
from bnncli.training.environment import environment
from bnncli.training.experiment import Outcome, load_run_data, run_training
from bnncli.training.trainers import make_trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bnncli.data import ImageData
    from bnncli.training.config import Settings
    from bnncli.training.records import Reporter
    from bnncli.training.runs import Run


def prepare(settings: Settings, *, data_dir: Path | None, download: bool) -> ImageData:
    """Load the data of resolved settings and refuse settings that cannot be trained.

    Everything a user can get wrong is found here, before a run directory is made.
    """
    data = load_run_data(settings, data_dir=data_dir, download=download)
    if len(data.validation) == 0:
        raise UsageError("validation=0: the best epoch is chosen on it; give at least one image")
    make_trainer(settings, data, device=torch.device("cpu"))
    return data


def train(
    run: Run,
    data: ImageData,
    *,
    device: torch.device,
    command: str,
    resume: bool = False,
    reporters: Sequence[Reporter] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train a run, freeze its best model to ``model.bnn`` and evaluate what was frozen.

    ``result.json`` makes a run finished, so it is written last: resumed, a run that was killed
    before that trains no further step, but is packed and evaluated.
    """
    record_start(run, device=device, command=command, resume=resume)
    if not resume:
        # A run killed before its first checkpoint starts over, without the epochs it had seen.
        (run.path / "metrics.jsonl").unlink(missing_ok=True)
    outcome = run_training(
        run, data, device=device, resume=resume, reporters=reporters, should_stop=should_stop
    )
    if not outcome.finished:
        return outcome
    result = {**outcome.result, **pack(run, data)}
    run.write_json("result.json", result)
    return Outcome(True, result)


def pack(run: Run, data: ImageData) -> dict[str, Any]:
    """Freeze a trained run, save the packed model and evaluate it on the test set.

    A network without a packed form says so under ``packed_error``; its run is whole without it.
    """
    model = run_model(run, data)
    began = time.perf_counter()
    try:
        packed = freeze_run(model, run)
    except BnnError as error:
        return {"packed_error": str(error)}
    save_packed(packed, run.packed, force=True)
    form, _ = packed_form(packed, data)
    return {
        "test_packed_accuracy": form.accuracy,
        "float_bytes": float_bytes(model),
        "packed_bytes": run.packed.stat().st_size,
        "pack_seconds": time.perf_counter() - began,
    }


def record_start(run: Run, *, device: torch.device, command: str, resume: bool) -> None:
    """Write what a run starts on; a resumed run keeps what it ran on before."""
    starts = run.starts() if resume else []
    starts.append(
        {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "device": str(device),
            "kernels": backend_name(),
            **environment(),
        }
    )
    run.write_json("env.json", {"starts": starts})


def write_packed(
    run: Run,
    output: Path | None,
    *,
    sample_seed: int | None,
    force: bool,
    data_dir: Path | None,
    download: bool,
) -> dict[str, Any]:
    """Freeze a run's best weights into a file; give its name and sizes.

    A file in the run that holds the very same bytes already is left as it is.
    """
    name = "model.bnn" if sample_seed is None else f"model-sample-{sample_seed}.bnn"
    path = run.path / name if output is None else output
    exists = BnnError(f"{path}: exists already; give --force to replace it, or another -o FILE")
    if output is not None and path.exists() and not force:
        raise exists
    data = load_run_data(run.settings(), data_dir=data_dir, download=download)
    model = run_model(run, data)
    packed = freeze_run(model, run, sample_seed=sample_seed)
    if force or not path.exists():
        save_packed(packed, path, force=force)
    elif path.read_bytes() != to_bytes(packed):
        raise exists
    return {
        "run": str(run.path),
        "file": str(path),
        "sample_seed": sample_seed,
        "float_bytes": float_bytes(model),
        "packed_bytes": path.stat().st_size,
    }
