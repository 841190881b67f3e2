"""RTSP against a server on the loopback: frames as they come, their end, and a server that falls silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.sources.source import SourceOptions, frames_of, open_source
from runtime.stop import Stop
from tests.runtime.conftest import Run
from tests.runtime.rtsp_server import RtspServer

Serve = Callable[..., RtspServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[RtspServer] = []

    def start(count: int, **how: Any) -> RtspServer:
        servers.append(RtspServer(count, **how))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_frames_arrive_as_they_are_sent(serve: Serve) -> None:
    server = serve(120)
    source = open_source(f"rtsp://user:secret@127.0.0.1:{server.port}/live")
    assert source.live
    assert "secret" not in source.describe()
    behind = []
    frames: list[Frame] = []
    for frame in frames_of(source):
        frames.append(frame)
        behind.append(server.sent - frame.index)
    assert 30 < len(frames) <= 120  # those that came while it was opened are old by then, and left out
    assert frames[0].size == (36, 52)
    assert max(behind[-30:]) - min(behind[-30:]) <= 6  # none of them waits in a buffer
    assert all(late.captured_ns > early.captured_ns for early, late in pairwise(frames))
    assert any("ended" in note for note in source.notes)


def test_a_run_over_rtsp_drops_only_what_it_counts(serve: Serve, run: Run) -> None:
    server = serve(60)
    code, text = run(f"rtsp://127.0.0.1:{server.port}/live", "--reconnect-attempts", 0)
    assert code == 0
    assert "newest frame wins" in text
    assert f"rtsp://127.0.0.1:{server.port}/live ended" in text


def test_a_server_that_falls_silent_is_reported(serve: Serve) -> None:
    server = serve(30, hang=True)
    source = open_source(f"rtsp://127.0.0.1:{server.port}/live", SourceOptions(timeout_s=1.0))
    frames = 0
    start = time.monotonic()
    with pytest.raises(Failure, match="broke after") as caught:
        frames = sum(1 for _ in frames_of(source))
    assert frames == 0
    assert caught.value.code == ExitCode.SOURCE
    assert time.monotonic() - start < 6


def test_arrival_is_the_capture_time_of_a_stream(serve: Serve) -> None:
    server = serve(90)
    source = open_source(f"rtsp://127.0.0.1:{server.port}/live")
    before = now_ns()
    frame = source.read(Stop())
    assert frame is not None
    assert not frame.sensor_stamped
    assert before <= frame.captured_ns <= now_ns()
    source.close()
