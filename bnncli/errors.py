"""The one exception type that a user is meant to see."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class BnnError(Exception):
    """Say in one line what was given, what was expected and what to do.

    ``exit_code`` is 2 for a request that could not be understood (usage) and 1 for a run that
    failed. The command line prints the message and exits with it; a library user catches it.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(BnnError):
    """A request that names something unknown or contradicts itself (exit code 2)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=2)


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name that is not registered, with the nearest names as a hint.

    >>> str(unknown_name("arch", "smalconv", ["mlp", "smallconv"]))
    "unknown arch 'smalconv'; did you mean 'smallconv'? known: mlp, smallconv"
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    hint = f" did you mean {near[0]!r}?" if near else ""
    return UsageError(f"unknown {kind} {given!r};{hint} known: {', '.join(names)}")
