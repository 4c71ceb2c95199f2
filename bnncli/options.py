"""Options of registered things: the keyword-only parameters of a function, checked by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from bnncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Give the keyword-only parameters that have a default, with it."""
    parameters = inspect.signature(function).parameters.values()
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return {
        p.name: p.default
        for p in parameters
        if p.kind is keyword_only and p.default is not inspect.Parameter.empty
    }


def with_real_numbers(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Write whole numbers as real ones where the default is real, so that 1 and 1.0 are the same."""
    known = options_of(function)
    return {
        name: float(value) if type(value) is int and isinstance(known.get(name), float) else value
        for name, value in given.items()
    }


def check_options(
    whose: str, function: Callable[..., Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Refuse unknown names and wrong types; an integer may stand for a real number.

    ``whose`` begins the error, such as ``optimizer bop``.
    """
    known = options_of(function)
    checked = {}
    for name, value in given.items():
        if name not in known:
            takes = ", ".join(sorted(known)) or "none"
            raise UsageError(f"{whose} has no option {name!r}; its options are: {takes}")
        default = known[name]
        if isinstance(default, float) and type(value) is int:
            checked[name] = float(value)
        elif default is not None and type(value) is not type(default):
            raise UsageError(
                f"{whose}: option {name}={value!r}: expected {type(default).__name__}, "
                f"such as {default!r}"
            )
        else:
            checked[name] = value
    return checked
