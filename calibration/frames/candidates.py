"""Candidates: of a stream of any length, the frames that differ most, in bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from calibration.frames.coverage import features_of, half_luma, spread
from runtime.frame import Frame


class Candidates:
    """At most `capacity` frames of a stream that cover all of it so far, and the features of every one.

    Whenever it is full, it keeps the part that covers best: a core-set (Indyk et al., "Composable core-sets for
    diversity and coverage maximization", 2014). So the one dark frame in an hour of video is still there in the end.
    A uniform sample would miss it: of three videos and an album, 8 and 32 frames chosen from such a sample left frames
    out that were 1.2 to 2.3 times as far away.
    """

    def __init__(self, capacity: int, least: int) -> None:
        """least: so many are held whatever has been dropped, once there were as many and as far as they fit."""
        self.capacity = capacity
        self.seen = 0
        self.held: dict[int, Frame] = {}  # by place in the stream, from 0
        self._least = least
        self._features = array("d")  # four of each frame seen: 32 bytes, 3 MB for an hour of video
        self._before: NDArray[np.float32] | None = None

    @property
    def full(self) -> bool:
        return len(self.held) >= self.capacity

    @property
    def features(self) -> NDArray[np.float64]:
        """(seen, 4) in the order of `Features`."""
        return np.array(self._features).reshape(-1, 4)

    def shrink(self, capacity: int) -> None:
        """Hold no more than `capacity` > 0 frames once the next is added; never more than before."""
        self.capacity = min(self.capacity, capacity)

    def add(self, frame: Frame) -> None:
        """The next frame of the stream."""
        if self.full:
            kept = self.spread(self.held, max(self.capacity // 2, min(self._least, self.capacity) - 1))
            self.held = {place: self.held[place] for place in sorted(kept)}
        luma = half_luma(frame.image)
        self._features.extend(astuple(features_of(luma, self._before)))
        self._before = luma
        self.held[self.seen] = frame
        self.seen += 1

    def spread(self, places: Iterable[int], count: int) -> list[int]:
        """Those `count` of `places` that cover them best, in the order of choice."""
        return spread(self.features, list(places), count)
