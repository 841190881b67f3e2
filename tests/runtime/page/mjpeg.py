"""A viewer of the stream that checks what it reads: every part whole, every picture one that decodes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np

from runtime.frame import Image
from tests.runtime.page.serving import Served


@dataclass(frozen=True)
class Part:
    """One picture as it came."""

    headers: dict[str, str]
    jpeg: bytes

    @property
    def index(self) -> int:
        return int(self.headers["x-frame-index"])


class Mjpeg:
    """A client of /stream.mjpg."""

    def __init__(self, served: Served, query: str = "?view=pair", buffer: int | None = None) -> None:
        """buffer: bytes that the kernel takes in for it."""
        self.socket = served.connect(buffer=buffer)
        self.socket.sendall(f"GET /stream.mjpg{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self._file = self.socket.makefile("rb")
        self.head = self._lines()

    def parts(self) -> Iterator[Part]:
        """Until the stream ends."""
        boundary = re.search(r"boundary=(\w+)", self.head["content-type"])
        assert boundary
        while line := self._file.readline():
            assert line.strip() == f"--{boundary[1]}".encode()
            headers = self._lines()
            if not headers:
                return
            jpeg = self._file.read(int(headers["content-length"]))
            assert self._file.readline() == b"\r\n"
            yield Part(headers, jpeg)

    def take(self, count: int) -> list[Part]:
        return [part for part, _ in zip(self.parts(), range(count), strict=False)]

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Mjpeg:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lines(self) -> dict[str, str]:
        lines = iter(lambda: self._file.readline().decode("latin-1").strip(), "")
        pairs = [line.partition(": ") for line in lines]
        return {name.lower(): value for name, _, value in pairs}


def decoded(jpeg: bytes) -> Image:
    """(H, W, 3) uint8 BGR."""
    assert jpeg[:2] == b"\xff\xd8"
    assert jpeg[-2:] == b"\xff\xd9"
    with av.open(io.BytesIO(jpeg), "r", format="mjpeg") as container:
        frame = next(container.decode(video=0))
        return np.asarray(frame.to_ndarray(format="bgr24"))
