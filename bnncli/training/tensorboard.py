"""Epoch records as TensorBoard scalars; needs the ``tensorboard`` extra."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bnncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from bnncli.training.records import EpochRecord


class TensorBoardReporter:
    """Write each number of an epoch record as a scalar (a Reporter)."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def on_step(self, step: int, steps_per_epoch: int, loss: Tensor) -> None:
        """Write nothing: reading the loss would wait for the device."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Write the record at its epoch."""
        values = record.to_dict()
        epoch = values.pop("epoch")
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()


def check_tensorboard() -> None:
    """Raise unless TensorBoard is installed, before anything is trained."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--tensorboard: tensorboard is not installed; pip install 'bnncli[tensorboard]'"
        ) from error


@contextmanager
def tensorboard_reporter(folder: Path) -> Iterator[TensorBoardReporter]:
    """Open event files in a folder, and close them."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    try:
        yield TensorBoardReporter(writer)
    finally:
        writer.close()
