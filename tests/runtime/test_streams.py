"""Several streams over one session: nobody gets another's picture, and one that dies stops nobody."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Image, now_ns
from runtime.live.shared_session import SharedSession
from runtime.live.status import Controls, Status
from runtime.live.stream import Stream
from runtime.live.streams import run_streams
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Result, Session
from runtime.stop import Stop
from tests.runtime.fakes import CountingSource, DeepSession, KeepingSink, SlowSession


def stream(name: str, source: CountingSource, session: Session, sink: KeepingSink) -> Stream:
    timing, controls = Timing(now_ns()), Controls()
    options = PipelineOptions(source.live, controls=controls)
    return Stream(name, "slow", Pipeline(source, session, [sink], timing, options), timing, Status(), controls)


@pytest.mark.parametrize(
    "session", [SlowSession(0.0005), DeepSession(0.0005)], ids=["one at a time", "three in flight"]
)
def test_every_lane_gets_its_own_results(session: SlowSession) -> None:
    shared = SharedSession(session)
    wrong: list[int] = []

    def use(number: int) -> None:
        lane = shared.lane()
        for index in range(60):
            image = np.full((3, 5, 3), 40 * number + index % 40, np.uint8)
            lane.submit(image)
            if not (lane.result().image == image).all():
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    session.close()


def test_a_lane_that_is_given_up_leaves_the_others_their_results() -> None:
    shared = SharedSession(SlowSession())
    first, second = shared.lane(), shared.lane()
    first.submit(np.zeros((3, 5, 3), np.uint8))
    second.submit(np.full((3, 5, 3), 9, np.uint8))
    first.close()
    assert (second.result().image == 9).all()


class FailsOnce(SlowSession):
    """The first result is a failure, as when an engine refuses a frame late."""

    def result(self) -> Result:
        result = super().result()
        if self.done == 1:
            raise Failure("refused", ExitCode.MODEL)
        return result


def test_a_failure_belongs_to_the_lane_that_met_it() -> None:
    shared = SharedSession(FailsOnce())
    first, second = shared.lane(), shared.lane()
    first.submit(np.zeros((3, 5, 3), np.uint8))
    with pytest.raises(Failure, match="refused"):
        first.result()
    image: Image = np.full((3, 5, 3), 7, np.uint8)
    second.submit(image)
    assert (second.result().image == image).all()


@pytest.mark.parametrize("error", [RuntimeError("the source broke"), Failure("gone", ExitCode.SOURCE)])
def test_one_that_dies_does_not_stop_the_others(error: Exception) -> None:
    class Dying(CountingSource):
        def read(self, stop: Stop):  # type: ignore[no-untyped-def]  # noqa: ANN202
            if self.given == 3:
                raise error
            return super().read(stop)

    shared, said = SharedSession(SlowSession()), list[str]()
    sinks = [KeepingSink() for _ in range(3)]
    sources = [CountingSource(40), Dying(40), CountingSource(30)]
    streams = [
        stream(f"s{number}", source, shared.lane(), sink)
        for number, (source, sink) in enumerate(zip(sources, sinks, strict=True))
    ]
    with pytest.raises(type(error)):
        run_streams(streams, Stop(), said.append)
    assert [sink.kept for sink in sinks] == [list(range(40)), list(range(3)), list(range(30))]
    assert [each.status.state for each in streams] == ["ended", "failed", "ended"]
    assert len(said) == 1
    assert said[0].startswith("s1: ")
    assert all(source.closed == 1 for source in sources)


def test_a_stop_ends_all_of_them() -> None:
    shared, stop = SharedSession(SlowSession(0.001)), Stop()
    sinks = [KeepingSink() for _ in range(2)]
    streams = [stream(f"s{n}", CountingSource(10**9, True, 0.005), shared.lane(), sink) for n, sink in enumerate(sinks)]

    def stop_once_all_go() -> None:
        while not all(sink.kept for sink in sinks):
            time.sleep(0.01)
        stop.set()

    threading.Thread(target=stop_once_all_go).start()
    run_streams(streams, stop, lambda text: None)
    assert all(sink.closed == 1 for sink in sinks)


def test_streams_that_end_while_they_are_looked_at_are_through(monkeypatch: pytest.MonkeyPatch) -> None:
    class EndsWhenAsked(threading.Thread):
        def is_alive(self) -> bool:
            alive = super().is_alive()
            self.join(20)
            return alive

    sinks = [KeepingSink() for _ in range(2)]
    streams = [stream(f"s{n}", CountingSource(3), SlowSession(), sink) for n, sink in enumerate(sinks)]
    monkeypatch.setattr(threading, "Thread", EndsWhenAsked)
    run_streams(streams, Stop(), lambda text: None)
    assert [sink.kept for sink in sinks] == [[0, 1, 2]] * 2


@pytest.mark.parametrize("count", [1, 2])
def test_the_first_error_of_a_stream_is_told_and_everything_is_closed(count: int) -> None:
    closed: list[int] = []

    def fail_to_close(number: int) -> None:
        closed.append(number)
        raise Failure("the disk is full", ExitCode.ENVIRONMENT)

    streams = [stream(f"s{n}", CountingSource(5, fail_at=2), SlowSession(), KeepingSink()) for n in range(count)]
    for each in streams:
        each.at_end += [lambda: fail_to_close(1), lambda: fail_to_close(2)]
    with pytest.raises(RuntimeError, match="the source broke"):
        run_streams(streams, Stop(), lambda text: None)
    assert sorted(closed) == [1] * count + [2] * count
    assert all(each.status.reason == "the source broke" for each in streams)


HANGING = """
import os, signal, sys, threading, time
from runtime.live.streams import run_streams
from runtime.stop import Stop, stop_on_signals
from tests.runtime.fakes import CountingSource, KeepingSink, SlowSession
from tests.runtime.test_streams import stream

hung, stop = threading.Semaphore(0), Stop()

class Hanging(KeepingSink):
    def write(self, picture, frame):
        hung.release()
        time.sleep(600)

def interrupt_twice():
    for _ in streams:
        hung.acquire()
    os.kill(os.getpid(), signal.SIGINT)
    while not stop.is_set():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

streams = [stream(f"s{n}", CountingSource(10**9, True, 0.01), SlowSession(), Hanging()) for n in range(2)]
threading.Thread(target=interrupt_twice, daemon=True).start()
try:
    with stop_on_signals(stop):
        run_streams(streams, stop, print)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_a_second_ctrl_c_ends_the_program_though_outputs_hang() -> None:
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", HANGING], cwd=root, timeout=120).returncode == 130
