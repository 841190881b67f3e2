"""Streams served here by GStreamer: what viewers see, passwords, ports; nothing stays behind."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sinks.rtsp_feed import i420_bytes
from runtime.sinks.sink import SinkOptions, open_sink
from runtime.sources.source import open_source
from runtime.stop import Stop
from tests.runtime.rtsp_viewers import OPTIONS, Feeding, needs_gst, watch, when_there


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@needs_gst
@pytest.mark.parametrize("encoder", ["x264enc", "openh264enc"])
def test_two_viewers_and_a_late_one(port: int, encoder: str) -> None:
    sink = open_sink(
        f"rtsp://@127.0.0.1:{port}/front", SinkOptions(frame_rate=Fraction(30), live=True, encoder=encoder)
    )
    url = f"rtsp://127.0.0.1:{port}/front"
    seen: list[list[tuple[Fraction, Image]]] = []
    with Feeding(sink) as feeding:
        viewers = [
            threading.Thread(target=lambda way=way: seen.append(when_there(url, 25, way))) for way in ("tcp", "udp")
        ]
        for viewer in viewers:
            viewer.start()
        for viewer in viewers:
            viewer.join(30)
        seen.append(when_there(url, 5))
    assert [len(pictures) for pictures in seen] == [25, 25, 5]
    gaps = np.diff(np.array(feeding.captured)) / 1e9
    for pictures in seen:
        times = [float(at) for at, _ in pictures]
        assert all(gaps.min() * 0.9 < late - early < gaps.max() + 1 for early, late in pairwise(times))
        levels = np.array([image.mean() for _, image in pictures])
        steps = np.diff(levels)
        assert ((steps > 1) | (steps < -100)).all()  # each one brighter than the last, but for the loop's end
    assert "3 viewers came" in sink.describe()
    assert feeding.longest_s < 3


@needs_gst
def test_our_own_source_watches_it(port: int) -> None:
    with Feeding(open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)):
        when_there(f"rtsp://127.0.0.1:{port}/x", 1)
        source = open_source(f"rtsp://127.0.0.1:{port}/x")
        frames = [source.read(Stop()) for _ in range(5)]
        source.close()
    assert all(frame is not None and frame.size == (36, 52) for frame in frames)


@needs_gst
def test_nothing_is_encoded_for_nobody_and_nothing_stays_behind(port: int) -> None:
    def used() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    counts: list[tuple[int, int]] = []
    for _ in range(3):
        with Feeding(open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)):
            when_there(f"rtsp://127.0.0.1:{port}/x", 1)
        deadline = time.monotonic() + 10
        while counts and used() > counts[0] and time.monotonic() < deadline:
            time.sleep(0.1)  # GStreamer's threads end by themselves
        counts.append(used())
    assert max(counts[1:]) <= counts[0]
    sink = open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)
    with Feeding(sink):
        time.sleep(0.3)
    assert sink.describe().startswith(f"rtsp://@127.0.0.1:{port}/x: 0 of ")


@needs_gst
def test_a_server_that_is_closed_at_once_ends(port: int) -> None:
    for _ in range(20):
        open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS).close()
    assert not [thread for thread in threading.enumerate() if thread.name == "rtsp server"]


@needs_gst
def test_two_streams_at_one_port(port: int) -> None:
    sinks = [open_sink(f"rtsp://@127.0.0.1:{port}/{name}", OPTIONS) for name in ("front", "rear/left")]
    with pytest.raises(Failure, match="two streams are to be served as 'front'"):
        open_sink(f"rtsp://@127.0.0.1:{port}/front", OPTIONS)
    with pytest.raises(Failure, match="share a port"):
        open_sink(f"rtsp://@:{port}/other", OPTIONS)
    with Feeding(sinks[1]):
        with Feeding(sinks[0]):
            assert len(when_there(f"rtsp://127.0.0.1:{port}/front", 3)) == 3
        with pytest.raises((av.error.FFmpegError, OSError)):
            watch(f"rtsp://127.0.0.1:{port}/front", 1, [])
        assert len(when_there(f"rtsp://127.0.0.1:{port}/rear/left", 3)) == 3
    assert all("; 1 viewer came" in sink.describe() for sink in sinks)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


@needs_gst
def test_a_port_in_use_is_named(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Failure, match=f"port {port}") as caught:
        open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert "already in use" in str(caught.value)


@needs_gst
def test_a_password_is_asked_for(port: int) -> None:
    told: list[str] = []
    options = SinkOptions(frame_rate=Fraction(30), live=True, say=told.append)
    with Feeding(open_sink(f"rtsp://me:secret@:{port}/x", options)) as feeding:
        assert len(when_there(f"rtsp://me:secret@127.0.0.1:{port}/x", 2)) == 2
        for user in ("", "me:other@"):
            with pytest.raises((av.error.FFmpegError, OSError)):
                watch(f"rtsp://{user}127.0.0.1:{port}/x", 1, [])
        assert feeding.captured
    assert "on all interfaces" in told[0]
    assert "secret" not in " ".join(told)


@needs_gst
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_only_the_loopback_hears_a_stream_of_the_loopback(port: int, host: str) -> None:
    sink = open_sink(f"rtsp://@{host}:{port}/x", OPTIONS)
    try:
        with open("/proc/net/tcp", encoding="ascii") as lines:
            listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening
    finally:
        sink.close()


def test_without_gstreamer_the_other_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)  # as if it were not installed
    with pytest.raises(Failure, match=r"sudo apt install .*gir1\.2-gst-rtsp-server-1\.0") as caught:
        open_sink("rtsp://@:8554/x", OPTIONS)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert "MediaMTX: rtsp://HOST:8554/NAME" in str(caught.value)


@pytest.mark.parametrize("size", [(36, 52), (6, 2), (48, 64), (34, 1282)])
def test_planes_are_laid_out_as_gstreamer_expects(size: tuple[int, int]) -> None:
    height, width = size
    y = np.arange(height * width).reshape(size) % 251
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, (y, y[::2, ::2] % 7, y[::2, ::2] % 11), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    data = np.frombuffer(i420_bytes(frame), np.uint8)
    strides = [-(-side // 4) * 4 for side in (width, width // 2, width // 2)]
    assert data.size == strides[0] * height + 2 * strides[1] * height // 2
    assert (data[: strides[0] * height].reshape(height, -1)[:, :width] == y).all()
    last = data[-strides[2] * height // 2 :].reshape(height // 2, -1)[:, : width // 2]
    assert (last == y[::2, ::2] % 11).all()
