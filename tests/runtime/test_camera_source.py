"""When a camera's frame was captured."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from runtime.sources.camera_source import _capture_time

NOW_NS = 5_000_000_000_000
MICROSECOND = Fraction(1, 10**6)


def stamped(pts: int | None, time_base: Fraction = MICROSECOND) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.zeros((4, 6, 3), np.uint8), format="bgr24")
    frame.pts, frame.time_base = pts, time_base
    return frame


def test_a_driver_stamp_on_our_clock_is_the_capture_time() -> None:
    assert _capture_time(stamped(NOW_NS // 1000 - 12_000), NOW_NS) == (NOW_NS - 12_000_000, True)


@pytest.mark.parametrize(
    ("pts", "time_base"),
    [
        (None, MICROSECOND),
        (1_700_000_000_000_000, MICROSECOND),
        (40, Fraction(1, 90000)),
        (NOW_NS // 1000 + 5, MICROSECOND),
    ],
    ids=["none", "wall clock", "from zero", "future"],
)
def test_any_other_stamp_is_not(pts: int | None, time_base: Fraction) -> None:
    assert _capture_time(stamped(pts, time_base), NOW_NS) == (NOW_NS, False)
