"""What systemd is told, over real sockets: readiness, state, and a watchdog that a hung run no longer feeds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode
from runtime.frame import now_ns
from runtime.live.connection import Trouble
from runtime.live.health import Health
from runtime.live.service import Service, at_work, status_text
from runtime.live.status import Controls, Status
from runtime.live.stream import Stream
from runtime.measure.timing import Timing
from tests.runtime.fakes import CountingSource, KeepingSink, SlowSession, pipeline

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0


class Manager:
    """The end of the socket that systemd has."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def environment(self, watchdog_s: float | None = None, **more: str) -> dict[str, str]:
        limit = {} if watchdog_s is None else {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
        return {"NOTIFY_SOCKET": self.address, **limit, **more}

    def next(self, timeout_s: float = 20.0) -> dict[str, str]:
        """The next message as its fields; {} when none comes in time."""
        self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(65536).decode()
        except TimeoutError:
            return {}
        return dict(line.split("=", 1) for line in data.split("\n"))

    def until(self, wanted: Callable[[dict[str, str]], bool], within_s: float = 20.0) -> dict[str, str]:
        """The first message that is wanted."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if wanted(message := self.next(within_s)):
                return message
        raise AssertionError("no such message came")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify") if request.param == "path" else f"@edgedeblur-test-{os.getpid()}")
    yield manager
    manager.close()


def test_ready_and_stopping(manager: Manager) -> None:
    service = Service(manager.environment())
    assert service.managed
    service.ready("camera: live\nSTOPPING=1")
    assert manager.next() == {"READY": "1", "STATUS": "camera: live STOPPING=1"}
    service.stopping()
    assert manager.next()["STOPPING"] == "1"


def test_the_watchdog_is_fed_in_half_its_time_and_only_while_at_work(manager: Manager) -> None:
    working = [True]
    with Service(manager.environment(0.4)).watched(lambda: working[0], lambda: "29.9 frames/s"):
        began = time.monotonic()
        assert all(manager.next() == {"STATUS": "29.9 frames/s", "WATCHDOG": "1"} for _ in range(5))
        assert time.monotonic() - began >= 4 * 0.2 * 0.9
        working[0] = False
        manager.until(lambda message: "WATCHDOG" not in message)
        assert "WATCHDOG" not in manager.next()
        working[0] = True
        manager.until(lambda message: "WATCHDOG" in message)  # it recovered before systemd lost its patience
    assert not [thread for thread in threading.enumerate() if thread.name == "service"]


def test_a_state_that_cannot_be_told_does_not_feed_and_does_not_end_the_thread(manager: Manager) -> None:
    def broken() -> bool:
        raise ValueError("no state")

    with Service(manager.environment(0.1)).watched(broken, lambda: "never"):
        for _ in range(2):
            assert manager.next() == {"STATUS": "its state cannot be told: ValueError('no state')"}


def test_a_state_that_is_no_text_is_told_all_the_same(manager: Manager) -> None:
    """A device may be called anything; the watchdog must be fed nevertheless."""
    service = Service(manager.environment(0.1))
    service.ready("no \udcff here")
    assert manager.next() == {"READY": "1", "STATUS": "no \\udcff here"}
    with service.watched(lambda: True, lambda: "no \udcff here"):
        assert manager.next() == {"STATUS": "no \\udcff here", "WATCHDOG": "1"}


@pytest.mark.parametrize("limit", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_PID": "1"}])
def test_without_a_watchdog_of_ours_the_state_is_still_told(manager: Manager, limit: dict[str, str]) -> None:
    environment = {"WATCHDOG_USEC": "100000", **limit} if "WATCHDOG_PID" in limit else limit
    with Service(manager.environment(None, **environment)).watched(lambda: True, lambda: "well"):
        assert manager.next()["STATUS"] == "well"
        assert manager.next(0.5) == {}


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/notify"])
def test_nobody_listens(address: str) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"} if address else {}
    service = Service(environment)
    service.ready()
    with service.watched(lambda: True, lambda: "well"):
        assert service.managed == address.startswith("/")
    service.stopping()


def test_a_manager_that_does_not_read_holds_nobody_up(manager: Manager) -> None:
    service = Service(manager.environment())
    began = time.monotonic()
    with Service(manager.environment(0.001)).watched(lambda: True, lambda: "well" * 2000):
        time.sleep(0.3)  # its buffer is full by now
    service.ready()
    assert time.monotonic() - began < 10


def stream(state: Any, since_s: float, last_out_s: float | None = None) -> Stream:
    """A stream in `state` for `since_s`, whose last frame left `last_out_s` ago."""
    timing = Timing(now_ns())
    if last_out_s is not None:
        timing.recent.append((now_ns() - int(last_out_s * 1e9), 33.0, "held"))
    status = Status(state, "", now_ns() - int(since_s * 1e9))
    line = pipeline(CountingSource(0), SlowSession(), [KeepingSink()])
    return Stream("front", "model", line, timing, status, Controls())


@pytest.mark.parametrize(
    ("state", "since_s", "last_out_s", "works"),
    [
        ("starting", 5, None, True),
        ("starting", 40, None, False),  # nothing came, and the source does not say that it is lost
        ("live", 3600, 0.1, True),
        ("live", 3600, 31, False),  # frames come in and none goes out: the network or an output hangs
        ("live", 5, 3600, True),  # it came back just now
        ("black", 3600, 0.1, True),
        ("stalled", 5, 8, True),
        ("stalled", 40, 43, False),  # the driver does not come back: a new process may
        ("stalled", 40, 0.1, True),  # what is held goes out meanwhile
        ("lost", 86400, 86400, True),  # unplugged for a day, and looked for
        ("failed", 3600, 3600, True),
    ],
)
def test_what_counts_as_work(state: Any, since_s: float, last_out_s: float | None, works: bool) -> None:
    assert at_work([stream(state, since_s, last_out_s)], PATIENCE_S) is works


def test_a_camera_that_is_not_there_at_the_start_is_waited_for() -> None:
    """With --wait-for-source, for days if it must be: a restart would not bring it."""
    status = Status("starting", "", now_ns() - 86_400 * 10**9)
    health = Health("camera", status, lambda text: None)
    late = stream("starting", 86_400)
    late.status = status
    assert not at_work([late])  # it is there, and silent
    trouble = Trouble("lost", "there is no camera /dev/video0")
    health.awaited(trouble)
    assert at_work([late])
    health.retry(trouble, 30.0, 999)
    assert at_work([late])


def test_one_stream_that_hangs_is_enough() -> None:
    assert at_work([stream("live", 3600, 0.1), stream("lost", 3600)])
    assert not at_work([stream("live", 3600, 0.1), stream("live", 3600, 3600)])
    assert at_work([])


def test_the_state_in_one_line() -> None:
    lost = stream("lost", 4)
    lost.status.reason = "no route to host"
    assert status_text([lost]) == "front: lost (no route to host), 0.0 frames/s"
    live = stream("live", 4)
    live.timing.recent.extend((now_ns() - age * 10**7, 33.0, "deblurred") for age in range(5, 0, -1))
    assert "front: live, " in status_text([live])
    assert "age 33 ms" in status_text([live])


HANGS = """
import sys, threading, time
from runtime.frame import now_ns
from runtime.live.service import Service, at_work, status_text
from runtime.live.status import Controls, Status
from runtime.live.stream import Stream
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sinks.sink import NullSink
from runtime.sources.scene_source import open_scene
from runtime.stop import Stop
from tests.runtime.fakes import SlowSession

class Hangs(SlowSession):
    def infer(self, frame):
        if self.done == 40:
            threading.Event().wait()  # a GPU that never answers
        return super().infer(frame)

status, timing = Status(), Timing(now_ns())
line = Pipeline(open_scene("test://64x48@60"), Hangs(), [NullSink()], timing, PipelineOptions(latest=True))
streams = [Stream("front", "model", line, timing, status, Controls())]
status.change("live")
service = Service()
service.ready("up")
with service.watched(lambda: at_work(streams, 0.5), lambda: status_text(streams)):
    line.run(Stop())
"""


def test_a_pipeline_that_hangs_is_no_longer_fed(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    environment = {**os.environ, **manager.environment(0.2)}
    process = subprocess.Popen([sys.executable, "-c", HANGS], cwd=ROOT, env=environment)
    try:
        assert manager.next(60)["READY"] == "1"
        manager.until(lambda message: "WATCHDOG" in message)
        manager.until(lambda message: "WATCHDOG" not in message, 60)
        assert "WATCHDOG" not in manager.next()
        assert process.poll() is None  # only systemd's limit ends it
    finally:
        process.kill()
        process.wait()
        manager.close()


def test_a_whole_run_tells_when_it_is_ready_at_work_and_ending(tmp_path: Path, model: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    command = [sys.executable, "-m", "edgedeblur", "run", "test://64x48@30", "null://", "--model", str(model)]
    environment = {**os.environ, **manager.environment(1.0)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            assert manager.next(60)["READY"] == "1"
            fed = manager.until(lambda message: "frames/s, age" in message["STATUS"])
            assert fed["WATCHDOG"] == "1"
            assert "live" in fed["STATUS"]
            process.terminate()
            manager.until(lambda message: "STOPPING" in message)
            assert process.wait(20) == ExitCode.INTERRUPTED
        finally:
            process.kill()
            manager.close()
