"""What is reported of a run whose stamps are known."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.frame import Frame
from runtime.measure.timing import Delivery, Timing
from runtime.sessions.session import GpuTimes

MS = 1_000_000


def delivery(index: int, step_ms: int, stamped: bool = True) -> Delivery:
    """Captured every `step_ms`; 1 ms to memory, 2 ms waiting, 5 ms inference, 3 ms to the sink, 4 ms in it."""
    start = 1000 * MS + index * step_ms * MS
    frame = Frame(np.zeros((2, 3, 3), np.uint8), index, start, stamped)
    item = Delivery(frame, start + 1 * MS)
    item.started_ns, item.finished_ns = start + 3 * MS, start + 8 * MS
    item.handed_ns, item.done_ns = start + 11 * MS, start + 15 * MS
    return item


def test_each_interval_is_between_its_stamps() -> None:
    timing = Timing(launched_ns=1000 * MS)
    for index in range(40):
        timing.add(delivery(index, 20))
    stages = timing.stages
    expected = {"age": 11, "capture": 1, "queue": 2, "inference": 5, "handover": 3, "sink": 4, "interval": 20}
    assert {name: getattr(stages, name).summary()["p50"] for name in expected} == pytest.approx(expected)
    assert timing.fps == pytest.approx(50)
    assert timing.first_frame_ms == pytest.approx(5)
    assert timing.first_out_ms == pytest.approx(11)


@pytest.mark.parametrize(("step_ms", "warm_up"), [(20, 10), (100, 10), (5, 40)])
def test_the_warm_up_is_ten_frames_and_200_ms(step_ms: int, warm_up: int) -> None:
    timing = Timing(0)
    for index in range(60):
        timing.add(delivery(index, step_ms))
    assert timing.warm_up == warm_up
    assert timing.steady.age.count == 60 - warm_up
    assert not timing.warm_up_included


def test_a_run_within_the_warm_up_reports_all_of_it() -> None:
    timing = Timing(0)
    for index in range(4):
        timing.add(delivery(index, 50))
    assert timing.warm_up_included
    assert timing.stages.age.count == 4
    assert timing.fps == pytest.approx(20)


def test_one_frame_has_no_rate() -> None:
    timing = Timing(0)
    timing.add(delivery(0, 50))
    assert timing.fps is None


def test_times_of_the_gpu_are_kept_where_there_is_one() -> None:
    timing = Timing(0)
    for times in (GpuTimes(0.5, 8.0, 0.25), GpuTimes(None, 9.0, None), None):
        item = delivery(0, 50)
        item.gpu = times
        timing.add(item)
    stages = timing.stages
    counts = {name: getattr(stages, name).count for name in ("upload", "compute", "download", "inference")}
    assert counts == {"upload": 1, "compute": 2, "download": 1, "inference": 3}
    assert stages.compute.largest == 9
    assert (stages.upload.largest, stages.download.largest) == (0.5, 0.25)


def test_an_arrival_stamp_gives_no_capture_delay() -> None:
    timing = Timing(0)
    timing.add(delivery(0, 50, stamped=False))
    assert timing.stages.capture.summary()["n"] == 0
