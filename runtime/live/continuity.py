"""Continuity: makes the frames of many openings one stream, numbered on and in the order of time."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from runtime.frame import Frame, How, Image, now_ns

CLOCK_STEP_NS = 1_000_000  # from a stand-in to a frame that was captured before it, and came after it


class Continuity:
    """Numbers frames, makes stand-ins, and keeps both from going back in time.

    Frames keep the moment at which they were captured, on our clock, so that an outage lasts in a recording for as long
    as it did. The source's own clock is not used: it starts anew with each opening.
    """

    def __init__(self) -> None:
        self.last_ns = 0  # CLOCK_MONOTONIC: the time of the frame that went out last
        self._last: Image | None = None  # the last picture of the source
        self._blank: Image | None = None
        self._next = 0  # index of the next frame
        self._base: int | None = None  # added to the source's own index; None: its first frame comes next

    @property
    def begun(self) -> bool:
        """Whether there was a frame, whose picture or size can be held."""
        return self._last is not None

    def restart(self) -> None:
        """The source was opened again: its frames count from anywhere."""
        self._base = None

    def passed(self, frame: Frame, how: How) -> Frame:
        """A frame of the source as it goes out."""
        if self._base is None:
            self._base = self._next - frame.index
        index = max(self._next, self._base + frame.index)
        self._last, self._next = frame.image, index + 1
        # A frame may have been captured before the last stand-in and arrive after it. It keeps the moment, by which its
        # age is measured, and is shown just after the stand-in.
        late = frame.captured_ns <= self.last_ns
        self.last_ns = self.last_ns + CLOCK_STEP_NS if late else frame.captured_ns
        return replace(frame, index=index, time=Fraction(self.last_ns, 10**9) if late else None, how=how)

    def stand_in(self, how: How) -> Frame:
        """A frame of now, of the size the source had last: its last picture, or a black one where `how` is blank."""
        assert self._last is not None  # there is no size before the first frame
        if how == "blank" and (self._blank is None or self._blank.shape != self._last.shape):
            self._blank = np.zeros_like(self._last)
        image = self._blank if how == "blank" and self._blank is not None else self._last
        index, self._next = self._next, self._next + 1
        if self._base is not None:
            self._base += 1
        self.last_ns = max(now_ns(), self.last_ns + CLOCK_STEP_NS)
        return Frame(image, index, self.last_ns, how=how)
