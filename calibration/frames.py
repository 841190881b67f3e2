"""Calibration frames: a bounded number of them, spread over whatever the runtime can read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame
from runtime.sources import frames_of, open_source

Image = NDArray[np.uint8]
MEMORY = 4 * 2**30  # bytes of frames held at the most


def calibration_frames(uri: str, count: int, min_size: tuple[int, int] = (1, 1)) -> list[Image]:
    """At most `count` frames of a source, (H, W, 3) uint8 BGR: all of it thinned evenly, or the first of a camera.

    One pass with bounded memory: whenever twice the frames wanted are held, every second one is dropped.
    Raises Failure (SOURCE) when the source cannot be read, is empty or has frames below `min_size` (height, width),
    (USAGE) when the frames asked for would not fit.
    """
    source = open_source(uri)
    # A camera or a test scene never ends; taking more than this would only repeat it.
    endless = source.live or uri.startswith("test://")
    frames = _checked(frames_of(source), uri, count, min_size)
    if endless:
        return list(itertools.islice(frames, count))
    held: list[Image] = []
    spacing = 1
    for index, frame in enumerate(frames):
        if index % spacing == 0:
            held.append(frame)
        if len(held) == 2 * count:
            held, spacing = held[::2], spacing * 2
    if not held:
        raise Failure(f"{uri} has no frames to calibrate on", ExitCode.SOURCE)
    chosen = np.linspace(0, len(held) - 1, min(count, len(held))).round().astype(int)
    return [held[index] for index in chosen]


def _checked(frames: Iterable[Frame], uri: str, count: int, min_size: tuple[int, int]) -> Iterator[Image]:
    for frame in frames:
        height, width = frame.size
        if height < min_size[0] or width < min_size[1]:
            raise Failure(
                f"frame {frame.index} {frame.name} of {uri} is {height}x{width}; this model needs at least "
                f"{min_size[0]}x{min_size[1]} (height x width)",
                ExitCode.SOURCE,
            )
        if 2 * count * frame.image.nbytes > MEMORY:
            most = MEMORY // (2 * frame.image.nbytes)
            raise Failure(f"{count} frames of {height}x{width} are too many to hold; use --frames {most} or fewer")
        yield frame.image
