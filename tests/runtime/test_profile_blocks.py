"""How a run is cut into its warm-up and its blocks."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from runtime.measure.profiles.blocks import Block, Counts, Recorder, Span, WarmUp
from runtime.measure.profiles.profiling import ProfileOptions, spans_of
from runtime.measure.profiles.stamps import WARM_UP
from runtime.measure.timing import Delivery
from tests.runtime.test_timing import delivery


def no_clock() -> float | None:
    return None


def played(recorder: Recorder, count: int, step_ms: int = 20, how: Callable[[int], str] | None = None) -> None:
    for index in range(count):
        item: Delivery = delivery(index, step_ms)
        if how is not None:
            item.how = how(index)  # type: ignore[assignment]
        recorder.watch(item)


def recorder(spans: list[Span], warm_up: WarmUp | None = None) -> tuple[Recorder, list[Block], list[bool]]:
    counted = iter(range(0, 10**9, 100))
    told: list[Block] = []
    done: list[bool] = []
    made = Recorder(
        spans,
        warm_up or WarmUp(0, no_clock),
        lambda: Counts(next(counted), {"superseded": 3}),
        lambda: done.append(True),
        told.append,
    )
    return made, told, done


@pytest.mark.parametrize(("ms", "step_ms", "frames"), [(0, 20, 10), (200, 20, 11), (200, 5, 41), (1000, 100, 11)])
def test_the_warm_up_is_ten_frames_and_the_time_that_was_asked_for(ms: float, step_ms: int, frames: int) -> None:
    warm_up = WarmUp(ms, no_clock)
    made, _, _ = recorder([Span(frames=5)], warm_up)
    played(made, 100, step_ms)
    assert warm_up.frames == frames
    assert warm_up.lasted_ms >= ms
    assert warm_up.clocks.startswith("n/a")
    assert (made.book.stamps().repeat == WARM_UP).sum() == frames


def test_the_warm_up_waits_for_steady_clocks() -> None:
    clocks = iter([600.0, 900.0, 1200.0, 1210.0])
    warm_up = WarmUp(0, lambda: next(clocks))
    made, _, _ = recorder([Span(frames=5)], warm_up)
    played(made, 200)
    assert warm_up.clocks == "steady at 1210 MHz"
    assert warm_up.lasted_ms == pytest.approx(9 * 20 + 3 * 200)


def test_clocks_that_never_settle_are_told_after_a_while() -> None:
    clock = iter([600.0, 1200.0] * 100)
    warm_up = WarmUp(0, lambda: next(clock))
    made, _, done = recorder([Span(frames=5)], warm_up)
    played(made, 500)
    assert warm_up.clocks.startswith("not steady after 5 s")
    assert done == [True]


def test_blocks_follow_one_another_and_only_some_are_recorded() -> None:
    spans = [Span(frames=7), Span(frames=4, recorded=False), Span(frames=3, recorded=False), Span(frames=7)]
    made, told, done = recorder(spans)
    played(made, 200)
    assert [(block.repeat, block.recorded, block.delivered) for block in made.blocks] == [
        (0, True, 7),
        (0, False, 4),
        (1, False, 3),
        (1, True, 7),
    ]
    assert told == made.blocks
    assert done == [True]
    assert all(block.fps == pytest.approx(50) for block in made.blocks)
    assert all((block.captured, block.drops) == (100, {"superseded": 0}) for block in made.blocks)
    repeats = made.book.stamps().repeat.tolist()
    assert repeats == [WARM_UP] * 10 + [0] * 7 + [1] * 7
    intervals = made.book.stamps().measured.stages_ms()["interval"]
    assert intervals == pytest.approx([20.0] * 14)  # also over a block without recording


def test_a_block_may_end_by_time() -> None:
    made, _, _ = recorder([Span(seconds=0.5)])
    played(made, 100)
    assert made.blocks[0].delivered == 25
    assert made.blocks[0].fps == pytest.approx(50)


def test_repeats_of_a_picture_are_no_frames() -> None:
    made, _, _ = recorder([Span(frames=5)])
    played(made, 100, how=lambda index: "held" if index % 2 else "deblurred")
    assert made.blocks[0].delivered == 5
    assert made.blocks[0].fps == pytest.approx(5 / 0.18)  # nine pictures, of which four were held


def test_what_the_end_of_the_run_cut_short_is_kept_and_said() -> None:
    made, _, done = recorder([Span(frames=5), Span(frames=50)])
    played(made, 25)
    made.finish()
    assert [(block.delivered, block.whole) for block in made.blocks] == [(5, True), (10, False)]
    assert done == [True]


def test_a_run_that_ends_in_the_warm_up_has_no_block() -> None:
    made, _, _ = recorder([Span(frames=5)])
    played(made, 6)
    made.finish()
    assert made.blocks == []
    assert len(made.book) == 6


@pytest.mark.parametrize("mode", ["paced", "saturated"])
def test_every_repeat_is_there_once_with_and_once_without_recording(mode: str) -> None:
    spans = spans_of(mode, ProfileOptions("x", repeats=4))
    assert [span.recorded for span in spans] == [True, False, False, True, True, False, False, True]
    with_, without = spans[0], spans[1]
    if mode == "saturated":
        assert (with_.frames, with_.seconds) == (without.frames, without.seconds) == (60, math.inf)
    else:
        assert (with_.seconds, without.seconds, with_.frames) == (7.0, 1.75, math.inf)
    asked = spans_of(mode, ProfileOptions("x", frames=8, duration_s=2.0))[0]
    assert (asked.frames, asked.seconds) == (8, 2.0)
