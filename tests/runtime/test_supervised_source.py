"""The supervised source against a camera that breaks, ends, falls silent, freezes, hangs and flaps."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import STAND_INS, Frame, now_ns
from runtime.live import connection, sparingly
from runtime.live.lost_options import LostOptions, OnLost
from runtime.live.sparingly import Sparingly
from runtime.live.status import Status
from runtime.live.supervised_source import Supervised, SupervisedSource
from runtime.stop import Stop
from tests.runtime.breaking import REFUSED, BreakingSource, Camera, Opening, Then, quick, watchful

PATIENCE_S = 20.0  # of the tests


class Watched:
    """A supervised camera, what it said and the states it was in."""

    def __init__(self, *openings: Opening, lost: LostOptions | None = None, noisy: bool = False) -> None:
        self.camera = Camera(openings)
        self.said: list[str] = []
        self.status = Status()
        self.stop = Stop()
        self.lost = lost or quick()
        self.noisy = noisy
        self.source: SupervisedSource | None = None

    def open(self) -> SupervisedSource:
        subject = Supervised(self.camera, "cam", self.noisy)
        self.source = SupervisedSource(subject, self.lost, self.status, self.said.append, self.stop)
        return self.source

    def read(self, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
        """Frames until there are enough, and until the source ends."""
        source, frames = self.source or self.open(), list[Frame]()
        end = time.monotonic() + PATIENCE_S
        while not enough(frames) and (frame := source.read(self.stop)) is not None:
            frames.append(frame)
            assert time.monotonic() < end, f"{self.status} {self.said}"
        return frames

    def real(self, count: int) -> list[Frame]:
        """All frames until `count` of them came from the camera."""
        return self.read(lambda frames: sum(frame.how not in STAND_INS for frame in frames) >= count)


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(*openings: Opening, **how: object) -> Watched:
        made.append(Watched(*openings, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for watched in made:
        watched.camera.release.set()
        if watched.source is not None:
            watched.source.close()
    end = time.monotonic() + 5
    while time.monotonic() < end and readers():
        time.sleep(0.01)
    assert not readers()
    assert all(watched.camera.open_now == 0 for watched in made)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reader"]


Watch = Callable[..., Watched]


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


def test_a_frozen_camera_is_opened_again_once(watch: Watch) -> None:
    same = Opening(1, "freeze", level=44)
    watched = watch(Opening(5, "freeze"), same, Opening(1000), lost=watchful(), noisy=True)
    watched.read(lambda frames: watched.status.reconnects == 1)
    assert watched.said[0].startswith("cam is frozen: its picture has not changed for 0.4 s; holding")
    watched.read(lambda frames: len(frames) == 30)
    assert watched.camera.opened == 2  # it came back with that very picture: this is what it sees
    assert watched.status.state == "frozen"
    assert watched.status.reason == "its picture has not changed for 0.4 s, nor when it was opened again"


def test_a_frozen_camera_that_thaws_is_watched_again(watch: Watch) -> None:
    openings = Opening(5, "freeze"), Opening(20, "freeze", level=90), Opening(1000, level=9)
    watched = watch(*openings, lost=watchful(), noisy=True)
    watched.read(lambda frames: watched.status.reconnects == 2 and watched.status.state == "live")
    assert watched.camera.opened == 3


@pytest.mark.parametrize(("policy", "how"), [("hold", "deblurred"), ("passthrough", "passthrough")])
def test_a_coded_stream_may_show_one_picture(watch: Watch, policy: OnLost, how: str) -> None:
    watched = watch(Opening(5, "freeze"), lost=watchful(policy))
    frames = watched.read(lambda frames: len(frames) == 60)
    assert watched.camera.opened == 1
    assert watched.status.state == "frozen"
    assert frames[2].how == "deblurred"
    assert frames[-1].how == how


def test_a_black_camera_is_said_to_be_black_and_left_alone(watch: Watch) -> None:
    watched = watch(Opening(4, "freeze", level=1), lost=watchful(), noisy=True)
    watched.read(lambda frames: len(frames) == 60)
    assert watched.status.state == "black"
    assert watched.status.healthy
    assert watched.camera.opened == 1
    assert watched.said == ["cam is black: it has seen no light for 0.4 s"]


def test_damage_is_told_in_the_status(watch: Watch) -> None:
    watched = watch(Opening(10, "break", corrupt=90), REFUSED)
    watched.read(lambda frames: len(frames) == 10)
    assert watched.status.state == "live"
    assert watched.status.reason == "90% of the frames of the last 5 s were damaged"


def test_a_camera_that_gives_nothing_whole_is_opened_again(watch: Watch) -> None:
    watched = watch(Opening(5, "damage"), Opening(1000), lost=watchful())
    watched.real(8)
    assert watched.camera.opened == 2
    assert re.match(r"cam is stalled: no whole frame for 0.4 s, \d+ damaged ones; holding", watched.said[0])


def test_a_camera_without_a_first_frame_is_opened_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_FRAME_PATIENCE_S", 0.5)
    watched = watch(Opening(0, "silent"), Opening(1000), lost=watchful())
    assert watched.real(2)[0].index == 0
    assert watched.said[0] == "cam is stalled: no frame for 0.5 s; opening it again"


def test_a_slow_camera_is_given_its_time(watch: Watch) -> None:
    watched = watch(Opening(3, period_s=0.3, rate=2), lost=quick(stall_timeout_s=0.1))
    watched.real(3)
    assert watched.camera.opened == 1


@pytest.mark.parametrize("then", ["break", "hang", "silent"])
def test_a_stop_ends_it_at_once(watch: Watch, then: Then) -> None:
    watched = watch(Opening(2, then), REFUSED, lost=quick("passthrough", reconnect_interval_s=30.0))
    watched.real(2)
    threading.Timer(0.2, watched.stop.set).start()
    start = time.monotonic()
    assert watched.read(lambda frames: False) == []
    assert watched.source is not None
    watched.source.close()
    assert time.monotonic() - start < 3


def test_a_stop_ends_a_first_opening_that_hangs(watch: Watch) -> None:
    watched = watch(Opening(hang_open=True))
    threading.Timer(0.2, watched.stop.set).start()
    start = time.monotonic()
    source = watched.open()
    assert source.read(watched.stop) is None
    source.close()
    assert time.monotonic() - start < 3
    assert "cam did not answer and was left behind" in source.notes


def test_a_first_opening_that_hangs_for_ever_is_a_failure(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OPEN_PATIENCE_S", 0.2)
    with pytest.raises(Failure, match=r"cam does not answer: it did not open within 0.2 s; check it"):
        watch(Opening(hang_open=True)).open()


def test_readers_that_hang_do_not_pile_up(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HUNG_S", 0.5)
    monkeypatch.setattr(connection, "LEAVE_PATIENCE_S", 0.1)
    watched = watch(Opening(2, "hang"), lost=watchful())
    with pytest.raises(Failure, match="cam hangs in its driver: 3 attempts") as caught:
        watched.read(lambda frames: False)
    assert caught.value.code == ExitCode.SOURCE
    assert watched.camera.opened == len(readers()) == 3


def test_readers_that_answer_late_are_waited_for(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LEAVE_PATIENCE_S", 0.1)
    watched = watch(*[Opening(2, "hang")] * 3, Opening(1000), lost=watchful())
    watched.read(lambda frames: watched.camera.opened == 3 and watched.status.state == "stalled")
    watched.read(lambda frames: len(frames) == 5)  # stand-ins
    assert watched.camera.opened == len(readers()) == 3
    watched.camera.release.set()
    watched.real(3)
    assert watched.camera.opened == 4
    assert len(readers()) == 1


def test_who_takes_no_frames_for_a_while_has_no_stalled_camera(watch: Watch) -> None:
    watched = watch(Opening(1000), lost=watchful())
    watched.real(3)
    time.sleep(0.6)
    watched.real(3)
    assert watched.camera.opened == 1


def test_a_device_is_closed_before_it_is_opened_again(watch: Watch) -> None:
    watched = watch(*[Opening(2, close_s=0.2)] * 3, Opening(1000))
    watched.real(8)
    assert watched.camera.most_open == 1


def test_nothing_is_read_before_the_first_frame_is_wanted(watch: Watch) -> None:
    watched = watch(Opening(1000))
    watched.open()
    time.sleep(0.3)
    [frame] = watched.real(1)
    assert now_ns() - frame.captured_ns < 200_000_000


def test_nothing_grows(watch: Watch) -> None:
    watched = watch(Opening(1, period_s=0.0), lost=quick(reconnect_interval_s=1e-6, reconnect_max_interval_s=1e-6))
    watched.real(15)
    before = threading.active_count()
    watched.real(40)
    assert threading.active_count() <= before + 1
    assert watched.source is not None
    assert len(watched.source.notes) <= connection.MOST_NOTES
    assert len(watched.said) < 20


def test_lines_that_were_held_back_are_counted_and_the_newest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10**9]
    monkeypatch.setattr(sparingly, "now_ns", lambda: now[0])
    said: list[str] = []
    line = Sparingly(said.append, burst=2, every_s=10)
    for number in range(5):
        line.say(f"{number}")
    line.tick()
    assert said == ["0", "1"]
    now[0] += 11 * 10**9
    line.tick()
    line.tick()
    assert said[2:] == ["4 (lines left out before it: 2)"]
    now[0] += 1000 * 10**9
    for number in range(5, 9):
        line.say(f"{number}")
    assert said[3:] == ["5", "6"]  # a long silence saves up no more than one burst
