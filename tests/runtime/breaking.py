"""A camera that breaks in every way that cameras do, opened again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.live.lost_options import LostOptions, OnLost
from runtime.stop import Stop

Then: TypeAlias = Literal["break", "end", "silent", "hang", "freeze", "damage", "bug"]
STALL_S = 0.4
QUICK = {"reconnect_interval_s": 0.05, "reconnect_max_interval_s": 0.1, "stall_timeout_s": 10.0, "proven_s": 0.5}


def quick(on_lost: OnLost = "hold", **changed: object) -> LostOptions:
    """Options that wait for nothing long, but give a busy machine the time to bring a frame."""
    return LostOptions(on_lost, **{**QUICK, **changed})  # type: ignore[arg-type]


def watchful(on_lost: OnLost = "hold", **changed: object) -> LostOptions:
    """Options that soon take silence for a stall."""
    return quick(on_lost, **{"stall_timeout_s": STALL_S, **changed})


@dataclass(frozen=True)
class Opening:
    """What happens the next time that a camera is opened."""

    frames: int = 5
    then: Then = "break"
    size: tuple[int, int] = (12, 20)
    period_s: float = 0.01
    level: int = 40  # of the first picture; each next one is a level brighter
    behind_ns: int = 0  # how much later than it was captured a frame comes
    first: int = 0  # its number of the first frame
    corrupt: int = 0  # damaged frames, told with the last good one
    rate: int = 100  # what it says of itself, frames a second
    close_s: float = 0.0  # how long closing it takes
    refuse: str = ""  # the reason why it cannot be opened
    hang_open: bool = False


REFUSED = Opening(refuse="Connection refused")


class Camera:
    """Opened by calling it; each opening follows the next of `openings`, the last one again and again."""

    def __init__(self, openings: Sequence[Opening]) -> None:
        self.openings = openings
        self.opened = 0
        self.closed = 0
        self.open_now = self.most_open = 0
        self.release = threading.Event()  # lets go of what hangs

    def __call__(self) -> BreakingSource:
        opening = self.openings[min(self.opened, len(self.openings) - 1)]
        self.opened += 1
        if opening.hang_open:
            self.release.wait(30)
        if opening.refuse:
            raise Failure(f"camera cannot be opened: {opening.refuse}; check it", ExitCode.SOURCE)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        return BreakingSource(self, opening)


class BreakingSource:
    """One opening of a camera."""

    live = True
    inputs: tuple[Path, ...] = ()
    missed = superseded = 0
    time_base: Fraction | None = Fraction(1, 100)

    def __init__(self, camera: Camera, opening: Opening) -> None:
        self.camera, self.opening = camera, opening
        self.frame_rate: Fraction | None = Fraction(opening.rate)
        self.corrupt = 0
        self.notes = ["the sound is not copied"]
        self.given = 0

    def describe(self) -> str:
        return f"opening {self.camera.opened}"

    def read(self, stop: Stop) -> Frame | None:
        opening = self.opening
        if self.given < opening.frames:
            if stop.wait_until(now_ns() + int(opening.period_s * 1e9)):
                return None
            self.given += 1
            if self.given == opening.frames:
                self.corrupt += opening.corrupt
            return self._frame(opening.level + self.given - 1)
        return self._finish(stop)

    def close(self) -> None:
        time.sleep(self.opening.close_s)
        self.camera.closed += 1
        self.camera.open_now -= 1

    def _finish(self, stop: Stop) -> Frame | None:
        then = self.opening.then
        if then == "break":
            self.notes.append(f"broke after {self.given} frames at {now_ns()}")
            raise Failure("camera broke: No such device; check its cable, then start again", ExitCode.SOURCE)
        if then == "bug":
            raise TypeError("a mistake of ours")
        if then == "hang":
            self.camera.release.wait(30)
        while then == "damage" and not stop.wait_until(now_ns() + int(self.opening.period_s * 1e9)):
            self.corrupt += 1
        if then == "silent":
            stop.wait_until(now_ns() + 30 * 10**9)
        if then == "freeze" and not stop.wait_until(now_ns() + int(self.opening.period_s * 1e9)):
            self.given += 1
            return self._frame(self.opening.level + self.opening.frames - 1)
        return None

    def _frame(self, level: int) -> Frame:
        image = np.full((*self.opening.size, 3), level % 256, np.uint8)
        # As a file's, its clock starts at 0 with every opening.
        shown = Fraction(self.given - 1, 100)
        return Frame(image, self.opening.first + self.given - 1, now_ns() - self.opening.behind_ns, True, shown)
