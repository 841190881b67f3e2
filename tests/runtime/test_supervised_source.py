"""The supervised source against a camera that breaks, ends and flaps: what stands in, what is told, when it ends."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.live import connection
from runtime.live.lost_options import OnLost
from runtime.live.status import Status
from runtime.live.supervised_source import Supervised, SupervisedSource
from tests.runtime.breaking import REFUSED, BreakingSource, Opening, Then, quick, watchful
from tests.runtime.watched import PATIENCE_S, Watch


@pytest.mark.parametrize("then", ["break", "end", "silent", "hang"])
def test_a_camera_that_goes_away_is_opened_again(watch: Watch, then: Then, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LEAVE_PATIENCE_S", 0.2)
    lost = watchful() if then in ("silent", "hang") else quick()
    watched = watch(Opening(5, then), Opening(4, then, first=70), Opening(1000), lost=lost)
    frames = watched.real(12)
    assert watched.camera.opened == 3
    assert watched.status.state == "live"
    assert watched.status.reconnects == 2
    assert [frame.index for frame in frames] == list(range(len(frames)))  # numbered on, stand-ins too
    assert [int(frame.image[0, 0, 0]) for frame in frames if frame.how == "deblurred"] == [
        *range(40, 45),
        *range(40, 44),
        *range(40, 43),
    ]
    assert all(shown(late) > shown(early) for early, late in pairwise(frames))
    assert all(now_ns() - frame.captured_ns < PATIENCE_S * 1e9 for frame in frames)
    state = "stalled" if then in ("silent", "hang") else "lost"
    assert [text.split(":")[0] for text in watched.said[::2]] == [f"cam is {state}"] * 2
    assert all(text.startswith("cam is back after ") and text.endswith("1 attempt") for text in watched.said[1::2])


def shown(frame: Frame) -> float:
    """When a recording shows a frame, in seconds."""
    return float(frame.time) if frame.time is not None else frame.captured_ns / 1e9


def test_what_is_told_names_the_reason_and_the_time(watch: Watch) -> None:
    watched = watch(Opening(3), REFUSED, REFUSED, Opening(1000))
    watched.real(5)
    assert watched.said[0] == "cam is lost: camera broke: No such device; holding its last picture until it is back"
    assert watched.said[1].startswith("cam is back after 0.")
    assert watched.said[1].endswith(" s, 3 attempts")
    assert watched.status.reason == ""


def test_the_status_says_what_is_being_tried(watch: Watch) -> None:
    watched = watch(Opening(3), REFUSED)
    watched.real(3)
    watched.read(lambda frames: "attempts so far" in watched.status.reason)
    assert watched.status.state == "lost"
    assert not watched.status.healthy
    form = r"camera cannot be opened: Connection refused; \d+ attempts so far, the next one in 0.\d s"
    assert re.fullmatch(form, watched.status.reason)


@pytest.mark.parametrize(("policy", "how"), [("hold", "held"), ("blank", "blank")])
def test_what_stands_in(watch: Watch, policy: OnLost, how: str) -> None:
    watched = watch(Opening(4, size=(14, 22)), REFUSED, lost=quick(policy))
    frames = watched.read(lambda frames: len(frames) == 8)
    real, made = frames[:4], frames[4:]
    assert [frame.how for frame in made] == [how] * 4
    assert all(frame.image.shape == (14, 22, 3) for frame in made)
    assert all((frame.image == (real[-1].image if policy == "hold" else 0)).all() for frame in made)
    gaps_ms = [(late.captured_ns - early.captured_ns) / 1e6 for early, late in pairwise(made)]
    assert all(99 < gap_ms < 1000 for gap_ms in gaps_ms)  # not more than ten a second, whatever the camera's rate
    assert watched.status.state == "lost"


def test_nothing_stands_in_with_passthrough(watch: Watch) -> None:
    watched = watch(Opening(4, "silent"), Opening(1000), lost=watchful("passthrough"))
    frames = watched.real(9)
    assert {frame.how for frame in frames} == {"deblurred"}
    assert len(frames) == 9


def test_an_outage_is_as_long_in_a_recording_as_it_was(watch: Watch) -> None:
    watched = watch(Opening(5), *[REFUSED] * 4, Opening(1000), lost=quick("passthrough"))
    frames = watched.real(10)
    outage_s = shown(frames[5]) - shown(frames[4])
    assert outage_s == pytest.approx((frames[5].captured_ns - frames[4].captured_ns) / 1e9)
    told_s = float(watched.said[-1].split()[4])
    assert outage_s == pytest.approx(told_s, abs=0.2)
    assert watched.source is not None
    watched.source.close()
    assert watched.source.notes[-1] == f"cam was lost once, for {told_s:.1f} s in all"


def test_a_camera_may_come_back_with_another_size(watch: Watch) -> None:
    watched = watch(Opening(3, size=(12, 20)), *[REFUSED] * 8, Opening(3, size=(30, 18)), REFUSED, lost=quick("blank"))
    frames = watched.real(6)
    assert frames[3].how == "blank"
    made = watched.read(lambda frames: len(frames) == 2)
    assert [frame.image.shape for frame in made] == [(30, 18, 3)] * 2


def test_corrupt_frames_and_notes_are_those_of_all_openings(watch: Watch) -> None:
    often = quick(reconnect_interval_s=0.01, reconnect_max_interval_s=0.01)
    watched = watch(*[Opening(2, period_s=0.0, corrupt=3)] * 60, Opening(1000), lost=often)
    watched.real(121)
    assert watched.source is not None
    assert watched.source.corrupt == 180
    watched.source.close()
    notes = watched.source.notes
    assert notes.count("the sound is not copied") == 1
    assert len(notes) < 30  # each opening has a note of its own, and there may be thousands
    assert notes[-1].startswith("cam was lost 60 times, for ")


def test_a_camera_that_flaps_is_neither_hammered_nor_told_of_all_the_time(watch: Watch) -> None:
    lost = quick(reconnect_max_interval_s=0.4, proven_s=10.0)
    watched = watch(Opening(1, period_s=0.0), lost=lost)
    watched.open()
    start = time.monotonic()
    watched.read(lambda frames: time.monotonic() - start > 2)
    # With waits of up to 0.05 s it would be opened some 80 times; these grow, since it never proves itself.
    assert 5 < watched.camera.opened < 45
    assert len(watched.said) <= 8
    assert watched.camera.most_open == 1


def test_a_source_that_proved_itself_starts_its_waits_anew(watch: Watch) -> None:
    lost = quick(reconnect_attempts=2, proven_s=0.1)
    watched = watch(*[Opening(20)] * 6, REFUSED, lost=lost)
    with pytest.raises(Failure, match="2 attempts to open it again came to nothing") as caught:
        watched.read(lambda frames: False)
    assert caught.value.code == ExitCode.SOURCE
    assert watched.camera.opened == 8
    assert watched.status.state == "failed"


def test_a_flapping_source_runs_out_of_attempts(watch: Watch) -> None:
    watched = watch(Opening(2), lost=quick(reconnect_attempts=3))
    with pytest.raises(Failure, match="No such device; 3 attempts"):
        watched.read(lambda frames: False)
    assert watched.camera.opened == 4


@pytest.mark.parametrize(("then", "words"), [("break", "lost: camera broke"), ("silent", "stalled: no frame for 0.4")])
def test_the_loss_may_end_the_run(watch: Watch, then: Then, words: str) -> None:
    watched = watch(Opening(4, then), lost=watchful("exit"))
    with pytest.raises(Failure, match=f"cam is {words}.*with --on-lost exit") as caught:
        watched.read(lambda frames: False)
    assert caught.value.code == ExitCode.SOURCE
    assert watched.camera.opened == 1
    assert watched.status.state == "failed"


def test_without_reconnecting_an_end_is_an_end_and_a_break_the_sources_own(watch: Watch) -> None:
    once = quick(reconnect_attempts=0)
    ended = watch(Opening(4, "end"), lost=once)
    assert len(ended.read(lambda frames: False)) == 4
    assert ended.status.state == "ended"
    with pytest.raises(Failure, match=r"check its cable, then start again"):
        watch(Opening(4, "break"), lost=once).read(lambda frames: False)
    with pytest.raises(Failure, match=r"cam is stalled: no frame for 0.4 s"):
        watch(Opening(4, "silent"), lost=watchful(reconnect_attempts=0)).read(lambda frames: False)


def test_nothing_stands_in_after_the_end(watch: Watch) -> None:
    watched = watch(Opening(4, "end", behind_ns=200_000_000), lost=quick(reconnect_attempts=0))
    assert [frame.how for frame in watched.read(lambda frames: False)] == ["deblurred"] * 4


def test_the_time_without_a_camera_is_not_taken_for_darkness(watch: Watch) -> None:
    """The first pictures after an outage may be dark: a camera finds its exposure only then."""
    openings = Opening(5, "break"), *[REFUSED] * 6, Opening(5, "break", level=1), REFUSED
    watched = watch(*openings, lost=watchful(reconnect_interval_s=0.5, reconnect_max_interval_s=0.5))
    watched.real(6)
    assert watched.status.state == "live"


def test_a_first_opening_that_fails_is_an_error(watch: Watch) -> None:
    with pytest.raises(Failure, match=r"Connection refused; check it"):
        watch(REFUSED, Opening()).open()


def test_a_source_may_be_waited_for(watch: Watch) -> None:
    watched = watch(REFUSED, REFUSED, REFUSED, Opening(1000), lost=quick("exit", wait_for_source=True))
    source = watched.open()
    assert source.describe() == "cam, not there yet"
    assert watched.status.state == "starting"
    frames = watched.read(lambda frames: len(frames) == 3)
    assert [frame.how for frame in frames] == ["deblurred"] * 3
    assert source.describe() == "opening 4"
    assert source.frame_rate == 100
    assert watched.said[0] == "waiting for cam: camera cannot be opened: Connection refused"
    assert watched.said[1].startswith("cam is there after ")
    assert watched.status.reconnects == 0


def test_the_time_before_a_source_was_there_is_no_outage(watch: Watch) -> None:
    watched = watch(*[REFUSED] * 12, Opening(3), Opening(1000), lost=quick(wait_for_source=True))
    watched.real(4)
    assert watched.source is not None
    watched.source.close()
    told_s = float(watched.said[-1].split()[4])
    assert watched.source.notes[-1] == f"cam was lost once, for {told_s:.1f} s in all"


def test_a_typing_mistake_is_not_waited_for(watch: Watch) -> None:
    def mistaken() -> BreakingSource:
        raise Failure("'rtps' is not a source of this version")

    with pytest.raises(Failure, match="not a source"):
        SupervisedSource(Supervised(mistaken, "cam"), quick(wait_for_source=True), Status(), print)


def test_a_mistake_of_ours_is_raised_and_not_tried_again(watch: Watch) -> None:
    with pytest.raises(TypeError, match="a mistake of ours"):
        watch(Opening(3, "bug")).read(lambda frames: False)
