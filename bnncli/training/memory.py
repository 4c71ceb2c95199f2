"""Memory of a training: bytes of the tensors that are held, and the process's peak.

A tracer of Python allocations does not see tensor storages, so it is of no use here.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class Memory:
    """Bytes held while a model is trained.

    ``parameter_bytes`` counts parameters and the integer stores of weights, ``buffer_bytes`` the
    statistics of norms and the like. ``peak_resident_bytes`` is the largest resident set of the
    whole process, its libraries and data included, during the ``run``, or since the ``process``
    began where the system cannot start it anew: ``peak_of`` says which.
    """

    parameter_bytes: int
    buffer_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    peak_resident_bytes: int
    peak_of: str

    def to_dict(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self)


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Add up the bytes of the distinct storages behind tensors; a view costs nothing more."""
    storages = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


GLIBC_THRESHOLDS = {"M_MMAP_THRESHOLD": (-3, 2**25), "M_TRIM_THRESHOLD": (-1, 2**29)}
"""glibc's number of each threshold, and what it is set to."""


def keep_freed_memory() -> bool:
    """Ask the allocator to keep up to 512 MiB of what is freed; tell whether it does (glibc can).

    A training step frees and asks for the same megabytes again and again. By default each time the
    system maps zeroed pages anew, which costs up to half the time of a small step. Where the
    environment sets ``MALLOC_MMAP_THRESHOLD_`` or ``MALLOC_TRIM_THRESHOLD_``, that stands.
    """
    if any(f"MALLOC_{name.removeprefix('M_')}_" in os.environ for name in GLIBC_THRESHOLDS):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    answers = [mallopt(number, value) for number, value in GLIBC_THRESHOLDS.values()]
    return answers == [1, 1]


def reset_peak() -> bool:
    """Start the peak of the resident set anew; tell whether the system let us (Linux may)."""
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def peak_resident_bytes() -> int:
    """Give the largest resident set since the last ``reset_peak`` that worked, else the start."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tensors(inner)


def measure_memory(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, peak_of: str = "process"
) -> Memory:
    """Measure a model and its optimizer after a step, while the gradients are there."""
    stores = [
        buffer
        for module in model.modules()
        if getattr(module, "stores_weights", False)
        for buffer in module.buffers(recurse=False)
    ]
    held = {id(store) for store in stores}
    parameters = list(model.parameters())
    return Memory(
        parameter_bytes=storage_bytes([*parameters, *stores]),
        buffer_bytes=storage_bytes(b for b in model.buffers() if id(b) not in held),
        gradient_bytes=storage_bytes(p.grad for p in parameters if p.grad is not None),
        optimizer_bytes=storage_bytes(_tensors(optimizer.state_dict()["state"])),
        peak_resident_bytes=peak_resident_bytes(),
        peak_of=peak_of,
    )
