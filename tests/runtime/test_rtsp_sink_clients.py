"""Clients of streams that are served here: they come and go, are slow, idle, or talk while it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from runtime.frame import Image
from runtime.sinks import rtsp_server
from runtime.sinks.sink import SinkOptions, open_sink
from tests.runtime.rtsp_viewers import OPTIONS, Feeding, idle_viewer, needs_gst, packets, watch, when_there


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@needs_gst
def test_a_viewer_comes_while_the_last_one_leaves(port: int) -> None:
    sink = open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)
    with Feeding(sink):
        when_there(f"rtsp://127.0.0.1:{port}/x", 1)
        for _ in range(3):
            seen: list[tuple[Fraction, Image]] = []
            watch(f"rtsp://127.0.0.1:{port}/x", 2, seen)
            assert len(seen) == 2
    assert "; 4 viewers came" in sink.describe()
    assert int(sink.describe().split(": ")[1].split()[0]) >= 7  # encoded, for all of them


@needs_gst
def test_connections_that_watch_nothing_are_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp_server, "MOST_CLIENTS", 4)
    monkeypatch.setattr(rtsp_server, "IDLE_S", 0.5)
    monkeypatch.setattr(rtsp_server, "CLEAN_UP_S", 1)
    url = f"rtsp://127.0.0.1:{port}/x"
    with Feeding(open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)):
        when_there(url, 1)
        idle = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(7)]
        for connection in reversed(idle):  # the last ones at once, the others once they were idle for a while
            assert connection.recv(1) == b""
            connection.close()
        assert len(when_there(url, 40)) == 40  # for longer than an idle one may stay


@needs_gst
def test_a_viewer_that_never_reads(port: int) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (8, 120, 160, 3), dtype=np.uint8))
    sink = open_sink(f"rtsp://@127.0.0.1:{port}/x", SinkOptions(frame_rate=Fraction(30), live=True, bitrate=20_000_000))
    with Feeding(sink, pictures=noise) as feeding:
        when_there(f"rtsp://127.0.0.1:{port}/x", 1)
        idlers = [idle_viewer(port) for _ in range(3)]
        seen = when_there(f"rtsp://127.0.0.1:{port}/x", 120)
        for idler in idlers:
            idler.close()
    times = [float(at) for at, _ in seen]
    gaps = np.diff(np.array(feeding.captured)) / 1e9
    assert max(late - early for early, late in pairwise(times)) < gaps.max() + 1
    assert feeding.longest_s < 3


@needs_gst
def test_a_slow_viewer_misses_frames_and_does_not_fall_behind(port: int) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), dtype=np.uint8))
    sink = open_sink(f"rtsp://@127.0.0.1:{port}/x", SinkOptions(frame_rate=Fraction(30), live=True, bitrate=8_000_000))
    with Feeding(sink, pictures=noise):
        when_there(f"rtsp://127.0.0.1:{port}/x", 1)
        with idle_viewer(port, 65536) as viewer:
            seen = list(packets(viewer, time.monotonic() + 4))
    (first_s, first_stamp), (last_s, last_stamp) = seen[0], seen[-1]
    assert last_s - first_s > 2
    assert (last_s - first_s) - (last_stamp - first_stamp) / 90000 < 1.5


TALK = """
import socket, sys, threading, time
from fractions import Fraction
import numpy as np
from runtime.frame import Frame, now_ns
from runtime.sinks.sink import SinkOptions, open_sink

def talk():
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            while True:
                client.sendall(b"OPTIONS rtsp://127.0.0.1/x RTSP/1.0\\r\\nCSeq: 1\\r\\n\\r\\n")
                if not client.recv(4096):
                    return
    except OSError:
        pass

for round in range(12):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = open_sink(f"rtsp://@127.0.0.1:{port}/x", SinkOptions(frame_rate=Fraction(30), live=True))
    sink.write(np.zeros((36, 52, 3), np.uint8), Frame(np.zeros((36, 52, 3), np.uint8), 0, now_ns()))
    talkers = [threading.Thread(target=talk) for _ in range(4)]
    for talker in talkers:
        talker.start()
    time.sleep(0.1)
    sink.close()
    for talker in talkers:
        talker.join()
"""


@needs_gst
def test_a_server_ends_while_clients_talk_to_it() -> None:
    done = subprocess.run([sys.executable, "-c", TALK], capture_output=True, text=True, timeout=60)
    assert done.stderr[:500] == ""  # GStreamer's threads would complain without end
    assert done.returncode == 0
