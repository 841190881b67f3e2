"""A small RTSP server on the loopback: H.264 over the RTSP connection itself (TCP), one client, real time."""

from __future__ import annotations

import socket
import struct
import threading
import time
from fractions import Fraction

import av

from tests.runtime.conftest import picture

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=t\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:0\r\n"
)
CHUNK = 1200  # bytes in one RTP packet


class RtspServer:
    """Serves `count` frames at `rate`, then closes the connection, or keeps it open in silence (`hang`)."""

    def __init__(self, count: int, rate: int = 60, hang: bool = False) -> None:
        self.count, self.rate, self.hang = count, rate, hang
        self.sent = 0
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        with client:
            try:
                while not self._answer(client):
                    pass
                self._play(client)
                if self.hang:
                    self._ended.wait(20)
            except OSError:
                pass  # the client went away

    def _answer(self, client: socket.socket) -> bool:
        """Answer one request; True after PLAY."""
        text = b""
        while b"\r\n\r\n" not in text:
            if not (more := client.recv(4096)):
                raise OSError("the client went away")
            text += more
        request = text.decode()
        method = request.split()[0]
        self.requests.append(request)
        number = next(line for line in request.split("\r\n") if line.lower().startswith("cseq"))
        extra = {
            "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n",
            "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
            "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n",
        }.get(method, "Session: 1\r\n")
        body = SDP if method == "DESCRIBE" else ""
        client.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\n{extra}\r\n{body}".encode())
        return method == "PLAY"

    def _play(self, client: socket.socket) -> None:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.height, encoder.width, encoder.pix_fmt = 36, 52, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, self.rate), Fraction(self.rate)
        encoder.options = {"tune": "zerolatency", "preset": "ultrafast", "g": "8"}
        start, packets = time.monotonic(), 0
        for index in range(self.count):
            frame = av.VideoFrame.from_ndarray(picture(index % 50), format="bgr24").reformat(format="yuv420p")
            frame.pts = index
            for packet in encoder.encode(frame):
                packets = _send(client, bytes(packet), index * 90000 // self.rate, packets)
            self.sent += 1
            if self._ended.wait(max(0.0, start + index / self.rate - time.monotonic())):
                return


def _send(client: socket.socket, stream: bytes, stamp: int, number: int) -> int:
    """One access unit as RTP packets (RFC 6184); the number of the next packet."""
    units = [unit for unit in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    for unit in units:
        payloads = [unit] if len(unit) <= CHUNK else _fragments(unit)
        for place, payload in enumerate(payloads):
            last = unit is units[-1] and place == len(payloads) - 1
            header = struct.pack("!BBHII", 0x80, 96 | (0x80 if last else 0), number & 0xFFFF, stamp, 7)
            packet = header + payload
            client.sendall(struct.pack("!cBH", b"$", 0, len(packet)) + packet)
            number += 1
    return number


def _fragments(unit: bytes) -> list[bytes]:
    """FU-A fragments of one NAL unit."""
    parts = [unit[start : start + CHUNK] for start in range(1, len(unit), CHUNK)]
    indicator = (unit[0] & 0xE0) | 28
    flags = [(0x80 if part is parts[0] else 0) | (0x40 if part is parts[-1] else 0) for part in parts]
    return [bytes((indicator, flag | (unit[0] & 0x1F))) + part for flag, part in zip(flags, parts, strict=True)]
