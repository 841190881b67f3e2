"""A frame: one picture with the moment it was captured and the time at which it is shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 16384  # pixels: what encoders and networks can be expected to count in

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR, C-contiguous
# How a picture that goes out came to be. Unique pictures of the camera: deblurred by the network; `sharp` enough to be
# left alone by the gate; `guarded`, where the network's output was not to be trusted. `passthrough` left the network
# out for want of time or of trust in the source. `held` (the last one again) and `blank` stand in for a lost source.
How: TypeAlias = Literal["deblurred", "sharp", "guarded", "passthrough", "held", "blank"]
UNIQUE: tuple[How, ...] = ("deblurred", "sharp", "guarded")  # what frames a second count
STAND_INS: tuple[How, ...] = ("held", "blank")  # made by us, not by the camera


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source."""

    image: Image  # (H, W, 3) uint8 BGR
    index: int  # place in the source, from 0; a live source leaves gaps where it dropped frames
    captured_ns: int  # CLOCK_MONOTONIC: the sensor's or driver's stamp, else the arrival in our memory
    sensor_stamped: bool = False  # False: captured_ns is the arrival
    time: Fraction | None = None  # presentation time in seconds from the source's own clock; None: use captured_ns
    reference: Image | None = None  # the known sharp picture, same shape, where there is one
    name: str = ""  # the file it came from, without its folder
    how: How = "deblurred"  # what is to become of it; where it says anything else, the network does not see it

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(f"a frame is uint8 (height, width, 3), not {self.image.dtype} {self.image.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]


def size_text(size: tuple[int, int]) -> str:
    """(height, width) as people and URIs write it: `1280x720`."""
    return f"{size[1]}x{size[0]}"


def now_ns() -> int:
    """The one clock of the runtime, CLOCK_MONOTONIC, in nanoseconds: V4L2 stamps frames with it too."""
    return time.monotonic_ns()
