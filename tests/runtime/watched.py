"""A supervised camera that is watched: all that it gave, said and went through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from runtime.frame import STAND_INS, Frame
from runtime.live.lost_options import LostOptions
from runtime.live.status import Status
from runtime.live.supervised_source import Supervised, SupervisedSource
from runtime.stop import Stop
from tests.runtime.breaking import Camera, Opening, quick

PATIENCE_S = 20.0  # of the tests


class Watched:
    """A supervised camera, what it said and the states it was in."""

    def __init__(self, *openings: Opening, lost: LostOptions | None = None, noisy: bool = False) -> None:
        self.camera = Camera(openings)
        self.said: list[str] = []
        self.status = Status()
        self.stop = Stop()
        self.lost = lost or quick()
        self.noisy = noisy
        self.source: SupervisedSource | None = None

    def open(self) -> SupervisedSource:
        subject = Supervised(self.camera, "cam", self.noisy)
        self.source = SupervisedSource(subject, self.lost, self.status, self.said.append, self.stop)
        return self.source

    def read(self, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
        """Frames until there are enough, and until the source ends."""
        source, frames = self.source or self.open(), list[Frame]()
        end = time.monotonic() + PATIENCE_S
        while not enough(frames) and (frame := source.read(self.stop)) is not None:
            frames.append(frame)
            assert time.monotonic() < end, f"{self.status} {self.said}"
        return frames

    def real(self, count: int) -> list[Frame]:
        """All frames until `count` of them came from the camera."""
        return self.read(lambda frames: sum(frame.how not in STAND_INS for frame in frames) >= count)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reader"]


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(*openings: Opening, **how: object) -> Watched:
        made.append(Watched(*openings, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for watched in made:
        watched.camera.release.set()
        if watched.source is not None:
            watched.source.close()
    end = time.monotonic() + 5
    while time.monotonic() < end and readers():
        time.sleep(0.01)
    assert not readers()
    assert all(watched.camera.open_now == 0 for watched in made)


Watch = Callable[..., Watched]
