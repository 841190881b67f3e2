"""Blocks: a run cut into a warm-up and repeats, with the stamps of frames taken down in some and not in others.

One run has them all, since a camera that is closed and opened again between two of them is another camera.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.frame import UNIQUE
from runtime.measure.profiles.stamps import MOST_FRAMES, WARM_UP, StampBook
from runtime.measure.timing import WARM_UP_FRAMES, Delivery

CLOCKS_EVERY_NS = 200_000_000
CLOCKS_AT_MOST_NS = 5_000_000_000
STEADY = 0.05  # two readings of a clock that differ by less are steady


@dataclass(frozen=True)
class Span:
    """How long a block is: so many frames or seconds, whichever is first."""

    frames: float = math.inf
    seconds: float = math.inf
    recorded: bool = True


@dataclass(frozen=True)
class Counts:
    """What a pipeline has counted so far."""

    captured: int
    drops: dict[str, int]


@dataclass(frozen=True)
class Block:
    """A block that is over; times on CLOCK_MONOTONIC."""

    repeat: int
    recorded: bool
    start_ns: int  # t6 of the frame before it
    end_ns: int  # t6 of its last frame
    delivered: int  # unique frames
    captured: int
    drops: dict[str, int]
    cpu_s: float  # of all threads
    whole: bool  # False: the run ended within it

    @property
    def fps(self) -> float:
        """Unique frames a second."""
        return self.delivered / (self.end_ns - self.start_ns) * 1e9 if self.end_ns > self.start_ns else math.nan

    @property
    def cpu_ms(self) -> float:
        """Processor time of all threads for a frame."""
        return self.cpu_s / self.delivered * 1000 if self.delivered else math.nan


class WarmUp:
    """Over after some milliseconds and ten frames, once the clocks are steady."""

    def __init__(self, ms: float, clock_mhz: Callable[[], float | None]) -> None:
        """clock_mhz: of what computes; None where nobody can read it."""
        self.frames = 0
        self.lasted_ms = 0.0
        self.clocks = ""  # for people
        self._least_ns = int(ms * 1e6)
        self._clock_mhz = clock_mhz
        self._start_ns = self._asked_ns = 0
        self._last_mhz: float | None = None

    def over(self, item: Delivery) -> bool:
        """Asked for every frame, on the sink's thread."""
        now = item.handed_ns
        self._start_ns = self._start_ns or now
        self.frames += 1
        self.lasted_ms = (now - self._start_ns) / 1e6
        if self.frames < WARM_UP_FRAMES or now - self._start_ns < self._least_ns:
            return False
        if now - self._asked_ns < CLOCKS_EVERY_NS:
            return False
        self._asked_ns = now
        return self._steady() or self._gives_up(now)

    def _steady(self) -> bool:
        mhz, last = self._clock_mhz(), self._last_mhz
        self._last_mhz = mhz
        if mhz is None:
            self.clocks = "n/a (this machine shows no clock)"
            return True
        if last is None:
            return False
        self.clocks = f"steady at {mhz:.0f} MHz"
        return abs(mhz - last) <= STEADY * last

    def _gives_up(self, now: int) -> bool:
        if now - self._start_ns < self._least_ns + CLOCKS_AT_MOST_NS:
            return False
        self.clocks = f"not steady after {(now - self._start_ns) / 1e9:.0f} s, {self._last_mhz:.0f} MHz at last"
        return True


class Recorder:
    """A watcher of a pipeline that goes through the spans after the warm-up, then calls `done`."""

    def __init__(
        self,
        spans: Sequence[Span],
        warm_up: WarmUp,
        counts: Callable[[], Counts],
        done: Callable[[], None],
        say: Callable[[Block], None] = lambda block: None,
    ) -> None:
        """say: told of each block that is over, on the sink's thread."""
        self.book = StampBook()
        self.blocks: list[Block] = []
        self._spans = list(spans)
        self._warm_up = warm_up
        self._counts, self._done, self._say = counts, done, say
        self._place = WARM_UP  # of the span now
        self._before_ns = 0
        self._repeat = {True: 0, False: 0}
        self._open_ns = 0  # 0: no block is open
        self._cpu_s = 0.0
        self._from = Counts(0, {})
        self._frames = 0

    def watch(self, item: Delivery) -> None:
        """Called after every delivered frame, on the sink's thread."""
        if self._place == len(self._spans):
            return
        span = self._spans[self._place] if self._place >= 0 else None
        if span is None or span.recorded:
            self.book.add(item, self._before_ns or item.handed_ns, self._repeat[True] if span else WARM_UP)
        self._before_ns = item.handed_ns
        self._frames += item.how in UNIQUE
        if self._is_over(span, item):
            self._end(whole=True)

    def finish(self) -> None:
        """Keep what there is of a block that the end of the run cut short."""
        if self._open_ns and self._frames:
            self._end(whole=False)

    def _is_over(self, span: Span | None, item: Delivery) -> bool:
        if span is None:
            return self._warm_up.over(item)
        full = len(self.book) >= MOST_FRAMES
        return full or self._frames >= span.frames or item.handed_ns - self._open_ns >= span.seconds * 1e9

    def _end(self, whole: bool) -> None:
        counts, cpu_s = self._counts(), time.process_time()
        if self._place >= 0:
            self._keep(self._spans[self._place], counts, cpu_s, whole)
        full = len(self.book) >= MOST_FRAMES
        self._place = len(self._spans) if full or not whole else self._place + 1
        self._open_ns, self._cpu_s, self._from, self._frames = self._before_ns, cpu_s, counts, 0
        if self._place == len(self._spans):
            self._open_ns = 0
            self._done()

    def _keep(self, span: Span, counts: Counts, cpu_s: float, whole: bool) -> None:
        block = Block(
            self._repeat[span.recorded],
            span.recorded,
            self._open_ns,
            self._before_ns,
            self._frames,
            counts.captured - self._from.captured,
            {cause: count - self._from.drops.get(cause, 0) for cause, count in counts.drops.items()},
            cpu_s - self._cpu_s,
            whole,
        )
        self._repeat[span.recorded] += 1
        self.blocks.append(block)
        self._say(block)
