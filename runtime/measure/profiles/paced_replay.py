"""PacedReplay: frames in memory at a camera's pace, to measure a file as if a camera gave its frames."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from runtime.frame import Frame, now_ns
from runtime.stop import Stop


class PacedReplay:
    """Plays `frames` without end, one at each tick; it waits for nobody, as a camera."""

    live = True
    corrupt = missed = superseded = 0
    inputs: tuple[Path, ...] = ()

    def __init__(self, frames: list[Frame], rate: Fraction) -> None:
        """rate: frames a second."""
        self.frame_rate: Fraction | None = rate
        self.time_base: Fraction | None = 1 / rate
        self.notes: list[str] = []
        self._frames, self._period_ns = frames, Fraction(10**9) / rate
        self._index = 0
        self._start_ns = 0  # of frame 0, set by the first read

    def describe(self) -> str:
        return f"{len(self._frames)} frames in memory at {float(self.frame_rate or 0):g} frames/s, as a camera's"

    def read(self, stop: Stop) -> Frame | None:
        """The next frame at its tick, which is its sensor's stamp; None once `stop` is set."""
        index = self._index
        self._index += 1
        self._start_ns = self._start_ns or now_ns()
        captured_ns = self._start_ns + int(index * self._period_ns)
        if stop.wait_until(captured_ns):
            return None
        frame = self._frames[index % len(self._frames)]
        return replace(frame, index=index, captured_ns=captured_ns, sensor_stamped=True)

    def close(self) -> None:
        pass
