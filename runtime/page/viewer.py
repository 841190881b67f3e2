"""Viewer: sends one client the newest picture whenever its link has taken the last one (multipart MJPEG)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from runtime.frame import now_ns
from runtime.page.channel import Channel
from runtime.page.connection import Connection
from runtime.page.pace import Pace
from runtime.page.pictures import Form, Picture
from runtime.page.response import Response
from runtime.stop import Stop

BOUNDARY = "frame"
KIND = f"multipart/x-mixed-replace;boundary={BOUNDARY}"
TICK_NS = 200_000_000  # how often a viewer that gets nothing is looked after
STUCK_S = 20.0  # a client that takes less than one picture in that time is left


@dataclass(frozen=True)
class Viewing:
    """A picture that goes on for as long as the client and the stream are there."""

    channel: Channel
    form: Form
    stop: Stop

    def response(self) -> Response:
        return Response(200, self.show, KIND, {"X-Accel-Buffering": "no"})  # nginx would collect it

    def show(self, connection: Connection) -> None:
        """Raises: OSError when the client goes."""
        pace, number = Pace(self.form), 0
        connection.prefer_new()
        # Each boundary follows its picture at once: browsers show a part when they see its end.
        connection.send(f"--{BOUNDARY}\r\n".encode())
        with self.channel.watched():
            while not (self.stop.is_set() or self.channel.has_ended or connection.is_gone()):
                picture = self.channel.pictures.after(number, pace.every, pace.form, now_ns() + TICK_NS)
                if picture is not None:
                    number = picture.number
                    self._send(connection, picture, pace)

    def _send(self, connection: Connection, picture: Picture, pace: Pace) -> None:
        start_s = time.monotonic()
        connection.send(_part(picture))
        while not connection.wait_for_room(TICK_NS / 1e9):
            if self.stop.is_set() or time.monotonic() - start_s > STUCK_S:
                raise TimeoutError
        now_s = time.monotonic()
        pace.sent(now_s - start_s, now_s)


def _part(picture: Picture) -> bytes:
    lines = (
        "Content-Type: image/jpeg",
        f"Content-Length: {len(picture.jpeg)}",
        f"X-Frame-Index: {picture.index}",
        f"X-Frame-How: {picture.how}",
        f"X-Frame-Age-Ms: {(now_ns() - picture.captured_ns) / 1e6:.1f}",  # when it was sent
    )
    return "\r\n".join([*lines, "", ""]).encode() + picture.jpeg + f"\r\n--{BOUNDARY}\r\n".encode()
