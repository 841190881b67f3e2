"""FileClock: a frame's time in a file, from the first frame on."""

from __future__ import annotations

from fractions import Fraction

from runtime.frame import Frame

DEFAULT_RATE, FASTEST = Fraction(30), 1000  # frames a second
LIVE_TIME_BASE = Fraction(1, 90000)
LARGEST_TIME_BASE = 2**31 - 1
FINEST_TIME_BASE = 1_000_000  # units a second, so that two frames of a file may be half an hour apart
MP4_LEAST_UNITS = 20_000  # a second: FFmpeg doubles the units of an MP4 file up to about this
LARGEST_DENOMINATOR = 10_000  # of a frame rate: encoders hold both parts of it in 32 bits


class FileClock:
    """Turns the times of frames into ticks that always grow.

    A camera's frames are timed by when they were captured, on the one clock of the runtime: whatever the camera's own
    clock does, and whatever stands in while it is lost, a file never drifts. Frames of a file keep its times exactly.
    """

    def __init__(self, live: bool, rate: Fraction, time_base: Fraction) -> None:
        """time_base: seconds in a tick."""
        self.time_base = time_base
        self._live = live
        self._frame_ticks = max(1, round(1 / rate / time_base))
        self._start: Fraction | None = None  # of tick 0
        self._last_tick = -1

    def tick(self, frame: Frame) -> int:
        """The frame's time in ticks, later than the last one's; the first one's is 0."""
        time = self._time(frame)
        if self._start is None:
            self._start = time
        tick = round((time - self._start) / self.time_base)
        if tick <= self._last_tick and self._live:
            tick = self._last_tick + 1
        elif tick <= self._last_tick:  # the file's clock went back or stood still: go on at its frame rate
            tick = self._last_tick + self._frame_ticks
            self._start = time - tick * self.time_base
        self._last_tick = tick
        return tick

    def _time(self, frame: Frame) -> Fraction:
        """In seconds."""
        own = None if self._live else frame.time
        return Fraction(frame.captured_ns, 10**9) if own is None else own


def believable_rate(rate: Fraction | None) -> Fraction:
    """A stream may give no rate, the unit of its clock in place of one, or one too fine for encoders."""
    near = rate.limit_denominator(LARGEST_DENOMINATOR) if rate else Fraction(0)
    return near if 0 < near <= FASTEST else DEFAULT_RATE


def longest_step(time_base: Fraction) -> int:
    """Ticks that may lie between two frames of a file: after 2**31 units FFmpeg breaks all times of an MP4 file without
    a word. 6.6 hours of LIVE_TIME_BASE."""
    return int(LARGEST_TIME_BASE / (max(MP4_LEAST_UNITS, time_base.denominator) * time_base)) - 1


def file_time_base(source: Fraction | None) -> Fraction:
    """The source's own unit, so that its times are kept exactly, where encoders can count in it."""
    if source and source < 1 <= source * FINEST_TIME_BASE and source.denominator <= LARGEST_TIME_BASE:
        return source
    return LIVE_TIME_BASE
