"""Timing: what is measured of each frame on its way, by the definitions of README.md."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, fields

from runtime.frame import UNIQUE, Frame, How, Image
from runtime.measure.series import Series
from runtime.sessions.session import GpuTimes

WARM_UP_FRAMES = 10
WARM_UP_NS = 200_000_000
RECENT_FRAMES = 1024  # kept one by one, for what is asked of the last seconds


@dataclass(slots=True, eq=False)
class Delivery:
    """A frame on its way, with its stamps on CLOCK_MONOTONIC in nanoseconds.

    Colours, padding and casts are inside the graph. On a GPU t3 and t4, between t2 and t5, are the network's start and
    end; they are kept as the durations that CUDA events measured.
    """

    frame: Frame  # frame.captured_ns is t0
    received_ns: int  # t1: in our memory
    started_ns: int = 0  # t2: the session takes it
    sharp: Image | None = None
    finished_ns: int = 0  # t5: the result is in our memory
    gpu: GpuTimes | None = None
    handed_ns: int = 0  # t6: handed to the sink, the moment it leaves us
    done_ns: int = 0  # t7: the sink has encoded, written or drawn it
    how: How = "deblurred"


@dataclass
class Stages:
    """One series in milliseconds for each interval."""

    age: Series = field(default_factory=Series)  # t6 - t0, the headline
    capture: Series = field(default_factory=Series)  # t1 - t0, only where the sensor stamps
    queue: Series = field(default_factory=Series)  # t2 - t1
    inference: Series = field(default_factory=Series)  # t5 - t2
    upload: Series = field(default_factory=Series)  # to the GPU, only where one copies
    compute: Series = field(default_factory=Series)  # t4 - t3: the network alone, only on a GPU
    download: Series = field(default_factory=Series)  # from the GPU, only where one copies
    handover: Series = field(default_factory=Series)  # t6 - t5: waiting for the outputs
    sink: Series = field(default_factory=Series)  # t7 - t6
    interval: Series = field(default_factory=Series)  # between two t6

    def add(self, item: Delivery) -> None:
        captured_ns = item.frame.captured_ns
        self.age.add((item.handed_ns - captured_ns) / 1e6)
        if item.frame.sensor_stamped:
            self.capture.add((item.received_ns - captured_ns) / 1e6)
        self.queue.add((item.started_ns - item.received_ns) / 1e6)
        self.inference.add((item.finished_ns - item.started_ns) / 1e6)
        if item.gpu is not None:
            self._add_gpu(item.gpu)
        self.handover.add((item.handed_ns - item.finished_ns) / 1e6)
        self.sink.add((item.done_ns - item.handed_ns) / 1e6)

    def _add_gpu(self, times: GpuTimes) -> None:
        self.compute.add(times.compute_ms)
        if times.upload_ms is not None and times.download_ms is not None:
            self.upload.add(times.upload_ms)
            self.download.add(times.download_ms)


class Timing:
    """All stamps of a run, the warm-up apart: the first 200 ms and at least the first 10 frames."""

    def __init__(self, launched_ns: int) -> None:
        """launched_ns: when the program was started, for the time to the first frame."""
        self.launched_ns = launched_ns
        self.steady = Stages()
        self.delivered = 0  # unique frames; `by_how` counts the others, too
        self.by_how: Counter[How] = Counter()
        self.recent: deque[tuple[int, float, How]] = deque(maxlen=RECENT_FRAMES)  # t6, frame age in ms, how
        self.warm_up = 0  # frames
        self.first_frame_ms = 0.0  # session time of the first frame
        self.first_out_ms = 0.0  # from launch to the first frame out
        self.first_ns = 0  # t6 of the first frame
        self.last_ns = 0
        self.steady_from_ns = 0  # t6 of the last warm-up frame: steady output is counted from here
        self._everything = Stages(*(Series(256) for _ in fields(Stages)))  # stands in for runs that end in the warm-up

    def add(self, item: Delivery) -> None:
        """Take in a delivered frame; called by the sink's thread only. Repeats are counted and not timed."""
        self.by_how[item.how] += 1
        self.recent.append((item.handed_ns, (item.handed_ns - item.frame.captured_ns) / 1e6, item.how))
        if item.how not in UNIQUE:
            return
        if not self.delivered:
            self._first(item)
        warm = self.delivered < WARM_UP_FRAMES or item.handed_ns - self.first_ns < WARM_UP_NS
        stages = (self._everything,) if warm else (self.steady, self._everything)
        for stage in stages:
            if self.delivered:
                stage.interval.add((item.handed_ns - self.last_ns) / 1e6)
            stage.add(item)
        self.delivered += 1
        self.last_ns = item.handed_ns
        if warm:
            self.warm_up += 1
            self.steady_from_ns = item.handed_ns

    @property
    def stages(self) -> Stages:
        """The steady frames, or all frames of a run too short to have any."""
        return self.steady if self.steady.age.count else self._everything

    @property
    def warm_up_included(self) -> bool:
        return not self.steady.age.count

    @property
    def fps(self) -> float | None:
        """Frames delivered a second, after the warm-up where there is an after; None for fewer than two frames."""
        start_ns = self.first_ns if self.warm_up_included else self.steady_from_ns
        frames = self.delivered - 1 if self.warm_up_included else self.steady.age.count
        return frames / (self.last_ns - start_ns) * 1e9 if self.last_ns > start_ns else None

    def _first(self, item: Delivery) -> None:
        self.first_ns = item.handed_ns
        self.first_frame_ms = (item.finished_ns - item.started_ns) / 1e6
        self.first_out_ms = (item.handed_ns - self.launched_ns) / 1e6
