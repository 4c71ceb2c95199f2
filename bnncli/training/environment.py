"""What a run ran on, written beside its results."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnncli import __version__


def cpu_name() -> str:
    """Give the processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("model name", "Model\t", "Hardware")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def git_revision() -> str | None:
    """Give the commit of the checkout this package runs from, None where it is installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # no git here: the version alone is recorded
    return done.stdout.strip()


def environment() -> dict[str, Any]:
    """Give versions, processor, threads and source revision."""
    return {
        "bnn": __version__,
        "revision": git_revision(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": platform.platform(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
    }
