"""The step of a packed model: a frozen record of arrays and numbers that computes one operation.

Every kind of step registers itself by name, states what it takes and gives, and describes each of
its fields once; saving, loading, comparing and counting bytes follow from the descriptions.
Activations are images channels last, (batch, h, w, channels), or rows, (batch, features).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bnncli.packed.backend import Backend

    Array = NDArray[Any]
    Run = Callable[[Array], Array]

Form = Literal["pixels", "floats", "bits"]
"""What flows between steps: uint8 (n, c, h, w), float32 or packed words, both channels last."""

Role = Literal["weights", "thresholds", "other"]
ROLES: tuple[Role, ...] = ("weights", "thresholds", "other")


BATCH_SIZE = 32
"""Images evaluated at once: float images of wide convolutions then stay near the cache."""


class FieldSpec(Protocol):
    """What a field of a step may hold."""

    def check(self, what: str, value: object) -> None:
        """Refuse a value of another type or shape."""
        ...


@dataclass(frozen=True)
class ArraySpec:
    """A numpy array of one dtype and number of axes, and what its bytes count as."""

    dtype: np.dtype[Any]
    ndim: int
    role: Role

    def check(self, what: str, value: object) -> None:
        """Refuse anything but a non-empty array of this dtype and number of axes."""
        given = type(value).__name__
        if isinstance(value, np.ndarray):
            if value.dtype == self.dtype and value.ndim == self.ndim and value.size:
                return
            given = f"{value.dtype.name} array of shape {value.shape}"
        raise BnnError(
            f"{what}: {given} given, expected a non-empty {self.dtype.name} array of "
            f"{self.ndim} axes; freeze the model again"
        )


@dataclass(frozen=True)
class NumberSpec:
    """An integer or real number of at least ``minimum``, or a pair of them."""

    number: type[int | float]
    minimum: float
    pair: bool = False

    def check(self, what: str, value: object) -> None:
        """Refuse another type or a smaller number."""
        values = value if self.pair else (value,)
        # bool is an int to Python, so compare the exact type.
        if (
            isinstance(values, tuple)
            and len(values) == 1 + self.pair
            and all(type(v) is self.number and v >= self.minimum for v in values)
        ):
            return
        kind = f"{'pair of ' if self.pair else ''}{self.number.__name__}"
        raise BnnError(
            f"{what}: {value!r} given, expected {kind} of at least {self.minimum}; "
            f"freeze the model again"
        )


def array(dtype: str, ndim: int, role: Role) -> Any:
    """Describe an array field."""
    return field(metadata={"spec": ArraySpec(np.dtype(dtype), ndim, role)})


def integer(minimum: int = 1) -> Any:
    """Describe an integer field."""
    return field(metadata={"spec": NumberSpec(int, minimum)})


def integers(minimum: int = 1) -> Any:
    """Describe a field of two integers, (height, width)."""
    return field(metadata={"spec": NumberSpec(int, minimum, pair=True)})


def real(minimum: float) -> Any:
    """Describe a field of one real number."""
    return field(metadata={"spec": NumberSpec(float, minimum)})


class Step(ABC):
    """One operation of a packed model, immutable; :meth:`bind` makes it run."""

    kind: ClassVar[str]
    takes: ClassVar[Form]
    gives: ClassVar[Form]
    preferred_batch: ClassVar[int] = BATCH_SIZE

    def __post_init__(self) -> None:
        for name, spec in self.specs().items():
            spec.check(f"packed step {self.kind}: {name}", getattr(self, name))
        self.validate()

    @classmethod
    def specs(cls) -> dict[str, FieldSpec]:
        """Give the description of each field, in order."""
        return {f.name: f.metadata["spec"] for f in fields(cls)}  # type: ignore[arg-type]

    @classmethod
    def array_specs(cls) -> dict[str, ArraySpec]:
        """Give the description of each array field, in order."""
        return {n: spec for n, spec in cls.specs().items() if isinstance(spec, ArraySpec)}

    def validate(self) -> None:  # noqa: B027 (most kinds have nothing to add)
        """Refuse fields that do not fit each other."""

    @abstractmethod
    def bind(self, backend: Backend) -> Run:
        """Prepare the weights for a backend and give the function that computes the step.

        The function may overwrite float activations that it is given, never pixels or words.
        """

    def arrays(self) -> dict[str, Array]:
        """Give the array fields by name."""
        return {name: getattr(self, name) for name in self.array_specs()}

    def n_bytes(self, *roles: Role) -> int:
        """Count the stored bytes of the arrays of some roles (default: all)."""
        wanted = roles or ROLES
        specs = self.array_specs()
        return sum(values.nbytes for n, values in self.arrays().items() if specs[n].role in wanted)

    def __eq__(self, other: object) -> bool:
        """Compare kind and every field, arrays element by element."""
        if type(self) is not type(other):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self.specs()
        )

    __hash__ = None  # type: ignore[assignment]

    def mismatch(self, text: str) -> BnnError:
        """Build the error for fields that do not fit each other."""
        return BnnError(f"packed step {self.kind}: {text}; freeze the model again")


STEPS: dict[str, type[Step]] = {}
"""Kinds of packed steps, by the name that files store."""

StepType = TypeVar("StepType", bound=type[Step])


def register(cls: StepType) -> StepType:
    """Register a kind of step under its name."""
    STEPS[cls.kind] = cls
    return cls
