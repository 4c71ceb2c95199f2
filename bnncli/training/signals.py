"""Stopping a run without losing it."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody asked the run to stop after the current step."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return self.requested


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request; the second one acts as it always did.

    Outside the main thread Python delivers no signals, so there the request stays False.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.requested = True
        restore()

    for number in SIGNALS:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()
