"""ResizedSession: the network sees a smaller frame, and what it changes there is added to the frame at its full size.

So the detail of the input is never lost, whatever the size: a network that changes nothing changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from runtime.frame import Image, now_ns
from runtime.sessions.session import Result, Session
from runtime.steering.around import InFlight, SessionAround

AREA, BILINEAR = 0x20, 0x2  # as FFmpeg's swscale numbers them
MIDDLE = 128  # stands for no change, so that a change of either sign is a byte


class ResizedSession(SessionAround):
    """Works at `scale` of height and width; results are of the full size. Changes beyond ±127 levels are cut off."""

    def __init__(self, inner: Session, scale: Fraction) -> None:
        super().__init__(inner)
        height, width = inner.min_size
        self.min_size = math.ceil(height / scale), math.ceil(width / scale)
        self._scale = scale
        self._shrink, self._enlarge = _Scaler(AREA), _Scaler(BILINEAR)
        self._flying: InFlight[tuple[Image, Image]] = InFlight(self.depth)  # (full size, smaller)

    def submit(self, frame: Image) -> None:
        """Take (H, W, 3) uint8 BGR, which must stay as it is until its result is there. Raises: as the one inside."""
        self._flying.wait_for_room()
        height, width = (max(1, round(side * self._scale)) for side in frame.shape[:2])
        smaller = self._shrink(frame, height, width)
        self._inner.submit(smaller)
        self._flying.add((frame, smaller))

    def result(self) -> Result:
        """The oldest frame's result, `finished_ns` as if it was taken at once: how long its taker waits is not ours."""
        frame, smaller = self._flying.oldest()
        result = self._inner.result()
        start_ns = now_ns()
        change = np.subtract(result.image, smaller, dtype=np.int16)
        change += MIDDLE
        np.clip(change, 0, 255, out=change)
        changed = np.add(frame, self._enlarge(change.astype(np.uint8), *frame.shape[:2]), dtype=np.int16)
        changed -= MIDDLE
        np.clip(changed, 0, 255, out=changed)
        sharp = changed.astype(np.uint8)
        return replace(result, image=sharp, finished_ns=result.finished_ns + now_ns() - start_ns)

    def describe(self) -> str:
        return f"{super().describe()}, at {self._scale} size"

    def close(self) -> None:
        self._flying.close()
        super().close()


class _Scaler:
    """Scales pictures with swscale, whose tables are kept from one picture to the next. For one thread."""

    def __init__(self, method: int) -> None:
        self._method = method
        self._reformatter: Any = None

    def __call__(self, image: Image, height: int, width: int) -> Image:
        import av
        from av.video.reformatter import VideoReformatter

        if self._reformatter is None:
            self._reformatter = VideoReformatter()
        picture = av.VideoFrame.from_ndarray(image, format="bgr24")
        scaled = self._reformatter.reformat(picture, width, height, "bgr24", interpolation=self._method)
        array: Image = scaled.to_ndarray()
        return array
