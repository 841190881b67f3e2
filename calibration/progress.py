"""Progress: one line on stderr every few seconds; a terminal overwrites it, a log file keeps it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
EVERY_S = 2.0


class Progress:
    """Counts steps of a task that takes long; it may end before the last of them."""

    def __init__(self, task: str, steps: int) -> None:
        self._task, self._steps, self._done = task, steps, 0
        self._started = self._shown = time.monotonic()
        self._open = False

    def step(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._shown >= EVERY_S:
            self._shown = now
            left = (now - self._started) / self._done * max(self._steps - self._done, 0)
            self._print(f"{self._task}: {self._done} of at most {self._steps}, {left:.0f} s left at most")

    def close(self) -> None:
        """End the line, if there is one."""
        if self._open:
            print(file=sys.stderr)
            self._open = False

    def _print(self, line: str) -> None:
        self._open = sys.stderr.isatty()
        if self._open:
            print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def followed(task: str, items: Sequence[Item]) -> Iterator[Item]:
    """The items, one after the other, with progress as they are asked for."""
    progress = Progress(task, len(items))
    for item in items:
        yield item
        progress.step()
    progress.close()
