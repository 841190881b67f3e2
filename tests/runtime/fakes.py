"""Small sources, sessions and sinks that misbehave on purpose."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np

from runtime.frame import Frame, Image, now_ns
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Result
from runtime.sinks.sink import Sink
from runtime.stop import Stop


class CountingSource:
    """`count` frames that carry their number in every pixel; one comes every `period_s` if it is live."""

    inputs: tuple[Path, ...] = ()
    corrupt = missed = superseded = 0
    frame_rate: Fraction | None = Fraction(30)
    time_base: Fraction | None = None

    def __init__(self, count: int, live: bool = False, period_s: float = 0.0, fail_at: int = -1) -> None:
        self.live, self.count, self.period_s, self.fail_at = live, count, period_s, fail_at
        self.notes: list[str] = []
        self.closed = 0
        self.given = 0

    def describe(self) -> str:
        return "counting"

    def read(self, stop: Stop) -> Frame | None:
        if self.given == self.fail_at:
            raise RuntimeError("the source broke")
        if self.given == self.count or stop.wait_until(now_ns() + int(self.period_s * 1e9)):
            return None
        self.given += 1
        image = np.full((12, 16, 3), (self.given - 1) % 256, np.uint8)
        return Frame(image, self.given - 1, now_ns(), self.live)

    def close(self) -> None:
        self.closed += 1


class SlowSession:
    """Gives back its input after `seconds`; raises at frame `fail_at`."""

    min_size = (1, 1)
    bytes_per_pixel = 0
    depth = 1

    def __init__(self, seconds: float = 0.0, fail_at: int = -1) -> None:
        self.seconds, self.fail_at, self.done = seconds, fail_at, 0
        self.notes: list[str] = []
        self.results: list[Result] = []

    def infer(self, frame: Image) -> Image:
        if self.done == self.fail_at:
            raise RuntimeError("the session broke")
        time.sleep(self.seconds)
        self.done += 1
        return frame.copy()

    def submit(self, frame: Image) -> None:
        self.results.append(Result(self.infer(frame), now_ns()))

    def result(self) -> Result:
        return self.results.pop(0)

    def describe(self) -> str:
        return "slow"

    def close(self) -> None:
        pass


class DeepSession(SlowSession):
    """Computes in a thread of its own with up to `depth` frames in flight; `most` is how many there were."""

    depth = 3

    def __init__(self, seconds: float = 0.0, fail_at: int = -1) -> None:
        super().__init__(seconds, fail_at)
        self._workers = ThreadPoolExecutor(1)
        self._futures: deque[Future[Result]] = deque()
        self.most = 0

    def submit(self, frame: Image) -> None:
        self._futures.append(self._workers.submit(lambda: Result(self.infer(frame), now_ns())))
        self.most = max(self.most, len(self._futures))

    def result(self) -> Result:
        return self._futures.popleft().result()

    def close(self) -> None:
        self._workers.shutdown()


class KeepingSink:
    """Remembers which frames came; takes `seconds` for each; raises at frame `fail_at`."""

    any_size = True

    def __init__(self, seconds: float = 0.0, fail_at: int = -1, error: Exception | None = None) -> None:
        self.seconds, self.fail_at = seconds, fail_at
        self.error = error or RuntimeError("the sink broke")
        self.kept: list[int] = []
        self.closed = 0

    def write(self, picture: Image, frame: Frame) -> None:
        if len(self.kept) == self.fail_at:
            raise self.error
        time.sleep(self.seconds)
        assert (picture == frame.index % 256).all()
        self.kept.append(frame.index)

    def close(self) -> None:
        self.closed += 1

    def describe(self) -> str:
        return "kept"


def pipeline(source: CountingSource, session: SlowSession, sinks: Sequence[Sink], **options: object) -> Pipeline:
    """A pipeline with the policy that fits the source."""
    chosen = {"latest": source.live, **options}
    return Pipeline(source, session, sinks, Timing(now_ns()), PipelineOptions(**chosen))  # type: ignore[arg-type]
