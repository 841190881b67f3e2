"""A longer exposure made of consecutive video frames: what moves is followed between them, and all of it averaged."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training.data.video_motion import Floats, Motion, frame_between, motion_between

Image = NDArray[np.uint8]
_DOUBTFUL = 0.02  # share of the picture whose motion may be in doubt; two frames with more are never averaged


class Exposure:
    """Consecutive frames around the one in whose instant the exposure has its middle.

    The motion between two frames is found when it is first asked for.
    """

    def __init__(self, frames: list[Image], middle: int, margin: int = 0) -> None:
        """frames: (H, W, 3) uint8. margin: pixels all around that things come in from, not part of the picture."""
        self._frames, self._middle = frames, middle
        self._inner = tuple(slice(margin, length - margin) for length in frames[0].shape[:2])
        self._motions: dict[int, Motion] = {}

    @property
    def sharp(self) -> Image:
        """The picture at the middle, as it was filmed."""
        return self._frames[self._middle][self._inner]

    def speed(self) -> float:
        """Pixels a frame that a fiftieth of the picture exceeds; 0 where the frames beside it do not belong to it."""
        if not self.reach(1.0):
            return 0.0
        before, after = (self._motion(self._middle + side).forward[self._inner] for side in (-1, 0))
        return min(float(np.percentile(np.linalg.norm(flow, axis=2), 98)) for flow in (before, after))

    def reach(self, wanted: float) -> float:
        """How many frames, up to `wanted`, it may extend on both sides: as far as the motion can be followed."""
        for step in range(math.ceil(wanted)):
            if not all(self._followed(number) for number in (self._middle - 1 - step, self._middle + step)):
                return float(step)
        return wanted

    def averaged(self, reach: float, instants: int, gamma: float) -> Floats:
        """The picture over an odd number of instants, from `reach` frames before the middle to as many after.

        float32 grey levels. gamma: of the space that is averaged in; 1 for the one that is displayed.
        """
        light = np.power(np.arange(256) / 255, gamma).astype(np.float32)
        total = np.zeros(self._frames[0].shape, np.float32)
        for step in range(-(instants // 2), instants // 2 + 1):
            instant = step * 2 * reach / instants  # Python's floats: NumPy's would turn the arrays into float64
            number = self._middle + math.floor(instant)
            first, second = (light[frame] for frame in self._frames[number : number + 2])
            total += frame_between(first, second, self._motion(number), instant - math.floor(instant))
        shown = np.power(np.clip(total / instants, 0, 1), 1 / gamma) * np.float32(255)
        return np.asarray(shown[self._inner], np.float32)

    def _followed(self, number: int) -> bool:
        return 0 <= number < len(self._frames) - 1 and self._motion(number).doubt[self._inner].mean() <= _DOUBTFUL

    def _motion(self, number: int) -> Motion:
        """From a frame to the next."""
        if number not in self._motions:
            self._motions[number] = motion_between(*self._frames[number : number + 2])
        return self._motions[number]
