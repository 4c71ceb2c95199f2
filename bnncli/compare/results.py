"""What a comparison is made of: methods, the runs of its matrix, and what each of them reached."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnncli.training.config import Settings


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the matrix: a name, settings laid over the base, and what was published of it.

    ``published`` is text such as ``94.36 ± 0.76`` (percent), with its form and source in ``note``.
    """

    name: str
    about: str = ""
    published: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a matrix: a method with resolved settings, which name data set and seed."""

    method: str
    settings: Settings

    @property
    def data(self) -> str:
        """Give the data set's name."""
        return self.settings.data.name

    @property
    def seed(self) -> int:
        """Give the seed."""
        return self.settings.train.seed


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """How one run of a matrix ended.

    ``state`` is ``finished``, ``failed`` (``error`` says why in one line) or ``stopped``. ``result``
    holds the values of the run's ``result.json`` (accuracies are fractions; ``memory`` the bytes),
    ``epochs`` the rows of its ``metrics.jsonl``. ``wall_seconds`` is what this comparison spent on
    it; a ``reused`` run was finished before.
    """

    method: str
    data: str
    seed: int
    run: str
    state: str
    error: str | None = None
    reused: bool = False
    wall_seconds: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    epochs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A finished matrix; ``budget`` is a sentence that says what was held equal.

    ``shares`` says what the budget gave each method on each data set (epochs, widths, bytes of
    parameters). ``wall_seconds`` is the time of everything up to the report, ``cell_seconds`` the
    sum of the runs' own.
    """

    name: str
    about: str
    budget: str
    methods: tuple[Method, ...]
    cells: tuple[CellResult, ...]
    command: str
    environment: dict[str, Any] = field(default_factory=dict)
    wall_seconds: float = 0.0
    cell_seconds: float = 0.0
    shares: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self)
