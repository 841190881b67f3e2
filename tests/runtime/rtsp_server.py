"""A small RTSP server on the loopback: H.264 over the RTSP connection itself (TCP), in real time.

It can die as a server does that is killed, come back on its port, and fall silent as a network does.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from fractions import Fraction

import av

from tests.runtime.conftest import picture

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=t\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:0\r\n"
)
CHUNK = 1200  # bytes in one RTP packet
FOR_EVER = 10**9  # frames


class RtspServer:
    """Serves each client `count` frames at `rate`, then ends the connection, or keeps it open in silence (`hang`)."""

    def __init__(
        self, count: int, rate: int = 60, hang: bool = False, size: tuple[int, int] = (36, 52), port: int = 0
    ) -> None:
        """size: (height, width). port: 0 takes a free one."""
        self.count, self.rate, self.hang, self.size = count, rate, hang, size
        self.sent = 0
        self.requests: list[str] = []
        self.silent = threading.Event()  # while set the connections stay and nothing is sent
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End in order: what is being sent is sent."""
        self._ended.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def kill(self) -> None:
        """End as a process does that is killed: connections are reset, and the port is free at once."""
        self._ended.set()
        for client in self._clients:
            with suppress(OSError):  # it has left already
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RD)  # wakes who waits for a request
            client.close()
        self.close()

    def restarted(self, size: tuple[int, int] | None = None) -> RtspServer:
        """A new server on the port of this one, which must have ended. size: where its pictures have another one."""
        return RtspServer(self.count, self.rate, self.hang, size or self.size, self.port)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(20)
            self._clients.append(client)
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                while not self._answer(client):
                    pass
                self._play(client)
                if self.hang:
                    self._ended.wait(20)
            except OSError:
                pass  # the client went away, or we were killed

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
        encoder.height, encoder.width, encoder.pix_fmt = *self.size, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, self.rate), Fraction(self.rate)
        encoder.options = {"tune": "zerolatency", "preset": "ultrafast", "g": "8"}
        start, packets = time.monotonic(), 0
        for index in range(self.count):
            while self.silent.is_set() and not self._ended.wait(0.01):
                start += 0.01  # time stands still
            bgr = picture(index % 50, self.size)
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv420p")
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
