"""Streams served here by GStreamer: several viewers, slow ones, passwords, ports; nothing stays behind."""

from __future__ import annotations

import gc
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime import gst_import
from runtime.frame import Frame, Image, now_ns
from runtime.sinks import rtsp_server
from runtime.sinks.rtsp_feed import i420_bytes
from runtime.sinks.sink import Sink, SinkOptions, open_sink
from runtime.sources.source import open_source
from runtime.sources.video_io import bgr_of
from runtime.stop import Stop
from tests.runtime.conftest import picture


def _missing() -> str:
    try:
        gst_import.import_gst("GstRtspServer")
    except Failure as failure:
        return str(failure)
    return ""


needs_gst = pytest.mark.skipif(bool(_missing()), reason=_missing())
OPTIONS = SinkOptions(frame_rate=Fraction(30), live=True)


class Feeding:
    """Gives a sink one picture after the other, 30 a second, in a thread; on exit the sink is closed."""

    def __init__(self, *sinks: Sink, pictures: list[Image] | None = None) -> None:
        self.pictures = pictures or [picture(index) for index in range(50)]
        self.longest_s = 0.0
        self.captured: list[int] = []
        self._sinks = sinks
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed)

    def __enter__(self) -> Feeding:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for sink in self._sinks:
            sink.close()

    def _feed(self) -> None:
        index = 0
        while not self._ended.wait(1 / 30):
            image = self.pictures[index % len(self.pictures)]
            frame = Frame(image, index, now_ns())
            self.captured.append(frame.captured_ns)
            for sink in self._sinks:
                start = time.monotonic()
                sink.write(image, frame)
                self.longest_s = max(self.longest_s, time.monotonic() - start)
            index += 1


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def watch(url: str, frames: int, seen: list[tuple[Fraction, Image]], transport: str = "tcp") -> None:
    """Add what a client sees to `seen`, with its times in seconds."""
    quick = {"rtsp_transport": transport, "fflags": "nobuffer", "analyzeduration": "200000"}
    with av.open(url, timeout=(10, 10), options=quick) as container:
        for shown in container.decode(video=0):
            assert shown.pts is not None
            assert shown.time_base is not None
            seen.append((shown.pts * shown.time_base, bgr_of(shown)))
            if len(seen) >= frames:
                return


def when_there(url: str, frames: int, transport: str = "tcp") -> list[tuple[Fraction, Image]]:
    """What a client sees once there is a stream: there is none before the first picture."""
    deadline = time.monotonic() + 20
    while True:
        seen: list[tuple[Fraction, Image]] = []
        try:
            watch(url, frames, seen, transport)
            return seen
        except (av.error.FFmpegError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.1)


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
def test_a_viewer_comes_while_the_last_one_leaves(port: int) -> None:
    sink = open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)
    with Feeding(sink):
        when_there(f"rtsp://127.0.0.1:{port}/x", 1)
        for _ in range(5):
            seen: list[tuple[Fraction, Image]] = []
            watch(f"rtsp://127.0.0.1:{port}/x", 2, seen)
            assert len(seen) == 2
    assert "; 6 viewers came" in sink.describe()
    assert int(sink.describe().split(": ")[1].split()[0]) >= 11  # encoded, for all of them


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
def test_our_own_source_watches_it(port: int) -> None:
    with Feeding(open_sink(f"rtsp://@127.0.0.1:{port}/x", OPTIONS)):
        when_there(f"rtsp://127.0.0.1:{port}/x", 1)
        source = open_source(f"rtsp://127.0.0.1:{port}/x")
        frames = [source.read(Stop()) for _ in range(5)]
        source.close()
    assert all(frame is not None and frame.size == (36, 52) for frame in frames)


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


def packets(viewer: socket.socket, until_s: float) -> Iterator[tuple[float, int]]:
    """When each packet of pictures came, and its time stamp, over a link of about 200,000 bytes a second."""
    data = b""
    while b"\r\n\r\n" not in data:  # the answer to PLAY
        data += viewer.recv(1)
    data = b""
    while time.monotonic() < until_s:
        data += viewer.recv(4000)
        time.sleep(0.02)
        while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[2:4], "big"):
            end = 4 + int.from_bytes(data[2:4], "big")
            channel, packet, data = data[1], data[4:end], data[end:]
            if channel == 0:
                yield time.monotonic(), int.from_bytes(packet[4:8], "big")


def length_of(answer: bytes) -> int:
    """Of an answer's body."""
    found = re.search(rb"Content-Length: (\d+)", answer)
    return int(found[1]) if found else 0


def idle_viewer(port: int, room: int = 4096) -> socket.socket:
    """A client that asks for the stream over its connection and then reads nothing. room: bytes that wait for it."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    url = f"rtsp://127.0.0.1:{port}/x"

    def ask(number: int, method: str, address: str, headers: str = "") -> str:
        client.sendall(f"{method} {address} RTSP/1.0\r\nCSeq: {number}\r\n{headers}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < length_of(answer):
            answer += client.recv(4096)
        assert answer.startswith(b"RTSP/1.0 200 OK"), answer
        return answer.decode()

    ask(1, "DESCRIBE", url)
    answer = ask(2, "SETUP", f"{url}/stream=0", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
    session = re.search(r"Session: ([^;\s]+)", answer)
    assert session, answer
    client.sendall(f"PLAY {url} RTSP/1.0\r\nCSeq: 3\r\nSession: {session[1]}\r\n\r\n".encode())
    return client


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
