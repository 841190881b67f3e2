"""SharedSession: one network for several streams, each with a lane that looks like a session of its own."""

from __future__ import annotations

import threading
from collections import deque

from runtime.frame import Image
from runtime.sessions.session import Result, Session
from runtime.stop import POLL_S


class SharedSession:
    """Gives every stream a lane; frames of all lanes go through the one session in the order they came.

    The session returns results in that order and does not know whose they are: `_order` does, and only the lane at its
    head takes a result. Without that two cameras could be given each other's pictures.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._giving = threading.Lock()  # held while a frame is given, so that `_order` is the session's order
        self._order: deque[Lane] = deque()
        self._changed = threading.Condition()

    def lane(self) -> Lane:
        """A new lane. The session itself stays the caller's to close."""
        return Lane(self, self._session)

    def give(self, lane: Lane, frame: Image) -> None:
        """Submit a frame of `lane`. Waits for those of other lanes. Raises: as the session's `submit`."""
        with self._giving:
            self._session.submit(frame)
            with self._changed:
                self._order.append(lane)
                self._changed.notify_all()

    def take(self, lane: Lane) -> Result:
        """The oldest result of `lane`, once it is the oldest of all. Raises: as the session's `result`."""
        self._wait_for_turn(lane)
        try:
            return self._session.result()
        finally:
            with self._changed:
                self._order.popleft()
                self._changed.notify_all()

    def drop(self, lane: Lane) -> None:
        """Take what `lane` left behind, so that the others' results are found. Raises: as the session's `result`."""
        while lane in self._order:
            self.take(lane)

    def _wait_for_turn(self, lane: Lane) -> None:
        with self._changed:
            while not self._order or self._order[0] is not lane:
                self._changed.wait(POLL_S)


class Lane:
    """A session for one stream, backed by the one that all share. Called from one thread."""

    depth = 1  # a lane that waits for room has no frame in flight: no two lanes can wait for each other

    def __init__(self, shared: SharedSession, session: Session) -> None:
        self.min_size, self.bytes_per_pixel, self.notes = session.min_size, session.bytes_per_pixel, session.notes
        self._shared, self._session = shared, session

    def submit(self, frame: Image) -> None:
        """As the session's, after the frames that other lanes gave before."""
        self._shared.give(self, frame)

    def result(self) -> Result:
        """The oldest result of this lane's own frames."""
        return self._shared.take(self)

    def infer(self, frame: Image) -> Image:
        self.submit(frame)
        return self.result().image

    def describe(self) -> str:
        return self._session.describe()

    def close(self) -> None:
        """Leave no result behind; the session stays open for the others."""
        self._shared.drop(self)
