"""Viewers of streams that are served here, and who feeds them."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import pytest

from edgedeblur import Failure
from runtime import gst_import
from runtime.frame import Frame, Image, now_ns
from runtime.sinks.sink import Sink, SinkOptions
from runtime.sources.video_io import bgr_of
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
