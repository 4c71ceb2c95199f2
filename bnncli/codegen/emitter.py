"""The interface of emitters: a design becomes text or bytes in a named format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bnncli.errors import BnnError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnncli.circuit.design import Design

    Emit = Callable[[Design], str | bytes]

AnyEmit = TypeVar("AnyEmit", bound="Emit")


@dataclass(frozen=True)
class Emitter:
    """A format: its name, the suffix of its files, what it is, and the function that writes it."""

    name: str
    suffix: str
    summary: str
    emit: Emit


EMITTERS: dict[str, Emitter] = {}
"""Every format by name."""


def emitter(name: str, suffix: str, summary: str) -> Callable[[AnyEmit], AnyEmit]:
    """Register a function as the emitter of a format."""

    def register(emit: AnyEmit) -> AnyEmit:
        EMITTERS[name] = Emitter(name, suffix, summary, emit)
        return emit

    return register


def find_emitter(name: str) -> Emitter:
    """Look a format up by name."""
    if name not in EMITTERS:
        raise unknown_name("format", name, EMITTERS)
    return EMITTERS[name]


def refuse_sums(design: Design, format_name: str) -> None:
    """Refuse class sums in a format that knows only gates."""
    if design.sums:
        raise BnnError(
            f"{format_name} holds gates only, but {design.name} ends in class sums; extract with "
            f"--pure to build the sums from gates"
        )
