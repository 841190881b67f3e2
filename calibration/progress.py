"""Progress: one line on stderr every few seconds; a terminal overwrites it, a log file keeps it."""

from __future__ import annotations

import sys
import time

EVERY_S = 2.0


class Progress:
    """Counts steps of a task that takes long."""

    def __init__(self, task: str, steps: int) -> None:
        self._task, self._steps, self._done = task, steps, 0
        self._started = self._shown = time.monotonic()

    def step(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._shown >= EVERY_S:
            self._shown = now
            left = (now - self._started) / self._done * (self._steps - self._done)
            self._print(f"{self._task}: {100 * self._done // self._steps} %, about {left:.0f} s left")

    def close(self) -> None:
        """End the line, if there was one."""
        if self._shown > self._started and sys.stderr.isatty():
            print(file=sys.stderr)

    def _print(self, line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
