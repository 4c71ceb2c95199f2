"""What ``bnn data`` shows: each data set with its sizes, its licence and where it was found."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bnncli.data.sources import SOURCES, find_source
from bnncli.data.store import Found, decoded_path, find, load_records, missing
from bnncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

State = Literal["embedded", "computed", "found", "decoded", "absent"]


@dataclass(frozen=True)
class Entry:
    """Describe one data set as it is on this machine.

    ``state``: ``embedded`` in the program; ``computed`` by it (``path`` is None); its files
    ``found`` at ``path``; only ``decoded`` records left in the cache; or ``absent`` (``path`` is
    None).
    """

    name: str
    state: State
    path: Path | None
    n_train: int
    n_test: int
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    licence: str
    citation: str


def entry(name: str, data_dir: Path | None = None) -> Entry:
    """Describe a data set by name, with the folder or file that would be used."""
    source = find_source(name)
    state, path = _locate(name, data_dir)
    return Entry(
        name=name,
        state=state,
        path=path,
        n_train=source.n_train,
        n_test=source.n_test,
        image_shape=source.image_shape,
        classes=source.classes,
        licence=source.licence,
        citation=source.citation,
    )


def catalog(data_dir: Path | None = None) -> list[Entry]:
    """Describe every data set that the program knows."""
    return [entry(name, data_dir) for name in SOURCES]


def data_path(name: str, data_dir: Path | None = None) -> Path:
    """Give the folder or file that a data set would be read from; raise where there is none."""
    found = entry(name, data_dir)
    path = found.path
    if found.state == "computed":
        raise UsageError(f"data set {found.name!r} is computed: it has no files and needs no fetch")
    if path is None:
        raise missing(find_source(name), data_dir)
    return path


def prepare(names: Sequence[str]) -> list[Entry]:
    """Make data sets ready for training: download what is nowhere, verify, decode into the cache.

    Every name is looked up before the first byte moves.
    """
    sources = [find_source(name) for name in names]
    for source in sources:
        load_records(source, may_download=True)
    return [entry(source.name) for source in sources]


def _locate(name: str, data_dir: Path | None) -> tuple[State, Path | None]:
    source = find_source(name)
    if source.whole:
        return "computed", None
    if source.embedded:
        return "embedded", Path(str(resources.files("bnncli.data").joinpath("digits.npz")))
    found = find(source, data_dir)
    if found is not None:
        return "found", _shown(found)
    decoded = decoded_path(source)
    return ("decoded", decoded) if decoded.is_file() else ("absent", None)


def _shown(found: Found) -> Path:
    return found.paths[0] if len(found.paths) == 1 else found.folder
