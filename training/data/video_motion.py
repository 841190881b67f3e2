"""Frames between two frames of a video: what a camera would have seen while it exposed for longer."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Frame = TypeVar("Frame", Image, Floats)
# Grey levels by which the two warped frames may differ at a pixel: below, the motion is right; above, it is wrong.
_RIGHT, _WRONG = 8.0, 24.0


@dataclasses.dataclass(frozen=True)
class Motion:
    """What moved between two frames of (H, W).

    forward, backward: (H, W, 2) float32, (x, y) pixels from one frame to the other. doubt: (H, W) float32, from 0 where
    the motion explains both frames to 1 where it does not.
    """

    forward: Floats
    backward: Floats
    doubt: Floats


def motion_between(first: Image, second: Image) -> Motion:
    """Dense inverse search (Kroeger et al., ECCV 2016) both ways between two (H, W, 3) uint8 BGR frames."""
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8) for frame in (first, second)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(2)  # a third of the time of the preset's own, and as good on frames of these sizes
    rest = np.zeros((*grey[0].shape, 2), np.float32)  # where the search begins
    forward = np.asarray(search.calc(grey[0], grey[1], rest.copy()), np.float32)
    backward = np.asarray(search.calc(grey[1], grey[0], rest), np.float32)
    here, there = _warped(grey[0], grey[1], forward, backward, 0.5)
    apart = cv2.blur(cv2.absdiff(here, there).astype(np.float32), (5, 5))
    return Motion(forward, backward, np.clip((apart - _RIGHT) / (_WRONG - _RIGHT), 0, 1))


def frame_between(first: Floats, second: Floats, motion: Motion, fraction: float) -> Floats:
    """The frame at 0 <= fraction < 1 of the way, (H, W, 3) float32; a cross-fade where the motion is in doubt."""
    if fraction == 0:
        return first
    here, there = _warped(first, second, motion.forward, motion.backward, fraction)
    moved = cv2.addWeighted(here, 1 - fraction, there, fraction, 0)
    faded = cv2.addWeighted(first, 1 - fraction, second, fraction, 0)
    return np.asarray(moved + (faded - moved) * motion.doubt[..., None], np.float32)


def _warped(first: Frame, second: Frame, forward: Floats, backward: Floats, at: float) -> tuple[Frame, Frame]:
    """Both frames moved to one instant between them, by motion that is locally straight.

    Jiang et al., Super SloMo, CVPR 2018, equation 4.
    """
    to_first = backward * (at * at) - forward * (at * (1 - at))
    to_second = forward * ((1 - at) * (1 - at)) - backward * (at * (1 - at))
    return _fetched(first, to_first), _fetched(second, to_second)


def _fetched(image: Frame, flow: Floats) -> Frame:
    """Each pixel from where its (x, y) flow points to."""
    height, width = flow.shape[:2]
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    x, y = flow[..., 0] + columns, flow[..., 1] + rows[:, None]
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), image.dtype)
