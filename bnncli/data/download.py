"""Download one file with its checksum; nothing half-written stays."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bnncli.data.files import mismatch, replacing, sha256_of
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from bnncli.data.files import DataFile

TIMEOUT_S = 30
CHUNK = 1 << 16


class DownloadBar:
    """Show a download on stderr, through the four members that pooch asks of a progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.total = 0
        self._progress = progress
        self._task = task

    def update(self, n_bytes: int) -> None:
        """Advance by ``n_bytes``."""
        self._progress.update(self._task, advance=n_bytes, total=self.total or None)

    def reset(self) -> None:
        """Go back to zero."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Do nothing: the display is closed by its owner."""


def download(file: DataFile, folder: Path) -> Path:
    """Download a file into a folder unless it is there and right; the first URL that serves wins.

    The bytes go to a temporary file, are verified and only then take the name of the file.
    """
    target = folder / file.name
    if target.is_file() and sha256_of(target) == file.sha256:
        return target
    problems = []
    for url in file.urls:
        try:
            with replacing(target) as part:
                _fetch(url, part, file)
                found, n_bytes = sha256_of(part), part.stat().st_size
                if found != file.sha256:
                    raise mismatch(url, file, found, n_bytes, "nothing was kept")
        except BnnError as error:
            problems.append(str(error))
        except OSError as error:
            if error.errno is not None:  # of this machine; those of the network carry no number
                raise BnnError(
                    f"{target} cannot be written ({error.strerror or error}); set BNN_CACHE_DIR to "
                    f"a writable folder with room for {file.n_bytes} bytes"
                ) from error
            problems.append(f"{url}: {_reason(error)}")
        else:
            return target
    raise BnnError(
        f"{file.name} could not be downloaded: {'; '.join(problems)}; check the network, or put "
        f"the file in {folder}"
    )


def _fetch(url: str, part: Path, file: DataFile) -> None:
    import pooch
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    if not console.is_terminal:
        console.print(f"downloading {url} ({file.n_bytes} bytes)", soft_wrap=True, highlight=False)
        pooch.HTTPDownloader(chunk_size=CHUNK, timeout=TIMEOUT_S)(url, str(part), None)
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(file.name, total=file.n_bytes)
        bar = DownloadBar(progress, task)
        pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT_S)(
            url, str(part), None
        )


def _reason(error: OSError) -> str:
    """Give the innermost cause in one line: a refused connection, not the whole retry story."""
    cause: BaseException = error
    seen = {id(cause)}
    while True:
        inner = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        if not isinstance(inner, BaseException) or id(inner) in seen:
            break
        cause = inner
        seen.add(id(cause))
    return " ".join((str(cause) or type(cause).__name__).split())
