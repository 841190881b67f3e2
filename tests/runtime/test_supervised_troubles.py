"""The supervised source against a camera that freezes, sees nothing, sends damage, is slow or hangs."""

from __future__ import annotations

import re
import threading
import time

import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.live import connection
from runtime.live.lost_options import OnLost
from tests.runtime.breaking import REFUSED, Opening, Then, quick, watchful
from tests.runtime.watched import Watch, readers


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
