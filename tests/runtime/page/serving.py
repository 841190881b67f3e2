"""A page over real pipelines: scenes at a camera's pace through the stand-in model; their cables can be pulled."""

from __future__ import annotations

import copy
import functools
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from runtime.frame import Frame, now_ns
from runtime.live.status import Controls, Status
from runtime.live.stream import Stream
from runtime.measure.timing import Delivery, Timing
from runtime.page.page import Page
from runtime.page.page_options import PageOptions
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.onnx_session import OnnxSession
from runtime.sinks.sink import NullSink
from runtime.sources.scene_source import SceneSource, open_scene
from runtime.stop import Stop
from runtime.views import VIEWS

TOKEN = "a-token-of-32-characters-in-all."
SCENE = "test://320x180@30"


class Camera:
    """A scene whose cable can be pulled: no frames come until it is plugged in again."""

    live = True
    inputs: tuple[Path, ...] = ()
    corrupt = missed = superseded = 0

    def __init__(self, scene: SceneSource, status: Status) -> None:
        self.frame_rate, self.time_base = scene.frame_rate, scene.time_base
        self.notes: list[str] = []
        self._scene, self._status = scene, status
        self._gone = False
        self.index = 0  # of the frame that was read last
        self.cut: tuple[int, int] | None = None  # (height, width) that its driver has changed to
        status.change("live")

    def describe(self) -> str:
        return self._scene.describe()

    def read(self, stop: Stop) -> Frame | None:
        while (frame := self._scene.read(stop)) is not None and self._gone:
            pass
        self.index = frame.index if frame else self.index
        if frame is None or self.cut is None:
            return frame
        image = frame.image[: self.cut[0], : self.cut[1]].copy()
        return Frame(image, frame.index, frame.captured_ns, frame.sensor_stamped, frame.time)

    def close(self) -> None:
        self._scene.close()

    def unplug(self) -> None:
        self._gone = True
        self._status.change("lost", "the cable was pulled")

    def plug(self) -> None:
        self._status.reconnects += 1
        self._status.change("live")
        self._gone = False


@functools.cache
def rendered(scene: str) -> SceneSource:
    """To be copied, not read: rendering takes longer than most tests."""
    return open_scene(scene)


class Running:
    """One stream at work in threads of its own."""

    def __init__(self, page: Page, model: Path, name: str, scene: str, views: Sequence[str] = VIEWS) -> None:
        self.status, self.controls, self.timing = Status(), Controls(), Timing(now_ns())
        self.camera = Camera(copy.copy(rendered(scene)), self.status)
        session = OnnxSession(model, 1)
        self.watchers: list[Callable[[Delivery], None]] = []
        options = PipelineOptions(True, watchers=self.watchers, controls=self.controls)
        self.pipeline = Pipeline(self.camera, session, [NullSink()], self.timing, options)
        self.stream = Stream(name, session.describe(), self.pipeline, self.timing, self.status, self.controls)
        self.watchers.append(page.add(self.stream, views))
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name="main of a run")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def fps_over(self, seconds: float) -> float:
        """Frames a second that are delivered from now on."""
        before = self.timing.delivered
        time.sleep(seconds)
        return (self.timing.delivered - before) / seconds

    def _run(self) -> None:
        self.pipeline.run(self._stop)
        self.status.change("ended")


class Served:
    """A page with its streams; closed with everything in it."""

    def __init__(
        self,
        model: Path,
        scenes: Mapping[str, str] | None = None,
        options: PageOptions | None = None,
        telemetry: Callable[[], Mapping[str, Any]] | None = None,
        views: Sequence[str] = VIEWS,
    ) -> None:
        """scenes: name of a stream → its test:// address. options: without one, any free port of the loopback."""
        self.said: list[str] = []
        self.page = Page(options or PageOptions(port=0), telemetry, self.said.append)
        self.port = self.page.port
        scenes = {"front": SCENE} if scenes is None else scenes
        self.running = {name: Running(self.page, model, name, scene, views) for name, scene in scenes.items()}

    @property
    def front(self) -> Running:
        return next(iter(self.running.values()))

    def connect(self, patience_s: float = 10.0, buffer: int | None = None) -> socket.socket:
        """buffer: bytes that the kernel takes in for the client."""
        with ExitStack() as opened:
            client = opened.enter_context(socket.socket())
            client.settimeout(patience_s)
            if buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            client.connect(("127.0.0.1", self.port))
            opened.pop_all()
        return client

    def ask(self, text: str | bytes, patience_s: float = 10.0) -> bytes:
        """All that comes back for raw bytes, until the server closes."""
        with self.connect(patience_s) as client:
            client.sendall(text.encode() if isinstance(text, str) else text)
            return rest_of(client)

    def get(self, path: str, *headers: str, method: str = "GET", body: str = "") -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body."""
        length = [f"Content-Length: {len(body.encode())}"] if body else []
        hosts = [] if any(line.lower().startswith("host:") for line in headers) else [f"Host: localhost:{self.port}"]
        lines = [f"{method} {path} HTTP/1.1", *hosts, "Connection: close", *length, *headers, "", body]
        return split(self.ask("\r\n".join(lines)))

    def close(self) -> None:
        """May be called again."""
        for running in self.running.values():
            running.stop()
        start_s = time.monotonic()
        self.page.close()
        assert time.monotonic() - start_s < 3


def rest_of(client: socket.socket) -> bytes:
    """What comes until the other side closes, or resets."""
    pieces = []
    try:
        while piece := client.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    pairs = [text.partition(": ") for text in lines]
    return int(line.split()[1]), {name.lower(): value for name, _, value in pairs}, body


def until(condition: Callable[[], Any], patience_s: float = 20.0) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
    return value
