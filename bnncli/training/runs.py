"""Run directories: what one training leaves behind, and how to find it again.

``config.toml`` resolved settings · ``env.json`` what it ran on · ``metrics.jsonl`` one line an epoch ·
``last.pt`` everything needed to go on · ``model.safetensors`` the best weights ·
``model.bnn`` the packed model · ``result.json`` accuracies of the finished run.
The directory's name ends in a hash of the settings, so equal settings meet again. Finding a run
needs no torch; only reading and writing tensors imports it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import pickle
import re
import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from bnncli import __version__
from bnncli.data.files import replacing
from bnncli.data.store import cache_dir
from bnncli.errors import BnnError, UsageError
from bnncli.jsontext import to_json
from bnncli.training.config import Settings, read_settings
from bnncli.training.records import EpochRecord

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_FORMAT = 1
RECORD_FIELDS = tuple(each.name for each in fields(EpochRecord))
RESULT_NUMBERS = (
    *("best_epoch", "validation_hard_accuracy", "test_hard_accuracy"),
    *("train_seconds", "step_seconds", "validation_seconds"),
)


def settings_hash(settings: Settings) -> str:
    """Give eight hexadecimal digits that stand for the settings (the recipe's name aside)."""
    values = settings.to_dict()
    values.pop("recipe", None)
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Run:
    """One run directory."""

    path: Path

    @property
    def name(self) -> str:
        """Give the directory's own name."""
        return self.path.name

    @property
    def checkpoint(self) -> Path:
        """Give the file that holds everything needed to go on."""
        return self.path / "last.pt"

    @property
    def packed(self) -> Path:
        """Give the packed model's file."""
        return self.path / "model.bnn"

    @property
    def finished(self) -> bool:
        """Tell whether the run came to its end: trained, packed and evaluated."""
        return (self.path / "result.json").exists()

    def damaged(self, name: str, why: str) -> BnnError:
        """Build the error for a file of the run that does not say what it should."""
        config, root = (shlex.quote(str(p)) for p in (self.path / "config.toml", self.path.parent))
        again = f"train again with: bnn train {config} --runs-dir {root} --force"
        if name == "config.toml":
            again = "train again with the run's settings and --force"
        return BnnError(f"{self.path / name}: damaged ({why}); restore the file, or {again}")

    def settings(self) -> Settings:
        """Read the resolved settings."""
        path = self.path / "config.toml"
        try:
            if path.stat().st_size == 0:
                raise self.damaged("config.toml", "empty")
            return read_settings(path)
        except UnicodeDecodeError as error:
            raise self.damaged("config.toml", "not UTF-8") from error
        except UsageError as error:
            raise self.damaged("config.toml", str(error).removeprefix(f"{path}: ")) from error

    def metrics(self) -> list[dict[str, Any]]:
        """Read the epoch records; a number that was not finite reads as NaN."""
        name = "metrics.jsonl"
        text = self._read_text(name) or ""
        if not self.finished:
            # A full disk or a killed process cuts the last line; no checkpoint has seen its epoch.
            text = text[: text.rfind("\n") + 1]
        lines = text.splitlines()
        return [
            self._record(f"{name}:{number}", line) for number, line in enumerate(lines, 1) if line
        ]

    def _record(self, where: str, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise self.damaged(where, f"not JSON: {error}") from error
        if not isinstance(row, dict) or row.keys() != set(RECORD_FIELDS):
            raise self.damaged(where, f"expected the keys {', '.join(RECORD_FIELDS)}")
        row = {name: math.nan if value is None else value for name, value in row.items()}
        if type(row["epoch"]) is not int or not all(map(_is_number, row.values())):
            raise self.damaged(where, "expected numbers alone")
        return row

    def result(self) -> dict[str, Any]:
        """Read what a finished run reached; empty for an unfinished one."""
        result = self.read_json("result.json")
        if self.finished:
            for key in RESULT_NUMBERS:
                if not _is_number(result.get(key)):
                    raise self.damaged("result.json", f"{key} is {result.get(key)!r}, not a number")
        return result

    def starts(self) -> list[dict[str, Any]]:
        """Read what each start of the run ran on."""
        starts = self.read_json("env.json").get("starts", [])
        if not isinstance(starts, list) or not all(map(_is_start, starts)):
            raise self.damaged("env.json", "expected starts, each with device and threads")
        return starts

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run so that it is either whole or absent."""
        with replacing(self.path / name) as part:
            part.write_text(text, encoding="utf-8")

    def _read_text(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.damaged(name, f"cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise self.damaged(name, "not UTF-8") from error

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the run's JSON files; absent means empty."""
        text = self._read_text(name)
        if text is None:
            return {}
        try:
            values = json.loads(text)
        except ValueError as error:
            raise self.damaged(name, f"not JSON: {error}") from error
        if not isinstance(values, dict):
            raise self.damaged(name, "expected one JSON object")
        return values

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write one of the run's JSON files."""
        self.write_text(name, to_json(values) + "\n")

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write the checkpoint; where that fails, the one before is kept."""
        import torch

        try:
            with replacing(self.checkpoint) as part:
                torch.save({"format": CHECKPOINT_FORMAT, **state}, part)
        except RuntimeError as error:  # torch's way to say that a file cannot be written
            raise _unwritten(self.checkpoint) from error

    def load_checkpoint(self) -> dict[str, Any]:
        """Read the checkpoint (tensors and plain values only, never code)."""
        if not self.checkpoint.exists():
            raise BnnError(f"{self.checkpoint}: no checkpoint; start the run again with --force")
        import torch

        try:
            state: dict[str, Any] = torch.load(
                self.checkpoint, weights_only=True, map_location="cpu"
            )
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise BnnError(
                f"{self.checkpoint}: damaged checkpoint ({type(error).__name__}); "
                f"start the run again with --force"
            ) from error
        if state.get("format") != CHECKPOINT_FORMAT:
            raise BnnError(
                f"{self.checkpoint}: checkpoint format {state.get('format')}, this bnn reads "
                f"{CHECKPOINT_FORMAT}; resume it with the version that wrote it (see env.json)"
            )
        return state

    def save_weights(self, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Write the best weights as safetensors."""
        from safetensors.torch import save_file

        path = self.path / "model.safetensors"
        try:
            with replacing(path) as part:
                save_file({k: v.contiguous() for k, v in weights.items()}, part, metadata=metadata)
        except SafetensorError as error:
            raise _unwritten(path) from error

    def load_weights(self) -> dict[str, Tensor]:
        """Read the best weights."""
        path = self.path / "model.safetensors"
        if not path.exists():
            raise BnnError(
                f"{path}: not there, the run is unfinished; "
                f"finish it with: bnn train --resume {shlex.quote(str(self.path))}"
            )
        from safetensors.torch import load_file

        try:
            weights: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise self.damaged(path.name, str(error)) from error
        return weights


def _unwritten(path: Path) -> BnnError:
    return BnnError(f"{path}: cannot be written; is the disk full? make room and go on")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_start(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("device"), str)
        and type(value.get("threads")) is int
    )


def run_of(root: Path, settings: Settings) -> Run:
    """Give the run that resolved settings have in a folder, whether it is there yet or not."""
    data = re.sub(r"[:/,=]", "-", settings.data.name)
    return Run(root / f"{settings.model.arch}-{data}-{settings_hash(settings)}")


def _memo(settings: Settings) -> Path:
    values = {"bnn": __version__, **settings.to_dict()}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return cache_dir() / "recipes" / f"{key}.txt"


def remembered_run(settings: Settings) -> str | None:
    """Give the name of the run that settings led to before, filled in by the same version."""
    try:
        return _memo(settings).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def remember_run(settings: Settings, run: Run) -> None:
    """Note which run settings led to, where the cache can be written; else that is found anew."""
    with contextlib.suppress(OSError), replacing(_memo(settings)) as part:
        part.write_text(run.name + "\n", encoding="utf-8")


def new_run(root: Path, settings: Settings, *, force: bool) -> Run:
    """Make the directory for settings; an existing one is kept unless ``force``."""
    run = run_of(root, settings)
    if (run.path / "config.toml").exists() and not force:
        state = "a finished" if run.finished else "an unfinished"
        command = "bnn eval" if run.finished else "bnn train --resume"
        advice = f"{command} {shlex.quote(str(run.path))}"
        raise BnnError(
            f"{run.path} already holds {state} run with these settings; "
            f"see it with: {advice}   or give --force to replace it, or another --seed"
        )
    run.path.mkdir(parents=True, exist_ok=True)
    # A forced run starts from nothing: results of the old one must not outlive its settings.
    for old in ("result.json", "metrics.jsonl", "last.pt", "model.safetensors", "model.bnn"):
        (run.path / old).unlink(missing_ok=True)
    run.write_text("config.toml", settings.to_toml())
    return run


def list_runs(root: Path) -> list[Run]:
    """List the runs in a folder, oldest first."""
    found = [Run(path.parent) for path in root.glob("*/config.toml")]
    return sorted(found, key=lambda run: ((run.path / "config.toml").stat().st_mtime_ns, run.name))


def find_run(name: str | None, root: Path) -> Run:
    """Find a run by path, by name or by a part of its name; None means the latest."""
    if name == "":
        raise UsageError("RUN is empty; give a run's folder or name, or nothing for the latest")
    runs = list_runs(root)
    if name is None:
        if not runs:
            raise UsageError(
                f"no runs in {root}; train one first: bnn train --arch smallconv --binary"
            )
        return runs[-1]
    if (Path(name) / "config.toml").exists():
        return Run(Path(name))
    matches = [run for run in runs if run.name == name] or [r for r in runs if name in r.name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(run.name for run in matches[:5])
        raise UsageError(
            f"run {name!r} could be any of {len(matches)}: {names}; give more of the name"
        )
    raise UsageError(f"no run {name!r} in {root}; see: bnn runs list")
