"""ReplaySource: frames that are already in memory, again and again; reading one costs nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from runtime.frame import Frame, now_ns
from runtime.stop import Stop


class ReplaySource:
    """Plays `frames` back to back without end."""

    live = False
    corrupt = missed = superseded = 0
    frame_rate: Fraction | None = None
    time_base: Fraction | None = None
    inputs: tuple[Path, ...] = ()

    def __init__(self, frames: list[Frame]) -> None:
        self.notes: list[str] = []
        self._frames = frames
        self._index = 0

    def describe(self) -> str:
        return f"{len(self._frames)} frames in memory, back to back"

    def read(self, stop: Stop) -> Frame | None:
        """The next frame, its capture time now; None once `stop` is set."""
        if stop.is_set():
            return None
        frame = self._frames[self._index % len(self._frames)]
        self._index += 1
        return replace(frame, index=self._index - 1, captured_ns=now_ns(), sensor_stamped=False)

    def close(self) -> None:
        pass
