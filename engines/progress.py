"""A bar for the builder's phases, and Ctrl-C: TensorRT asks after each step whether to go on."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, TextIO

from tqdm import tqdm


class Progress:
    """Follows one build. `stop()` ends it after the step under way.

    TensorRT nests phases; the outermost one is the bar, the inner ones are its caption. Its callbacks come from the
    builder's threads. expected_s: seconds that the last build of this engine took, where one is known.
    """

    def __init__(self, trt: Any, expected_s: float | None = None, stream: TextIO = sys.stderr) -> None:
        self._stop = threading.Event()
        self._expected_s, self._started = expected_s, time.monotonic()
        self._stream = stream
        self._bar: Any = None
        self._outermost: str | None = None
        self.monitor = _monitor(trt, self)

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()
        print("\nstopping after this step (Ctrl-C again leaves at once)", file=self._stream, flush=True)

    def close(self) -> None:
        """End the bar; the builder calls no more."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        if parent is None or self._bar is None:
            self.close()
            self._outermost = phase
            # Without a terminal a bar would fill a log: one line per phase there.
            if not self._stream.isatty():
                print(f"{phase} ({steps} steps)", file=self._stream, flush=True)
            self._bar = tqdm(
                total=steps, desc=phase, file=self._stream, disable=not self._stream.isatty(), leave=False, unit="step"
            )
        else:
            self._bar.set_postfix_str(f"{phase}{self._left()}")

    def _left(self) -> str:
        """How long the last build would still take; nothing once it is overdue."""
        left = (self._expected_s or 0) - (time.monotonic() - self._started)
        return f", about {left:.0f} s left" if left > 0 else ""

    def step_complete(self, phase: str, step: int) -> bool:
        if phase == self._outermost and self._bar is not None:
            self._bar.update(1)
        return not self._stop.is_set()


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base class exists only once a toolkit is chosen
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.phase_start(phase_name, parent_phase, num_steps)

        def phase_finish(self, phase_name: str) -> None:
            return

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step_complete(phase_name, step)

    return Monitor()
