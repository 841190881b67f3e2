"""The pipeline: what is lost, what is counted, and that every run ends, whoever fails."""

from __future__ import annotations

import threading
import time

import pytest

from runtime.sinks.sink import Quit
from runtime.stop import Stop
from tests.runtime.fakes import CountingSource, DeepSession, KeepingSink, SlowSession, pipeline


@pytest.mark.parametrize(("session_s", "sink_s"), [(0.0, 0.0), (0.004, 0.0), (0.0, 0.004)])
def test_files_lose_no_frame(session_s: float, sink_s: float) -> None:
    source, sink = CountingSource(60), KeepingSink(sink_s)
    line = pipeline(source, SlowSession(session_s), [sink])
    line.run(Stop())
    assert sink.kept == list(range(60))
    assert set(line.drops().values()) == {0}
    assert source.closed == sink.closed == 1


@pytest.mark.parametrize(("session_s", "sink_s"), [(0.01, 0.0), (0.0, 0.01)])
def test_live_drops_are_counted_by_cause(session_s: float, sink_s: float) -> None:
    sink = KeepingSink(sink_s)
    line = pipeline(CountingSource(200, live=True, period_s=0.001), SlowSession(session_s), [sink])
    line.run(Stop())
    drops = line.drops()
    assert line.captured == 200
    assert len(sink.kept) + sum(drops.values()) == 200
    assert drops["superseded" if session_s else "sink_back_pressure"] > 20
    assert sink.kept == sorted(set(sink.kept))
    assert sink.kept[-1] == 199  # the newest frame is never the one that is dropped


def test_frames_wanted_are_frames_delivered() -> None:
    for live in (False, True):
        sink = KeepingSink()
        line = pipeline(CountingSource(1000, live, 0.001 if live else 0.0), SlowSession(), [sink], frames=7)
        line.run(Stop())
        assert len(sink.kept) == 7
        if not live:
            assert line.captured == 7


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("part", ["session", "sink"])
def test_a_failure_ends_the_run_at_once_and_is_raised(part: str, live: bool) -> None:
    source = CountingSource(10**6, live, 0.002 if live else 0.0)
    sinks = [KeepingSink(fail_at=5 if part == "sink" else -1), KeepingSink()]
    line = pipeline(source, SlowSession(fail_at=5 if part == "session" else -1), sinks)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=f"the {part} broke"):
        line.run(Stop())
    assert time.monotonic() - start < 20  # a bound on hanging; all its frames would take minutes
    assert [sink.closed for sink in sinks] == [1, 1]
    assert source.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name in ("capture", "sink")]


@pytest.mark.parametrize(("live", "most"), [(False, 3), (True, 1)])
def test_several_frames_are_in_flight_only_where_none_grows_old(live: bool, most: int) -> None:
    session, sink = DeepSession(0.002), KeepingSink()
    line = pipeline(CountingSource(60, live, 0.001 if live else 0.0), session, [sink])
    line.run(Stop())
    session.close()
    assert session.most == most
    assert sink.kept == sorted(set(sink.kept))
    assert len(sink.kept) + sum(line.drops().values()) == 60
    if not live:
        assert sink.kept == list(range(60))


def test_frames_in_flight_are_delivered_after_a_stop() -> None:
    stop, session, sink = Stop(), DeepSession(0.02), KeepingSink()
    line = pipeline(CountingSource(10**6), session, [sink])
    threading.Timer(0.15, stop.set).start()
    line.run(stop)
    session.close()
    assert session.done == len(sink.kept) > 3
    assert sink.kept == list(range(len(sink.kept)))


@pytest.mark.parametrize("part", ["session", "sink"])
def test_a_failure_with_frames_in_flight(part: str) -> None:
    session = DeepSession(0.002, fail_at=5 if part == "session" else -1)
    sink = KeepingSink(fail_at=5 if part == "sink" else -1)
    with pytest.raises(RuntimeError, match=f"the {part} broke"):
        pipeline(CountingSource(10**6), session, [sink]).run(Stop())
    session.close()
    assert sink.kept == [0, 1, 2, 3, 4]


def test_frames_before_a_source_error_are_delivered() -> None:
    sink = KeepingSink(0.002)
    with pytest.raises(RuntimeError, match="the source broke"):
        pipeline(CountingSource(100, fail_at=20), SlowSession(0.002), [sink]).run(Stop())
    assert sink.kept == list(range(20))


def test_an_error_on_close_is_raised() -> None:
    class BadClose(KeepingSink):
        def close(self) -> None:
            super().close()
            raise RuntimeError("closing broke")

    sinks = [BadClose(), KeepingSink()]
    with pytest.raises(RuntimeError, match="closing broke"):
        pipeline(CountingSource(3), SlowSession(), sinks).run(Stop())
    assert [sink.closed for sink in sinks] == [1, 1]


@pytest.mark.parametrize("live", [False, True])
def test_a_stop_ends_the_run_and_keeps_what_is_finished(live: bool) -> None:
    stop, sink = Stop(), KeepingSink(0.003)
    line = pipeline(CountingSource(10**6, live, 0.001), SlowSession(0.001), [sink])
    threading.Timer(0.2, stop.set).start()
    start = time.monotonic()
    line.run(stop)
    assert time.monotonic() - start < 20
    assert sink.kept
    assert len(sink.kept) + sum(line.drops().values()) == line.captured
    if not live:
        assert sink.kept == list(range(len(sink.kept)))


def test_the_person_at_the_display_ends_the_run() -> None:
    sink = KeepingSink(fail_at=4, error=Quit())
    pipeline(CountingSource(10**6), SlowSession(), [sink]).run(Stop())
    assert sink.kept == [0, 1, 2, 3]


def test_a_source_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class Hanging(CountingSource):
        def read(self, stop: Stop) -> None:
            release.wait(20)

    monkeypatch.setattr("runtime.pipeline.CAPTURE_PATIENCE_S", 0.1)
    stop = Stop()
    line = pipeline(Hanging(1, live=True), SlowSession(), [KeepingSink()])
    threading.Timer(0.1, stop.set).start()
    start = time.monotonic()
    line.run(stop)
    release.set()
    assert time.monotonic() - start < 15
    assert line.capture_hung
