"""Exchange: what callers and the GPU's thread pass each other: frames in, results out, the error that ended it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sessions.session import Result
from runtime.stop import POLL_S

Ready = TypeVar("Ready")


class Closed(Exception):
    """The session is closed: there is nothing more to do."""


class Exchange(Generic[Ready]):
    """Frames and results in one order. Every wait ends when the other side is gone."""

    def __init__(self) -> None:
        self._frames: deque[Image] = deque()
        self._results: deque[Result] = deque()
        self._in_flight = 0  # submitted and not taken
        self._ready: Ready | None = None
        self._closing = self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    # What callers do.

    def wait_ready(self) -> Ready:
        """What the thread says once it is ready. Raises: the error that ended it."""
        with self._changed:
            self._wait(lambda: self._ready is not None)
            assert self._ready is not None
            return self._ready

    def submit(self, frame: Image, depth: int) -> None:
        """Add a frame once fewer than `depth` are in flight."""
        with self._changed:
            self._check()
            self._wait(lambda: self._in_flight < depth)
            self._frames.append(frame)
            self._in_flight += 1
            self._changed.notify_all()

    def result(self) -> Result:
        with self._changed:
            self._wait(lambda: bool(self._results))
            self._in_flight -= 1
            self._changed.notify_all()
            return self._results.popleft()

    @property
    def in_flight(self) -> int:
        with self._changed:
            return self._in_flight

    def close(self) -> None:
        """Ask the thread to end; frames that are not done are forgotten."""
        with self._changed:
            self._closing = True
            self._results.clear()
            self._changed.notify_all()

    # What the GPU's thread does.

    def be_ready(self, ready: Ready) -> None:
        with self._changed:
            self._ready = ready
            self._changed.notify_all()

    def check_open(self) -> None:
        """Raises: Closed."""
        with self._changed:
            if self._closing:
                raise Closed

    def next_frame(self, wait: bool) -> Image | None:
        """The oldest frame that was not looked at; None where there is none and `wait` is false. Raises: Closed."""
        with self._changed:
            while wait and not self._frames and not self._closing:
                self._changed.wait()
            if self._closing:
                raise Closed
            return self._frames.popleft() if self._frames else None

    def give(self, result: Result) -> None:
        with self._changed:
            if not self._closing:
                self._results.append(result)
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        """The thread is at its end and holds nothing any more."""
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _wait(self, until: Callable[[], bool]) -> None:
        # In steps, so that Ctrl-C gets through.
        while not until():
            self._check()
            self._changed.wait(POLL_S)

    def _check(self) -> None:
        if self._error is not None:
            raise _again(self._error)
        if self._ended or self._closing:
            raise RuntimeError("the session is closed")


def _again(error: BaseException) -> BaseException:
    """The error for one more caller; a Failure anew, so that no traceback grows."""
    return Failure(str(error), ExitCode(error.code)) if isinstance(error, Failure) else error
