"""SceneSource: `test://WxH` back to back, `test://WxH@FPS` at a camera's pace; every frame with its sharp original.

Paced frames carry their capture time as a code in the picture (time_code.py), so that their age can be read off what
comes out in the end.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from edgedeblur import Failure
from runtime.frame import Frame, Image, now_ns, size_text
from runtime.sources import time_code
from runtime.sources.scene import render_loop
from runtime.stop import Stop

SMALLEST, LARGEST = 16, 4096  # pixels a side
FASTEST = 1000  # frames a second
UNPACED_RATE = Fraction(30)  # playing speed of frames that come without a clock


class SceneSource:
    """The test scene, without end. Paced it behaves as a camera: it drops for nobody, its clock runs on."""

    inputs: tuple[Path, ...] = ()
    corrupt = missed = superseded = 0

    def __init__(self, loop: list[tuple[Image, Image]], rate: Fraction | None) -> None:
        """rate: frames a second of a camera; None gives frames as fast as they are asked for."""
        self.live = rate is not None
        self.frame_rate: Fraction | None = rate or UNPACED_RATE
        self.time_base: Fraction | None = 1 / (rate or UNPACED_RATE)
        self._period = self.time_base
        self._loop = loop
        self._frames = len(loop)
        self._coded = self.live and time_code.fits(loop[0][0].shape[:2])
        self.notes: list[str] = []
        self._index = 0
        self._start_ns = 0  # when frame 0 is captured; set by the first read, so that preparing costs no frames

    def describe(self) -> str:
        height, width = self._loop[0][0].shape[:2]
        code = "with their capture time in the picture" if self._coded else "too small to carry their capture time"
        pace = f"at {self.frame_rate} frames/s {code}" if self.live else "back to back"
        return f"test scene {size_text((height, width))} {pace}, a loop of {self._frames} frames"

    def read(self, stop: Stop) -> Frame | None:
        """The next frame, at its time; None once `stop` is set."""
        index = self._index
        self._index += 1
        if index == 0:
            self._start_ns = now_ns()
        captured_ns = self._start_ns + int(index * self._period * 10**9)
        image, sharp = self._pair(index, captured_ns)
        if stop.wait_until(captured_ns) if self.live else stop.is_set():
            return None
        captured_ns = captured_ns if self.live else now_ns()
        return Frame(image, index, captured_ns, self.live, index * self._period, sharp)

    def _pair(self, index: int, captured_ns: int) -> tuple[Image, Image]:
        """The blurred and the sharp picture; of a camera's both carry the time, so that it moves no comparison."""
        image, sharp = self._loop[index % len(self._loop)]
        if self._coded:
            image, sharp = image.copy(), sharp.copy()
            for picture in (image, sharp):
                time_code.stamp(picture, captured_ns)
        return image, sharp

    def close(self) -> None:
        self._loop = self._loop[:1]


def open_scene(uri: str) -> SceneSource:
    """Render the scene a `test://WxH[@FPS]` names.

    Raises: Failure (USAGE) for a URI that is not of this form or a size or rate out of range.
    """
    parts = re.fullmatch(r"test://(\d{1,9})x(\d{1,9})(?:@(\d{1,9}(?:\.\d{1,30})?))?", uri)
    if not parts:
        raise Failure(f"'{uri}' is not a test scene; expected test://WIDTHxHEIGHT or test://WIDTHxHEIGHT@FPS")
    width, height = int(parts[1]), int(parts[2])
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise Failure(f"'{uri}': a test scene has sides of {SMALLEST} to {LARGEST} pixels")
    rate = Fraction(parts[3]) if parts[3] else None
    if rate is not None and not 0 < rate <= FASTEST:
        raise Failure(f"'{uri}': a test scene runs at more than 0 and at most {FASTEST} frames/s")
    return SceneSource(render_loop((height, width)), rate)
