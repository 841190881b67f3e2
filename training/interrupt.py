"""Ctrl-C and SIGTERM end a run between two steps."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from torch import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[list[bool]]:
    """A list that fills at Ctrl-C or SIGTERM, so that the step under way can end; a second one interrupts at once.

    torchrun may pass one Ctrl-C on several times, and ends by itself what takes longer than 30 s: there only the first
    one counts.
    """
    stop: list[bool] = []

    def request(number: int, frame: FrameType | None) -> None:
        if stop and not distributed.is_torchelastic_launched():
            raise KeyboardInterrupt
        stop.append(True)

    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_signals_to_parent(worker: int) -> None:
    """For worker processes: a signal reaches the whole group, and the parent decides when its workers end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
