"""A video read through once: its frames, its cuts, and which frames are sharp enough to learn from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.video_frames import Times, decoded, opened

Grey = NDArray[np.uint8]
# A cut: frames differ by so many grey levels, reduced to an eighth, and so many times more than their neighbours do.
# The ratio keeps fast motion together (Castellano's PySceneDetect, "adaptive"); a false cut costs next to nothing.
_CUT_LEVELS, _CUT_RATIO = 12.0, 2.5
MOVING_LEVELS = 5.0  # grey levels, reduced to an eighth: more than noise and compression change
# A blurred frame: less sharp by this than the median of its second, or by that than the median of its clip.
_SOFT_NEAR, _SOFT_CLIP, _NEAR = 0.6, 0.25, 15


@dataclasses.dataclass(frozen=True)
class Clip:
    """What is known of a video of `size` (height, width).

    times: (N,) presentation times of its frames, in the stream's own unit, repeated ones left out. scenes: (N,) number
    of each frame's scene. targets: (M,) numbers of frames to learn from: sharp, inside a scene, with something that
    moves. keys: (K,) times of key frames. summary: for people.
    """

    path: Path
    size: tuple[int, int]
    times: Times
    scenes: NDArray[np.int64]
    targets: NDArray[np.int64]
    keys: Times
    summary: str


def read_clip(path: Path) -> Clip:
    """Read a video through. Raises Failure (SOURCE) when it is none, or when there is nothing in it to learn from."""
    seen = _Seen()
    with opened(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        try:
            for shown in decoded(container):
                seen.add(shown)
        except av.error.FFmpegError:  # the rest of the file cannot be read
            seen.damaged += 1
    scenes = np.cumsum(_begins(np.array(seen.change)), dtype=np.int64)
    inner = np.zeros(len(scenes), bool)
    inner[1:-1] = (scenes[:-2] == scenes[1:-1]) & (scenes[1:-1] == scenes[2:])
    sharp = _sharp(np.array(seen.sharpness), scenes)
    moving = np.array([*seen.moving, False])
    lively = moving[:-1] & moving[1:]  # since the frame before, and until the one after
    targets = np.flatnonzero(inner & sharp & lively)
    summary = (
        f"{path.name}: {len(targets)} of {len(scenes)} frames to learn from; left out {np.sum(~inner)} at the ends of "
        f"{len(set(scenes.tolist()))} scenes, {np.sum(inner & ~sharp)} blurred, {np.sum(inner & sharp & ~lively)} "
        f"still, {seen.repeated} repeated, {seen.damaged} damaged"
    )
    if not len(targets):
        raise Failure(
            f"{summary}. Expected a sharp video in which something moves, with at least 3 frames between cuts",
            ExitCode.SOURCE,
        )
    times, keys = (np.array(values, np.int64) for values in (seen.times, seen.keys))
    return Clip(path, seen.size, times, scenes, targets, keys, summary)


class _Seen:
    """What is gathered of the frames as they come."""

    def __init__(self) -> None:
        self.size = (0, 0)
        self.times: list[int] = []
        self.keys: list[int] = []
        self.sharpness: list[float] = []
        self.change: list[float] = []  # mean grey levels to the frame before; infinite where there is none
        self.moving: list[bool] = []  # whether anything moved since the frame before
        self.repeated = self.damaged = 0
        self._before: tuple[Grey, Grey] | None = None  # whole and reduced

    def add(self, shown: tuple[int, av.VideoFrame] | None) -> None:
        """The next frame and its time; None for a damaged one, and what comes in the wrong order or size counts so."""
        if shown is None or (self.times and not self._follows(*shown)):
            self.damaged += 1
            self._before = None
            return
        time, frame = shown
        self.size = size = frame.height, frame.width
        if frame.key_frame:
            self.keys.append(time)
        grey = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
        reduced = np.asarray(
            cv2.resize(grey, (-(-size[1] // 8), -(-size[0] // 8)), interpolation=cv2.INTER_AREA), np.uint8
        )
        before, self._before = self._before, (grey, reduced)
        if before and np.array_equal(before[0], grey):
            self.repeated += 1
            return
        self.times.append(time)
        self.sharpness.append(_sharpness(grey))
        moved = cv2.absdiff(before[1], reduced) if before else None
        self.change.append(np.inf if moved is None else float(np.mean(moved)))
        self.moving.append(moved is not None and bool(np.percentile(moved, 99.5) >= MOVING_LEVELS))

    def _follows(self, time: int, frame: av.VideoFrame) -> bool:
        return time > self.times[-1] and (frame.height, frame.width) == self.size


def _sharpness(grey: Grey) -> float:
    """Variance of the Laplacian, for the contrast that is there (Pech-Pacheco et al., ICPR 2000, normalised)."""
    detail, contrast = (float(cv2.meanStdDev(image)[1].item()) for image in (cv2.Laplacian(grey, cv2.CV_16S), grey))
    return (detail / max(contrast, 1.0)) ** 2


def _begins(change: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which frames begin a scene."""
    padded = np.pad(np.where(np.isfinite(change), change, 0.0), 2)
    near = (padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]) / 4
    begins: NDArray[np.bool_] = np.isinf(change) | ((change > _CUT_LEVELS) & (change > _CUT_RATIO * near))
    return begins


def _sharp(sharpness: NDArray[np.float64], scenes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which frames are not blurred themselves, beside their neighbours in the scene and beside the whole clip."""
    near = np.empty_like(sharpness)
    for scene in np.unique(scenes):
        padded = np.pad(
            sharpness[scenes == scene], _NEAR, mode="reflect" if np.sum(scenes == scene) > _NEAR else "edge"
        )
        near[scenes == scene] = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEAR + 1), axis=1)
    floor = _SOFT_CLIP * np.median(sharpness) if len(sharpness) else 0.0
    sharp: NDArray[np.bool_] = (sharpness >= _SOFT_NEAR * near) & (sharpness >= floor)
    return sharp
