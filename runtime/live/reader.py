"""Reader: one opening of a source on a thread of its own, so that a driver that hangs does not hang us."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from edgedeblur import Failure
from runtime.frame import Frame, now_ns
from runtime.mailboxes import Mailbox
from runtime.sources.source import Source
from runtime.stop import POLL_S, Stop, Until


class Reader:
    """Opens, reads and closes a source. Its thread alone calls the source: no library is asked by two at once.

    Frames are handed over one by one and none is lost on the way, so that who takes them decides what is dropped.
    """

    def __init__(self, open_source: Callable[[], Source]) -> None:
        self.source: Source | None = None  # once it is open; only its plain values may be read
        self.text = ""  # the source in one line, once it is open
        self.error: BaseException | None = None
        self.over = False  # the source ended, broke or could not be opened; a frame may still wait
        self._open_source = open_source
        self._asked_ns = now_ns()  # when the source was asked for what it has not answered; 0: it owes nothing
        self._settled, self._began = threading.Event(), threading.Event()
        self._stop = Stop()
        self._frames: Mailbox[Frame] = Mailbox(1, latest=False)
        self._thread = threading.Thread(target=self._work, name="reader", daemon=True)
        self._thread.start()

    @property
    def silent_ns(self) -> int:
        """For how long the source has neither opened nor given the frame that it was asked for."""
        asked_ns = self._asked_ns
        return now_ns() - asked_ns if asked_ns else 0

    @property
    def alive(self) -> bool:
        """Whether the thread still is in the source."""
        return self._thread.is_alive()

    @property
    def empty(self) -> bool:
        """Whether no frame waits."""
        return not len(self._frames)

    def wait_open(self, seconds: float) -> bool:
        """Wait until the source is open or cannot be; False where neither is known by then."""
        return self._settled.wait(seconds)

    def begin(self) -> None:
        """Read from now on. An open source waits for this, since frames that nobody takes grow old."""
        self._began.set()

    def next(self, stop: Stop, seconds: float) -> Frame | None:
        """The next frame; None if `stop` is set, if none comes in time, or none any more."""
        return self._frames.get(Until(stop, seconds))

    def leave(self) -> None:
        """Ask the thread to close the source and to end. It is not waited for: a driver may never answer."""
        self._stop.set()
        self._frames.close()

    def join(self, seconds: float) -> bool:
        """Wait for the thread; False if it did not end in time."""
        self._thread.join(seconds)
        return not self.alive

    def _work(self) -> None:
        source = None
        try:
            source = self._open_source()
            self.text, self._asked_ns = source.describe(), 0
            self.source = source
            self._settled.set()
            self._read(source)
        except BaseException as error:
            self.error = error
        finally:
            self._asked_ns, self.over = 0, True
            self._settled.set()
            self._frames.close()
            if source is not None:
                with suppress(Failure, OSError):  # what it has to say, its breaking said
                    source.close()

    def _read(self, source: Source) -> None:
        while not self._began.wait(POLL_S) and not self._stop.is_set():
            pass
        while not self._stop.is_set():
            self._asked_ns = now_ns()
            frame = source.read(self._stop)
            self._asked_ns = 0
            if frame is None or not self._frames.put(frame, self._stop):
                break
            del frame  # what waits for the next one must not keep the last picture alive
