"""Frames of many openings as one stream: their numbers, their times, and what stands in between."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame import Frame, now_ns
from runtime.live.continuity import Continuity

SIZE = (6, 10)


def camera_frame(index: int, captured_ns: int | None = None) -> Frame:
    image = np.full((*SIZE, 3), index % 256, np.uint8)
    return Frame(image, index, now_ns() if captured_ns is None else captured_ns, True)


def test_gaps_of_a_camera_are_kept_and_openings_follow_each_other() -> None:
    continuity = Continuity()

    def numbers(indices: list[int]) -> list[int]:
        return [continuity.passed(camera_frame(index), "deblurred").index for index in indices]

    assert numbers([7, 8, 11]) == [0, 1, 4]
    assert [continuity.stand_in("held").index for _ in range(3)] == [5, 6, 7]
    assert numbers([12, 15]) == [8, 11]  # the same opening goes on
    continuity.restart()
    assert continuity.stand_in("held").index == 12
    assert numbers([100, 101, 105]) == [13, 14, 18]


def test_a_camera_that_numbers_backwards_is_numbered_on() -> None:
    continuity = Continuity()
    indices = [continuity.passed(camera_frame(index), "deblurred").index for index in (3, 4, 1, 2, 9)]
    assert indices == [0, 1, 2, 3, 6]


def test_a_frame_captured_before_the_last_stand_in_is_shown_just_after_it() -> None:
    continuity = Continuity()
    continuity.passed(camera_frame(0), "deblurred")
    held = continuity.stand_in("held")
    late, later = (
        continuity.passed(camera_frame(index, held.captured_ns - 40_000_000 + index), "deblurred") for index in (1, 2)
    )
    assert late.captured_ns == held.captured_ns - 40_000_000 + 1  # its age is not touched
    assert late.time == Fraction(held.captured_ns, 10**9) + Fraction(1, 1000)
    assert later.time == late.time + Fraction(1, 1000)
    on_time = continuity.passed(camera_frame(3, held.captured_ns + 10_000_000), "deblurred")
    assert on_time.time is None  # from here on its own time is right again
    assert on_time.captured_ns == held.captured_ns + 10_000_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["frame", "held", "blank", "restart"]), max_size=30), st.data())
def test_whatever_comes_numbers_and_times_grow(events: list[str], data: st.DataObject) -> None:
    continuity, out, captured = Continuity(), list[Frame](), 10**9
    out.append(continuity.passed(camera_frame(data.draw(st.integers(0, 9)), captured), "deblurred"))
    for event in events:
        if event == "restart":
            continuity.restart()
        elif event == "frame":
            captured += data.draw(st.integers(-(10**8), 10**8))
            index = data.draw(st.integers(0, 50))
            out.append(continuity.passed(camera_frame(index, captured), "deblurred"))
            assert out[-1].captured_ns == captured  # by which its age is measured
        else:
            out.append(continuity.stand_in("held" if event == "held" else "blank"))
            captured = out[-1].captured_ns
    indices = [frame.index for frame in out]
    assert indices == sorted(set(indices))
    times = [float(frame.time) if frame.time is not None else frame.captured_ns / 1e9 for frame in out]
    assert times == sorted(set(times))
