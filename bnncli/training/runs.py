"""Run directories: what one training leaves behind, and how to find it again.

``config.toml`` resolved settings · ``env.json`` what it ran on · ``metrics.jsonl`` one line an epoch ·
``last.pt`` everything needed to go on · ``model.safetensors`` the best weights ·
``model.bnn`` the packed model · ``result.json`` accuracies of the finished run.
The directory's name ends in a hash of the settings, so equal settings meet again.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from bnncli.data.files import replacing
from bnncli.errors import BnnError, UsageError
from bnncli.training.config import Settings, read_settings

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_FORMAT = 1


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
        """Tell whether training reached its last step."""
        return (self.path / "result.json").exists()

    def settings(self) -> Settings:
        """Read the resolved settings."""
        return read_settings(self.path / "config.toml")

    def metrics(self) -> list[dict[str, Any]]:
        """Read the epoch records."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line]

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run so that it is either whole or absent."""
        with replacing(self.path / name) as part:
            part.write_text(text)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the run's JSON files; absent means empty."""
        path = self.path / name
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write one of the run's JSON files."""
        self.write_text(name, json.dumps(values, indent=2) + "\n")

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write the checkpoint."""
        with replacing(self.checkpoint) as part:
            torch.save({"format": CHECKPOINT_FORMAT, **state}, part)

    def load_checkpoint(self) -> dict[str, Any]:
        """Read the checkpoint (tensors and plain values only, never code)."""
        if not self.checkpoint.exists():
            raise BnnError(f"{self.checkpoint}: no checkpoint; start the run again with --force")
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
        with replacing(self.path / "model.safetensors") as part:
            save_file({k: v.contiguous() for k, v in weights.items()}, part, metadata=metadata)

    def load_weights(self) -> dict[str, Tensor]:
        """Read the best weights."""
        path = self.path / "model.safetensors"
        if not path.exists():
            raise BnnError(
                f"{path}: not there, the run is unfinished; "
                f"finish it with: bnn train --resume {self.path}"
            )
        weights: dict[str, Tensor] = load_file(path)
        return weights


def new_run(root: Path, settings: Settings, *, force: bool) -> Run:
    """Make the directory for settings; an existing one is kept unless ``force``."""
    name = f"{settings.model.arch}-{settings.data.name}-{settings_hash(settings)}"
    run = Run(root / name)
    if (run.path / "config.toml").exists() and not force:
        state = "finished" if run.finished else "unfinished"
        advice = f"bnn eval {run.path}" if run.finished else f"bnn train --resume {run.path}"
        raise BnnError(
            f"{run.path} already holds a {state} run with these settings; "
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
