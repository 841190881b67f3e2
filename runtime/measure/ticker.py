"""Ticker: a line on stderr every few seconds, while frames flow."""

from __future__ import annotations

import sys

from runtime.frame import now_ns
from runtime.measure.timing import Delivery, Timing


class Ticker:
    """Prints frames, rate and frame age since its last line."""

    def __init__(self, every_s: float, timing: Timing) -> None:
        self._every_ns = int(every_s * 1e9)
        self._timing = timing
        self._since_ns = now_ns()
        self._frames = 0

    def watch(self, item: Delivery) -> None:
        """Called after every delivered frame, on the sink's thread."""
        now = now_ns()
        passed_ns = now - self._since_ns
        if passed_ns < self._every_ns:
            return
        frames = self._timing.delivered - self._frames
        age = self._timing.stages.age.summary()
        line = f"{self._timing.delivered} frames, {frames / passed_ns * 1e9:.1f} frames/s now"
        print(f"{line}, frame age p50 {age['p50']:.1f} ms, max {age['max']:.1f} ms", file=sys.stderr, flush=True)
        self._since_ns, self._frames = now, self._timing.delivered
