"""Recording: one run of the real pipeline to null://, in blocks, with everything that is known of it afterwards."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.frame import Frame, now_ns
from runtime.measure.meter import Meter
from runtime.measure.profiles.blocks import Block, Counts, Recorder, Span, WarmUp
from runtime.measure.profiles.stamps import StampBook, Stamps
from runtime.measure.telemetry import read_telemetry
from runtime.measure.timing import Delivery, Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Session
from runtime.sinks.sink import NullSink
from runtime.sources.source import Source
from runtime.stop import Stop

TRIES = 2000  # of taking down a frame's stamps, to know what that costs


@dataclass(eq=False)
class Recording:
    """What a run left behind."""

    stamps: Stamps
    blocks: list[Block]
    ages_ms: dict[int, float]  # median frame age by place in `blocks`, recorded or not
    warm_up: WarmUp
    timing: Timing
    pipeline: Pipeline
    meter: Meter
    record_us: float  # what taking down one frame's stamps costs, by itself
    error: BaseException | None  # what ended the run early

    @property
    def recorded(self) -> list[Block]:
        return [block for block in self.blocks if block.recorded]


def record(
    source: Source,
    session: Session,
    spans: Sequence[Span],
    warm_up_ms: float,
    launched_ns: int,
    stop: Stop,
    say: Callable[[Block], None],
) -> Recording:
    """Run until the spans are through, the source ends or `stop` is set. Closes the source.

    An error of the run is kept beside what was measured before it. launched_ns: when the program was started.
    """
    timing, ended = Timing(launched_ns), Stop(stop)
    warm_up = WarmUp(warm_up_ms, _clock_mhz)
    ages: dict[int, float] = {}

    def over(block: Block) -> None:
        ages[len(ages)] = _median_age(timing, block)
        say(block)

    recorder = Recorder(spans, warm_up, lambda: Counts(pipeline.captured, pipeline.drops()), ended.set, over)
    options = PipelineOptions(latest=source.live, watchers=[recorder.watch])
    pipeline = Pipeline(source, session, [NullSink()], timing, options)
    error: BaseException | None = None
    with Meter() as meter:
        try:
            pipeline.run(ended)
        except BaseException as failure:
            error = failure
        recorder.finish()
    stamps = recorder.book.stamps()
    return Recording(stamps, recorder.blocks, ages, warm_up, timing, pipeline, meter, cost_of_recording(), error)


def cost_of_recording() -> float:
    """Microseconds that the stamps of one frame take."""
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 0, now_ns())
    item, book = Delivery(frame, now_ns()), StampBook()
    start = time.perf_counter()
    for _ in range(TRIES):
        book.add(item, 0, 0)
    return (time.perf_counter() - start) / TRIES * 1e6


def _median_age(timing: Timing, block: Block) -> float:
    """By what the pipeline keeps of its last frames anyway, so also where no stamps are taken down."""
    recent = copy.copy(timing.recent)
    ages = [age_ms for handed_ns, age_ms, _ in recent if block.start_ns < handed_ns <= block.end_ns]
    return statistics.median(ages) if ages else float("nan")


def _clock_mhz() -> float | None:
    """Of what computes: the GPU where its clock can be read."""
    clocks = read_telemetry()["clocks_mhz"]
    mhz = clocks.get("gpu", clocks.get("cpu"))
    return float(mhz) if mhz is not None else None
