"""Ticker: a line for people every few seconds, while frames flow."""

from __future__ import annotations

from collections.abc import Callable

from runtime.frame import UNIQUE, now_ns
from runtime.measure.timing import Delivery, Timing


class Ticker:
    """Tells frames, rate and frame age since its last line; the age is that of the last 1024 frames at the most."""

    def __init__(self, every_s: float, timing: Timing, say: Callable[[str], None]) -> None:
        self._every_ns = int(every_s * 1e9)
        self._timing = timing
        self._say = say
        self._since_ns = now_ns()
        self._frames = 0

    def watch(self, item: Delivery) -> None:
        """Called after every delivered frame, on the sink's thread."""
        now = now_ns()
        passed_ns = now - self._since_ns
        if passed_ns < self._every_ns:
            return
        frames = self._timing.delivered - self._frames
        line = f"{self._timing.delivered} frames, {frames / passed_ns * 1e9:.1f} frames/s now"
        recent = self._timing.recent
        if ages := sorted(age for handed_ns, age, how in recent if how in UNIQUE and handed_ns > self._since_ns):
            line += f", frame age p50 {ages[(len(ages) - 1) // 2]:.1f} ms, max {ages[-1]:.1f} ms"
        self._say(line)
        self._since_ns, self._frames = now, self._timing.delivered
