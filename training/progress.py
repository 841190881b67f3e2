"""Progress of a run: a bar with the time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

LOG_EVERY_S = 30.0


class Progress:
    """Counts steps. Use as a context manager."""

    def __init__(self, steps: int, done: int) -> None:
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm(total=steps, initial=done, unit="step", disable=not self._terminal)
        self._steps, self._first = steps, done
        self._started = time.monotonic()
        self._next_line = 0.0

    def update(self, step: int, loss: float, metrics: dict[str, float]) -> None:
        """Step `step` is done."""
        values = {"loss": f"{loss:.4f}", **{name: f"{value:.3f}" for name, value in metrics.items()}}
        if self._terminal:
            self._bar.set_postfix(values, refresh=False)
            self._bar.update()
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LOG_EVERY_S
            left = (time.monotonic() - self._started) / (step - self._first) * (self._steps - step)
            shown = " ".join(f"{name}={value}" for name, value in values.items())
            print(f"step {step}/{self._steps} {shown} {left / 60:.0f} min left", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()
