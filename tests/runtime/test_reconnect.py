"""Reconnecting to real servers on the loopback: killed, restarted, silent, refused, changed; through the pipeline."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

import av
import pytest

from edgedeblur import Failure
from runtime.frame import now_ns
from runtime.live.lost_options import LostOptions
from runtime.live.status import Status
from runtime.live.supervised import supervised
from runtime.live.supervised_source import Supervised, SupervisedSource
from runtime.measure.timing import Delivery, Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sinks.sink import NullSink, SinkOptions, open_sink
from runtime.sources.source import Source, SourceOptions
from runtime.stop import Stop, stop_on_signals
from tests.runtime.breaking import Camera, Opening, quick
from tests.runtime.fakes import SlowSession
from tests.runtime.rtsp_server import FOR_EVER, RtspServer

PATIENCE_S = 30.0  # of the tests
OPENING = SourceOptions(timeout_s=1.0)


@dataclass
class Run:
    """A pipeline from a camera, in a thread of its own, and what came out of it."""

    source: Source
    status: Status
    said: list[str]
    output: str = "null://"
    stop: Stop = field(default_factory=Stop)
    out: list[Delivery] = field(default_factory=list)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        sinks = [open_sink(self.output, SinkOptions(frame_rate=self.source.frame_rate, live=True))]
        options = PipelineOptions(latest=True, watchers=[self.out.append])
        self.pipeline = Pipeline(self.source, SlowSession(), sinks, Timing(now_ns()), options)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def wait(self, reached: Callable[[], bool]) -> float:
        """Wait for something to happen; the seconds that it took."""
        start = time.monotonic()
        while not reached():
            assert time.monotonic() - start < PATIENCE_S, f"{self.status} {self.said}"
            assert self.thread.is_alive(), self.error
            time.sleep(0.01)
        return time.monotonic() - start

    def wait_frames(self, count: int) -> None:
        """Wait for so many more frames of the camera."""
        before = self.real
        self.wait(lambda: self.real >= before + count)

    def state(self) -> str:
        return self.status.state

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    @property
    def real(self) -> int:
        return sum(item.how == "deblurred" for item in self.out.copy())

    def _run(self) -> None:
        try:
            self.pipeline.run(self.stop)
        except BaseException as error:
            self.error = error


Start = Callable[..., Run]


@pytest.fixture
def server() -> Iterator[list[RtspServer]]:
    """The servers of a test; the newest is the one that runs."""
    servers = [RtspServer(FOR_EVER)]
    yield servers
    servers[-1].kill()


@pytest.fixture
def start(server: list[RtspServer]) -> Iterator[Start]:
    """A run from the server."""
    runs: list[Run] = []

    def begin(lost: LostOptions, output: str = "null://") -> Run:
        status, said = Status(), list[str]()
        source = supervised(f"rtsp://user:secret@127.0.0.1:{server[0].port}/live", OPENING, lost, status, said.append)
        runs.append(Run(source, status, said, output))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()
        assert "secret" not in " ".join([*run.said, *run.source.notes, run.source.describe(), run.status.reason])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name in ("reader", "capture", "sink"))


def resident_mib() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def test_a_server_that_is_killed_and_restarted_ten_times(
    server: list[RtspServer], start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    run = start(quick(), str(path))
    measures = []
    for restart in range(10):
        run.wait_frames(5)
        assert run.state() == "live"
        assert run.status.reconnects == restart
        gc.collect()
        measures.append((descriptors(), resident_mib()))
        assert threads() == ["capture", "reader", "sink"]
        server[-1].kill()
        run.wait(lambda: run.state() == "lost")
        server.append(server[-1].restarted())
    run.wait_frames(5)
    assert run.status.reconnects == 10
    run.end()
    assert run.error is None
    assert threads() == []
    assert measures[-1][0] <= measures[2][0] + 2  # descriptors; a server that was killed may keep one for a moment
    assert measures[-1][1] < measures[2][1] + 20  # MiB
    assert len([text for text in run.said if "is back after" in text]) >= 3  # not all of them: that would fill a log
    indices = [item.frame.index for item in run.out]
    assert indices == sorted(set(indices))
    frames = [item for item in run.out if item.sharp is not None]
    assert_plays(path, [item.frame.captured_ns for item in frames])


def assert_plays(path: Path, captured_ns: list[int]) -> None:
    """A recording holds every frame at its time, or just after the stand-in that went out before it."""
    with av.open(str(path)) as container:
        times = [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]
    assert len(times) == len(captured_ns)
    assert all(late > early for early, late in pairwise(times))
    real = [(stamp - captured_ns[0]) / 1e9 for stamp in accumulate(captured_ns, max)]
    assert max(abs(a - b) for a, b in zip(times, real, strict=True)) < 0.005


def test_a_network_that_stalls(server: list[RtspServer], start: Start) -> None:
    run = start(quick(stall_timeout_s=0.5))  # half of what the source itself waits for
    run.wait_frames(5)
    server[-1].silent.set()
    run.wait(lambda: run.state() == "stalled")
    assert run.status.reason.startswith("no frame for 0.5 s")
    run.wait(lambda: run.state() == "lost")  # it was opened again, in vain
    held = len(run.out)
    run.wait(lambda: len(run.out) > held + 3)
    assert run.out[-1].how == "held"
    server[-1].silent.clear()
    run.wait(lambda: run.state() == "live")
    run.wait_frames(5)
    assert run.status.reconnects >= 1


def test_a_server_that_comes_back_with_another_resolution(server: list[RtspServer], start: Start) -> None:
    run = start(quick())
    run.wait_frames(5)
    server[-1].kill()
    run.wait(lambda: run.state() == "lost")
    server.append(server[-1].restarted(size=(96, 64)))
    run.wait_frames(5)
    assert run.out[0].frame.size == (36, 52)
    assert run.out[-1].frame.size == (96, 64)
    assert run.pipeline.size == (96, 64)
    assert "64x96" in run.source.describe()


def test_connections_that_are_refused_for_a_while(server: list[RtspServer], start: Start) -> None:
    run = start(quick("blank"))
    run.wait_frames(5)
    server[-1].kill()
    run.wait(lambda: "Connection refused" in run.status.reason and "attempts so far" in run.status.reason)
    run.wait(lambda: run.out[-1].how == "blank")
    assert run.state() == "lost"
    server.append(server[-1].restarted())
    run.wait_frames(5)
    assert run.state() == "live"
    back = next(text for text in run.said if "is back after" in text)
    assert int(back.split(" s, ")[1].split()[0]) >= 3  # attempts


def test_a_server_that_ends_every_stream_after_a_few_frames(start: Start, server: list[RtspServer]) -> None:
    server[-1].count = 50
    run = start(quick())
    run.wait(lambda: run.status.reconnects >= 2)
    assert run.real > 5
    assert any("is lost: the stream ended" in text for text in run.said)


def test_a_loss_that_ends_the_run_delivers_what_came_before(start: Start, server: list[RtspServer]) -> None:
    run = start(quick("exit"))
    run.wait_frames(10)
    server[-1].kill()
    run.thread.join(PATIENCE_S)
    assert isinstance(run.error, Failure)
    assert int(run.error.code) == 4
    assert "--on-lost exit" in str(run.error)
    assert run.real == run.pipeline.captured - sum(run.pipeline.drops().values()) >= 10


def test_a_camera_that_is_switched_on_after_us(server: list[RtspServer], start: Start) -> None:
    server[-1].kill()
    run = start(quick(wait_for_source=True))
    run.wait(lambda: "attempts so far" in run.status.reason)
    assert run.state() == "starting"
    assert run.source.describe() == f"rtsp://127.0.0.1:{server[-1].port}/live, not there yet"
    server.append(server[-1].restarted())
    run.wait_frames(5)
    assert run.state() == "live"
    assert "h264 52x36" in run.source.describe()


@pytest.mark.parametrize("fault", ["refused", "hang"])
def test_a_signal_ends_a_run_whose_source_is_lost(fault: str) -> None:
    """Ctrl-C while the next attempt is waited for, and while a driver answers nobody."""
    opening = Opening(3, "hang" if fault == "hang" else "break")
    camera = Camera([opening])
    lost = quick("hold", reconnect_interval_s=30.0, reconnect_max_interval_s=30.0, stall_timeout_s=60.0)
    source = SupervisedSource(Supervised(camera, "cam"), lost, Status(), lambda text: None)
    stop = Stop()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    began = time.monotonic()
    with stop_on_signals(stop):
        timer.start()
        Pipeline(source, SlowSession(), [NullSink()], Timing(now_ns()), PipelineOptions(latest=True)).run(stop)
        took_s = time.monotonic() - began
    timer.join()
    camera.release.set()
    assert stop.signal_name == "SIGINT"
    assert 0.2 < took_s < 3
    end = time.monotonic() + 5
    while threads() and time.monotonic() < end:
        time.sleep(0.01)
    assert threads() == []
    assert camera.open_now == 0


def test_files_are_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="does not exist"):
        supervised(str(tmp_path / "no.mp4"), SourceOptions(), quick(wait_for_source=True), Status(), print)
