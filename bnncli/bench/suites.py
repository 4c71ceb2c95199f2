"""The suites by name. A suite is a module with ``cases()``; it is imported when it runs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bnncli.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnncli.bench.harness import Case, Observation


@dataclass(frozen=True)
class Suite:
    """A list of cases and how it is run; ``threads`` None leaves torch's own number."""

    name: str
    summary: str
    module: str
    threads: int | None
    seconds: float

    def cases(self) -> Sequence[Case | Observation]:
        """List the cases; nothing is built yet."""
        listed = importlib.import_module(self.module).cases()
        return cast("Sequence[Case | Observation]", listed)


_ALL = (
    Suite(
        name="kernels",
        summary="Time packing, binary products and convolutions against torch float32.",
        module="bnncli.bench.kernels",
        threads=1,
        seconds=60.0,
    ),
    Suite(
        name="models",
        summary="Time packed models against the same networks in torch float32.",
        module="bnncli.bench.models",
        threads=1,
        seconds=90.0,
    ),
    Suite(
        name="training",
        summary="Time training steps with binary weights against float steps of the same net.",
        module="bnncli.bench.training",
        threads=None,
        seconds=60.0,
    ),
    Suite(
        name="logic",
        summary="Time gate networks against one compiled C function with a variable a gate.",
        module="bnncli.bench.logic_inference",
        threads=1,
        seconds=60.0,
    ),
    Suite(
        name="logic-training",
        summary="Time steps through gate layers: the kernels, torch, and sixteen gates at once.",
        module="bnncli.bench.logic_training",
        threads=1,
        seconds=60.0,
    ),
    Suite(
        name="rules",
        summary="Train gates on rules of cellular automata: how many seeds end without error.",
        module="bnncli.bench.rules",
        threads=1,
        seconds=300.0,
    ),
    Suite(
        name="circuits",
        summary="Make large and small circuits smaller, beside abc: gates left and seconds.",
        module="bnncli.bench.circuits",
        threads=1,
        seconds=900.0,
    ),
    Suite(
        name="gol",
        summary="Time steps of the learned Game of Life: usual C, torch, and what bnn compiles.",
        module="bnncli.bench.steppers",
        threads=1,
        seconds=60.0,
    ),
)
SUITES: dict[str, Suite] = {suite.name: suite for suite in _ALL}


def find_suite(name: str) -> Suite:
    """Look a suite up by name."""
    if name not in SUITES:
        raise unknown_name("bench suite", name, SUITES)
    return SUITES[name]
