"""Stop: the one flag that ends every wait of the runtime, and the signals that set it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

POLL_S = 0.05  # how often a wait looks at the flag; a wait for data is woken by the data, not by this


class Stop:
    """A flag without a lock.

    `threading.Event.set` takes a lock that the interrupted thread may hold, so a signal handler must not call it;
    setting an attribute is always safe. The waits poll it instead of being woken.
    """

    def __init__(self, parent: Stop | None = None) -> None:
        """parent: a stop that also sets this one; setting this one leaves the parent as it is."""
        self._set = False
        self._parent = parent
        self.signal_name = ""  # which signal asked for the stop, if one did

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set or (self._parent is not None and self._parent.is_set())

    def wait_until(self, deadline_ns: int) -> bool:
        """Sleep until CLOCK_MONOTONIC passes `deadline_ns`; True if the flag was set first."""
        while not self.is_set():
            left_s = (deadline_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                return False
            time.sleep(min(left_s, POLL_S))
        return True


class Until(Stop):
    """A stop that also sets itself after a time."""

    def __init__(self, parent: Stop, seconds: float) -> None:
        super().__init__(parent)
        self._end_ns = time.monotonic_ns() + int(seconds * 1e9)

    def is_set(self) -> bool:
        return super().is_set() or time.monotonic_ns() >= self._end_ns


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `stop`, so that files are finished; a second one interrupts at once."""

    def handle(number: int, _: FrameType | None) -> None:
        if stop.signal_name:
            raise KeyboardInterrupt
        stop.signal_name = signal.Signals(number).name
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
