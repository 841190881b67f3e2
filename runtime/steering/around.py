"""SessionAround: a session around another one, and the frames that are under way between its two ends."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, TypeVar

from runtime.frame import Image
from runtime.sessions.session import Result, Session
from runtime.stop import POLL_S

Ticket = TypeVar("Ticket")


class InFlight(Generic[Ticket]):
    """What is known of each frame that was submitted and not taken, in their order.

    Some frames never reach the session inside, so it cannot be left to that to keep the order or to limit their number.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._tickets: deque[Ticket] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def wait_for_room(self) -> None:
        """Wait while `depth` frames are in flight. Raises: RuntimeError once closed."""
        with self._changed:
            while len(self._tickets) >= self._depth:
                self._wait()
            self._check()

    def add(self, ticket: Ticket) -> None:
        with self._changed:
            self._tickets.append(ticket)
            self._changed.notify_all()

    def oldest(self) -> Ticket:
        """Take the oldest; waits for one. Raises: RuntimeError once closed."""
        with self._changed:
            while not self._tickets:
                self._wait()
            ticket = self._tickets.popleft()
            self._changed.notify_all()
            return ticket

    def close(self) -> None:
        """Frames in flight are forgotten; whoever waits gives up."""
        with self._changed:
            self._closed = True
            self._tickets.clear()
            self._changed.notify_all()

    def _wait(self) -> None:
        # In steps, so that Ctrl-C gets through.
        self._check()
        self._changed.wait(POLL_S)

    def _check(self) -> None:
        if self._closed:
            raise RuntimeError("the session is closed")


class SessionAround(ABC):
    """Keeps the protocol of `Session` for one around `inner`, which it closes with itself."""

    def __init__(self, inner: Session) -> None:
        self.min_size, self.bytes_per_pixel, self.depth = inner.min_size, inner.bytes_per_pixel, inner.depth
        self.notes = inner.notes
        self._inner = inner

    @abstractmethod
    def submit(self, frame: Image) -> None:
        """Take (H, W, 3) uint8 BGR, which must stay as it is until its result is there. Raises: as the one inside."""

    @abstractmethod
    def result(self) -> Result:
        """The oldest frame's result, as they were submitted. Raises: as the one inside."""

    def infer(self, frame: Image) -> Image:
        """(H, W, 3) uint8 BGR in, the same out. No other frame may be in flight. Raises: as the one inside."""
        self.submit(frame)
        return self.result().image

    def describe(self) -> str:
        return self._inner.describe()

    def close(self) -> None:
        self._inner.close()
