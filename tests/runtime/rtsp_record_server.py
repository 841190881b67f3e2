"""A small RTSP server on the loopback that takes a stream (ANNOUNCE, RECORD over TCP) and decodes what arrives."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from contextlib import suppress

import av

from runtime.frame import Image
from runtime.sources.video_io import bgr_of

NONCE, REALM = "5ca1ab1e", "tests"


class RecordServer:
    """Takes one publisher after another. What it got is in `pictures`, with `stamps` in ticks of 1/90000 s."""

    def __init__(
        self, port: int = 0, auth: str = "", deaf_from: str = "", leave_after: str = "TEARDOWN", channel: int = 0
    ) -> None:
        """auth: digest | basic, for user:secret. deaf_from: from this request on nothing is answered or read.

        leave_after: hang up when this was answered. channel: the one on which packets are to come; the next one is for
        reports.
        """
        self.pictures: list[Image] = []
        self.stamps: list[int] = []
        self.reports: list[bytes] = []
        self.requests: list[str] = []
        self.arrived_s: list[float] = []  # time.monotonic of each picture
        self.full = threading.Event()  # while set the connection stays and nothing is read
        self.slow = threading.Event()  # while set some 200,000 bytes are read a second
        self._auth, self._deaf_from, self._leave_after, self._channel = auth, deaf_from, leave_after, channel
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.port = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End as a server that is killed does: without a word."""
        self._ended.set()
        with suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._client is not None:
            self._client.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                self._client, _ = self._listener.accept()
            except OSError:
                return
            self._client.settimeout(0.2)
            try:
                self._take(self._client)
            except OSError:
                pass  # the publisher went away
            finally:
                self._client.close()

    def _take(self, client: socket.socket) -> None:
        decoder = av.CodecContext.create("h264", "r")
        stream = _Stream(client, self._ended, self.full, self.slow)
        while True:
            kind = stream.take(1)
            if kind == b"$":
                channel, length = struct.unpack("!BH", stream.take(3))
                self._packet(decoder, channel, stream.take(length))
            elif not self._answer(client, kind + stream.until(b"\r\n\r\n"), stream):
                return

    def _answer(self, client: socket.socket, head: bytes, stream: _Stream) -> bool:
        request = head.decode()
        length = re.search(r"content-length: (\d+)", request, re.IGNORECASE)
        request += stream.take(int(length[1])).decode() if length else ""
        self.requests.append(request)
        method = request.split()[0]
        if method == self._deaf_from:
            self._ended.wait(20)
            return False
        number = re.search(r"CSeq: (\d+)", request)
        assert number
        welcome = not self._auth or method == "OPTIONS" or self._knows(request)
        lines = ["RTSP/1.0 200 OK" if welcome else "RTSP/1.0 401 Unauthorized", f"CSeq: {number[1]}"]
        if not welcome:
            lines += [f'WWW-Authenticate: Basic realm="{REALM}"']
            lines += [f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}"'] if self._auth == "digest" else []
        elif method == "SETUP":
            channels = f"{self._channel}-{self._channel + 1}"
            lines += [f"Transport: RTP/AVP/TCP;unicast;interleaved={channels}", "Session: 42;timeout=60"]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        return method not in ("TEARDOWN", self._leave_after)

    def _knows(self, request: str) -> bool:
        given = re.search(r"Authorization: (.*)", request)
        if not given or self._auth == "basic":
            return bool(given) and "dXNlcjpzZWNyZXQ=" in given[1]  # type: ignore[index]
        method, url = request.split()[:2]
        halves = _md5(f"user:{REALM}:secret"), _md5(f"{method}:{url}")
        return f'response="{_md5(f"{halves[0]}:{NONCE}:{halves[1]}")}"' in given[1]

    def _packet(self, decoder: av.CodecContext, channel: int, packet: bytes) -> None:
        if channel != self._channel:
            assert channel == self._channel + 1
            self.reports.append(packet)
            return
        stamp = struct.unpack("!I", packet[4:8])[0]
        self._unit = _unit(packet[12:], getattr(self, "_unit", b""))
        if not packet[1] & 0x80:
            return
        unit, self._unit = self._unit, b""
        for picture in decoder.decode(av.Packet(unit)):  # type: ignore[attr-defined]
            self.pictures.append(bgr_of(picture))
            self.stamps.append(stamp)
            self.arrived_s.append(time.monotonic())


class _Stream:
    """A socket read by lengths; ends every wait when the server is closed."""

    def __init__(
        self, client: socket.socket, ended: threading.Event, full: threading.Event, slow: threading.Event
    ) -> None:
        self._client, self._ended, self._full, self._slow, self._data = client, ended, full, slow, b""

    def take(self, count: int) -> bytes:
        while len(self._data) < count:
            self._more()
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def until(self, end: bytes) -> bytes:
        while end not in self._data:
            self._more()
        return self.take(self._data.index(end) + len(end))

    def _more(self) -> None:
        while not self._ended.is_set():
            if self._full.is_set():
                self._ended.wait(0.05)
                continue
            try:
                data = self._client.recv(4000 if self._slow.is_set() else 65536)
            except TimeoutError:
                continue
            if not data:
                break
            self._data += data
            self._ended.wait(0.02 if self._slow.is_set() else 0)
            return
        raise OSError("the publisher went away")


def _unit(payload: bytes, begun: bytes) -> bytes:
    """What was begun and one more payload: whole NAL units or a fragment of one (RFC 6184), with start codes."""
    if payload[0] & 0x1F != 28:
        return begun + b"\0\0\1" + payload
    first = b"\0\0\1" + bytes(((payload[0] & 0xE0) | (payload[1] & 0x1F),)) if payload[1] & 0x80 else b""
    return begun + first + payload[2:]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
