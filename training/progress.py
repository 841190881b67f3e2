"""Progress of a run: a bar with the time left on a terminal, a line now and then in a log, and what it came to."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

from training.meter import Meter, Step

LOG_EVERY_S = 30.0
RECENT = 25  # steps that the shown rates are of


class Progress:
    """Shows how far a run is, `done` of `total`, be it steps or seconds. Use as a context manager."""

    def __init__(self, done: float, total: float) -> None:
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            initial=done,
            disable=not self._terminal,
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )
        self._first, self._started = done, time.monotonic()
        self._next_line = 0.0
        self._recent, self._shown, self._whole = Meter(), Meter(), Meter()

    def add(self, number: int, step: Step, done: float, total: float, metrics: Mapping[str, float]) -> None:
        """Step `number` is done; metrics: of the last validation."""
        self._count(step)
        figures = " ".join(f"{name}={value:.3f}" for name, value in metrics.items())
        words = " ".join(filter(None, [f"step {number} loss={step.loss:.4f}", figures, _rates(self._shown)]))
        if self._terminal:
            self._bar.total = total
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(min(done, total) - self._bar.n)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LOG_EVERY_S
            left = (time.monotonic() - self._started) / (done - self._first) * (total - done)
            print(f"{done / total:4.0%} {words}, {left / 60:.0f} min left", file=sys.stderr, flush=True)

    def _count(self, step: Step) -> None:
        self._whole.add(step)
        self._recent.add(step)
        if self._recent.steps >= RECENT or not self._shown.patches:
            self._shown, self._recent = self._recent, Meter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()
        if self._whole.patches:
            print(f"trained at {_rates(self._whole)}", file=sys.stderr)


def _rates(meter: Meter) -> str:
    row = meter.row()
    return f"{row['patches_per_s']:.1f} patches/s, {row['data_wait']:.0%} of the time waiting for data"
