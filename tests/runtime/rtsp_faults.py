"""Streams that are damaged on purpose, and servers that do not do what servers should."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

from runtime.frame import Image
from runtime.sources import time_code
from runtime.sources.scene import render_loop
from tests.runtime.rtsp_server import RtspServer, _send

SIZE = (144, 256)


def pictures(count: int, size: tuple[int, int] = SIZE) -> list[Image]:
    """Pictures of the test scene, each with its number as its time code."""
    loop = render_loop(size)
    numbered = [loop[index % len(loop)][0].copy() for index in range(count)]
    for number, image in enumerate(numbered):
        time_code.stamp(image, number)
    return numbered


def coded(images: Sequence[Image], key_every: int = 15) -> list[bytes]:
    """The pictures as H.264, each one access unit that can be sent when it is made."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *images[0].shape[:2], "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 60), Fraction(60)
    encoder.options = {"tune": "zerolatency", "preset": "veryfast", "crf": "18", "g": str(key_every)}
    units = []
    for index, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
        frame.pts = index
        units += [bytes(packet) for packet in encoder.encode(frame)]
    return units


def flipped(unit: bytes, seed: int, bits: int = 3) -> bytes:
    """An access unit with some bits of its last half the other way round: its headers stay whole."""
    chosen, damaged = random.Random(seed), bytearray(unit)
    for _ in range(bits):
        damaged[chosen.randrange(len(unit) // 2, len(unit))] ^= 1 << chosen.randrange(8)
    return bytes(damaged)


def truncated(unit: bytes) -> bytes:
    """An access unit without its last third."""
    return unit[: len(unit) * 2 // 3]


class StreamServer(RtspServer):
    """Sends access units as they are, `rate` a second, again and again with `again`."""

    def __init__(self, units: Sequence[bytes], rate: int = 120, again: bool = False, hang: bool = False) -> None:
        self.units, self.again = units, again
        super().__init__(len(units), rate, hang)

    def _play(self, client: socket.socket) -> None:
        start, packets, index = time.monotonic(), 0, 0
        while not self._ended.is_set() and (self.again or index < len(self.units)):
            packets = _send(client, self.units[index % len(self.units)], index * 90000 // self.rate, packets)
            index += 1
            self.sent = index
            self._ended.wait(max(0.0, start + index / self.rate - time.monotonic()))


class RawServer:
    """Accepts connections and does with each what it is told to; a client's end or `close` ends that."""

    def __init__(self, serve: Callable[[socket.socket, threading.Event], None]) -> None:
        self._serve = serve
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self.ended.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                client.settimeout(5)
                self._threads.append(threading.Thread(target=self._handle, args=(client,), daemon=True))
                self._threads[-1].start()

    def _handle(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self._serve(client, self.ended)


def says(answer: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Answers every request with these bytes, in which `{cseq}` becomes the number of an RTSP request."""

    def serve(client: socket.socket, ended: threading.Event) -> None:
        while request := client.recv(65536):
            lines = [line for line in request.split(b"\r\n") if line.lower().startswith(b"cseq")]
            client.sendall(answer.replace(b"{cseq}", lines[0] if lines else b""))

    return serve


def babbles(client: socket.socket, ended: threading.Event) -> None:
    """Sends noise without end, up to 4 MiB."""
    noise = random.Random(3)
    client.recv(65536)
    for _ in range(1024):
        client.sendall(noise.randbytes(4096))
        if ended.wait(0.01):
            return


def listens(client: socket.socket, ended: threading.Event) -> None:
    """Takes what comes and says nothing."""
    while client.recv(65536):
        pass
