"""Newest: the frame that viewers see next, held only while somebody looks. The pipeline never waits for a viewer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.frame import now_ns
from runtime.measure.timing import Delivery
from runtime.stop import POLL_S

MOST_FPS = 15  # pictures a second for viewers
SHARE = 0.025  # of this machine's processors, that encoding for viewers may take
LONGEST_NS = 2_000_000_000  # between two offers, however dear they are


class Newest:
    """Offers frames to viewers, at most MOST_FPS a second and fewer where encoding them is dear.

    All viewers are offered the same frames, so that one encoding serves them all.
    """

    def __init__(self) -> None:
        self.viewers = 0
        self._offer: tuple[int, Delivery | None] = (0, None)  # one value, so that a reader needs no lock
        self._changed = threading.Condition()
        self._woken_for = 0  # the offer that all who wait were woken for
        self._due_ns = 0
        self._period_ns = 10**9 // MOST_FPS
        self._processors = len(os.sched_getaffinity(0))

    def watch(self, item: Delivery) -> None:
        """Called after every delivered frame, on the sink's thread."""
        if not self.viewers or item.done_ns < self._due_ns - self._period_ns // 4:  # a camera is not that exact
            return
        self._due_ns = max(self._due_ns, item.done_ns - self._period_ns // 4) + self._period_ns
        self._offer = (self._offer[0] + 1, item)
        if not self.viewers:  # the last one left in between
            self._let_go()
        # A viewer that has the lock may be put aside with it. It is not waited for: the others look again in POLL_S.
        if self._changed.acquire(blocking=False):
            self._changed.notify()  # one, which wakes the others: waking 20 takes longer than all else here
            self._changed.release()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """For as long as somebody looks."""
        with self._changed:
            self.viewers += 1
        try:
            yield
        finally:
            with self._changed:
                self.viewers -= 1
            if not self.viewers:
                self._let_go()

    def after(self, number: int, every: int, until_ns: int) -> tuple[int, Delivery | None]:
        """The newest offer once a multiple of `every` lies between it and offer `number`.

        None in place of the frame where there is none by `until_ns` or the stream has ended.
        """
        while (offer := self._offer)[0] // every <= number // every or offer[1] is None:
            del offer  # waiting must not keep a frame
            if now_ns() >= until_ns:
                return number, None
            with self._changed:
                self._changed.wait(POLL_S)
                if self._woken_for < self._offer[0]:
                    self._woken_for = self._offer[0]
                    self._changed.notify_all()
        return offer

    def spent(self, seconds: float) -> None:
        """Told what the pictures of one offer cost; dear ones are offered less often."""
        dear_ns = int(seconds / (SHARE * self._processors) * 1e9)
        self._period_ns = max(10**9 // MOST_FPS, min(LONGEST_NS, dear_ns))

    def _let_go(self) -> None:
        self._offer = (self._offer[0], None)
