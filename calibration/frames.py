"""Calibration frames: a bounded number of them, spread over whatever the runtime can read."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from runtime.sources import frames_of, open_source

Image = NDArray[np.uint8]


def calibration_frames(uri: str, count: int) -> list[Image]:
    """At most `count` frames of a source, (H, W, 3) uint8 BGR: all of it thinned evenly, or the first of a camera.

    One pass with bounded memory: whenever twice the frames wanted are held, every second one is dropped.
    Raises Failure (SOURCE) when the source cannot be read or is empty.
    """
    source = open_source(uri)
    # A camera or a test scene never ends; taking more than this would only repeat it.
    endless = source.live or uri.startswith("test://")
    frames = frames_of(source)
    if endless:
        return [frame.image for frame in itertools.islice(frames, count)]
    held: list[Image] = []
    spacing = 1
    for index, frame in enumerate(frames):
        if index % spacing == 0:
            held.append(frame.image)
        if len(held) == 2 * count:
            held, spacing = held[::2], spacing * 2
    if not held:
        raise Failure(f"{uri} has no frames to calibrate on", ExitCode.SOURCE)
    chosen = np.linspace(0, len(held) - 1, min(count, len(held))).round().astype(int)
    return [held[index] for index in chosen]
