"""How steady a video is from frame to frame, with sharp frames to compare with and without."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Difference = NDArray[np.float32]  # (H, W, 3) of two frames, grey levels
Flow = NDArray[np.float32]  # (H, W, 2), (x, y) in pixels

MOTION_WINDOW = 16  # pixels a side: below this, DIS optical flow fails on frames that are far wider than high
_CUT = 0.25  # less of a frame than this is known by chance where two frames show different scenes


def difference(frame: Image, reference: Image) -> Difference:
    """frame - reference, grey levels; both (H, W, 3) uint8."""
    return np.asarray(cv2.subtract(frame, reference, dtype=cv2.CV_32F), np.float32)


def rms(values: Iterable[float] | Difference) -> float:
    """Root of the mean square."""
    squares = np.square(np.asarray(values, np.float64))
    return float(np.sqrt(squares.mean()))


class ErrorFlicker:
    """Flicker of one method against sharp frames, grey levels: RMS of (out_t - out_t-1) - (sharp_t - sharp_t-1).

    What the scene itself changes cancels, so no motion has to be estimated: an error that stays is not flicker, one
    that comes and goes is. It is the comparison of temporal changes of TecoGAN's tLP (Chu et al., ACM TOG 2020) in grey
    levels instead of LPIPS. An error that moves with an object counts, too: compare with the blurred input's flicker,
    which has the same motion.
    """

    def __init__(self) -> None:
        self._sequence = ""
        self._before: Difference | None = None

    def step(self, sequence: str, output: Image, sharp: Image) -> dict[str, float]:
        """{"flicker": …} where this frame follows one of the same sequence and size, else {}."""
        if not sequence:
            return {}
        before = self._before if sequence == self._sequence else None
        self._sequence, self._before = sequence, difference(output, sharp)
        if before is None or before.shape != self._before.shape:
            return {}
        return {"flicker": rms(self._before - before)}


class ChangeFlicker:
    """Flicker without sharp frames, grey levels: RMS of change_t - warped(change_t-1), where change = out - in.

    What a model does should move with the scene: the warping error of Lai et al. (ECCV 2018), taken of the change
    instead of the output, because a sharper video has a larger warping error even if it is perfectly steady. Over the
    RMS of the change, 0 is a change that follows the scene, √2 one that is drawn anew for every frame. Blur that comes
    and goes asks for a change that does, too: compare models on one video, not videos.
    """

    def __init__(self) -> None:
        self._frame: Image | None = None
        self._before: dict[str, Difference] = {}

    def step(self, frame: Image, changes: dict[str, Difference]) -> dict[str, dict[str, float]]:
        """{"flicker": …} of each method; {} for the first frame, and where the size changes.

        {}, too, after a cut: where motion is known for less than a quarter of the frame.
        """
        frame_before, changes_before = self._frame, self._before
        self._frame, self._before = frame, changes
        if frame_before is None or frame_before.shape != frame.shape:
            return {}
        flow, known = motion(frame, frame_before)
        if known.mean() < _CUT:
            return {}
        return {
            name: {"flicker": rms((change - _sampled(changes_before[name], flow))[known])}
            for name, change in changes.items()
        }


def motion(frame: Image, frame_before: Image) -> tuple[Flow, NDArray[np.bool_]]:
    """Where each pixel was in the frame before, and for which pixels that is known.

    DIS optical flow (Kroeger et al., ECCV 2016); known where the flow back leads to the pixel again (Sundaram et al.,
    ECCV 2010) and the place is inside the frame. frame, frame_before: (H, W, 3) uint8, at least 16 pixels a side.
    """
    now, before = (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (frame, frame_before))
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    still = np.zeros((*now.shape, 2), np.float32)
    backward, forward = (
        np.asarray(estimator.calc(*both, still.copy()), np.float32) for both in ((now, before), (before, now))
    )
    returned = _sampled(forward, backward)
    lengths = np.sum(backward**2 + returned**2, axis=2)
    consistent = np.sum((backward + returned) ** 2, axis=2) < 0.01 * lengths + 0.5
    at = _grid(backward) + backward
    height, width = now.shape
    inside = (at >= 0).all(axis=2) & (at[..., 0] <= width - 1) & (at[..., 1] <= height - 1)
    return backward, consistent & inside


def _sampled(values: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """values at (x, y) + flow, bilinear."""
    at = _grid(flow) + flow
    return np.asarray(
        cv2.remap(values, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _grid(flow: Flow) -> Flow:
    rows, columns = np.indices(flow.shape[:2], np.float32)
    return np.stack([columns, rows], axis=2)
