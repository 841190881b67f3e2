"""Films of known motion: a camera that moves over a picture, encoded as video files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.deadleaves import dead_leaves

Image = NDArray[np.uint8]
SIZE = (120, 168)
SCENERY = dead_leaves(np.random.default_rng(3), (400, 700), leaves=2500)


def view(top: float, left: float, size: tuple[int, int] = SIZE, scenery: Image = SCENERY) -> Image:
    """The scenery through a window at a place between pixels."""
    matrix = np.array([[1, 0, -left], [0, 1, -top]], np.float32)
    return picture(cv2.warpAffine(scenery, matrix, size[::-1], flags=cv2.INTER_CUBIC))


def picture(image: object) -> Image:
    return np.asarray(image, np.uint8)


def pan(count: int, step: tuple[float, float], scenery: Image = SCENERY) -> list[Image]:
    """Frames of a camera that moves by `step` (y, x) pixels a frame."""
    return [view(40 + index * step[0], 60 + index * step[1], scenery=scenery) for index in range(count)]


def film(path: Path, frames: Sequence[Image], codec: str = "ffv1", **options: str) -> Path:
    """A video of the frames; ffv1 loses nothing, mpeg4 has key frames and frames that lean on later ones."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30000, 1001), options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode())
    return path
