"""The folder of a comparison: which matrix it holds, what was measured for it, one user at a time."""

from __future__ import annotations

import fcntl
import json
import math
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from bnncli.compare.matrix import read_matrix
from bnncli.data.files import replacing
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bnncli.compare.matrix import Matrix


@dataclass(frozen=True)
class Folder:
    """One comparison's folder: ``matrix.toml``, ``calibration.json``, ``results.json``, report."""

    path: Path

    @property
    def matrix_file(self) -> Path:
        """Give the file that holds the matrix."""
        return self.path / "matrix.toml"

    def check(self, matrix: Matrix, *, force: bool) -> None:
        """Refuse a folder that holds something else, unless ``force``."""
        if force or not self.path.exists():
            return
        if not self.path.is_dir():
            raise BnnError(f"{self.path}: not a folder; give another --output")
        if not self.matrix_file.exists():
            if any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise BnnError(
                    f"{self.path}: holds files, but no comparison; give another --output, or "
                    f"--force to write there"
                )
        elif read_matrix(self.matrix_file).key != matrix.key:
            raise BnnError(
                f"{self.path}: holds another comparison; give --force to replace it (runs are "
                f"kept), or another --output"
            )

    @contextmanager
    def opened(self, matrix: Matrix, *, force: bool) -> Iterator[None]:
        """Hold the folder for this process and write the matrix into it."""
        self.check(matrix, force=force)
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            self._lock(lock)
            shutil.rmtree(self.path / "running", ignore_errors=True)
            if force and not self._holds(matrix):
                (self.path / "calibration.json").unlink(missing_ok=True)
            with replacing(self.matrix_file) as part:
                part.write_text(matrix.to_toml(), encoding="utf-8")
            yield
            shutil.rmtree(self.path / "running", ignore_errors=True)

    def _lock(self, lock: TextIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BnnError(
                f"{self.path}: another bnn compare is at work there; wait for it, or give another "
                f"--output"
            ) from error

    def _holds(self, matrix: Matrix) -> bool:
        try:
            return read_matrix(self.matrix_file).key == matrix.key
        except BnnError:
            return False  # what cannot be read is not this matrix; it is replaced

    def epoch_seconds(self) -> dict[str, float]:
        """Read what an epoch takes by ``method on data``; empty where nothing was measured."""
        path = self.path / "calibration.json"
        if not path.exists():
            return {}
        try:
            values = json.loads(path.read_text(encoding="utf-8"))["epoch_seconds"]
            measured = {str(key): float(value) for key, value in values.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BnnError(f"{path}: damaged; remove it to measure again") from error
        if not all(math.isfinite(value) and value > 0 for value in measured.values()):
            raise BnnError(f"{path}: damaged (not all times are above 0); remove it")
        return measured

    def save_epoch_seconds(self, measured: Mapping[str, float]) -> None:
        """Keep what an epoch takes, so that the same comparison gets the same epochs again."""
        with replacing(self.path / "calibration.json") as part:
            part.write_text(
                json.dumps({"epoch_seconds": dict(measured)}, indent=2) + "\n", encoding="utf-8"
            )
