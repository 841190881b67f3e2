"""Pairs made from a user's own sharp videos: the frames around a sharp one, averaged as a longer exposure would."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.pictures import file_size, files
from training.data.video_exposure import Exposure
from training.data.video_frames import SUFFIXES, FrameStore
from training.data.video_index import MOVING_LEVELS, Clip, read_clip

Image = NDArray[np.uint8]
Target = tuple[Clip, int]  # a clip and the number of a sharp frame in it
_REACH = 4  # frames on each side of a target that an exposure may take in
_MARGIN = 24  # pixels around a crop: its blur comes from there, too
_TRIES = 6


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    """How exposures are drawn. Ranges (low, high) are drawn uniformly."""

    blur: tuple[float, float] = (2.0, 32.0)  # pixels that the fastest parts move; slow scenes reach less
    scale: tuple[float, float] = (0.5, 1.0)  # frames are reduced by this first: it hides what compression did to them
    noise: tuple[float, float] = (0.0, 3.0)  # sigma in grey levels, on the input only: averaging takes the video's away
    anywhere_share: float = 0.05  # crops wherever, moving or not: sharp frames must be left alone, too
    # GoPro's `blur` frames, on which everyone is measured, were averaged as displayed and not as light.
    display_space_share: float = 0.5


class VideoPairs:
    """Random crops of random targets, blurred by what moves around them."""

    def __init__(self, targets: list[Target], config: VideoConfig = VideoConfig()) -> None:
        self.targets, self.config = targets, config
        self.names = [f"{clip.path.name}/{number}" for clip, number in targets]
        self._store = FrameStore()

    @property
    def marks(self) -> list[str]:
        """What tells these targets from others of the same names. Raises Failure (SOURCE) where a video is gone."""
        sizes = {path: file_size(path) for path in {clip.path for clip, _ in self.targets}}
        return [f"{name} {sizes[clip.path]}" for name, (clip, _) in zip(self.names, self.targets, strict=True)]

    def sample(self, rng: np.random.Generator, patch: int) -> tuple[Image, Image]:
        """A new (blurred, sharp) pair, (patch, patch, 3) uint8 BGR. The sharp frame is the mid-exposure instant.

        Raises Failure (SOURCE) when the video can no longer be read.
        """
        gamma = 1.0 if rng.random() < self.config.display_space_share else 2.2
        anywhere = rng.random() < self.config.anywhere_share
        for _ in range(1 if anywhere else _TRIES):
            exposure = self._exposure(rng, patch, anywhere)
            speed = exposure.speed()
            if 2 * _REACH * speed >= self.config.blur[0]:
                break
        reach = exposure.reach(min(rng.uniform(*self.config.blur) / (2 * max(speed, 1e-3)), _REACH))
        blurred = exposure.averaged(reach, 2 * math.ceil(speed * reach) + 1, gamma)  # instants are a pixel apart
        noisy = blurred + rng.normal(0, rng.uniform(*self.config.noise), blurred.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), exposure.sharp.copy()

    def _exposure(self, rng: np.random.Generator, patch: int, anywhere: bool) -> Exposure:
        """A crop with a margin, reduced, flipped and turned, of the frames around a target, as if evenly spaced."""
        clip, number = self.targets[rng.integers(len(self.targets))]
        near = np.arange(max(number - _REACH, 0), min(number + _REACH + 1, len(clip.times)))
        near = near[clip.scenes[near] == clip.scenes[number]]
        middle = number - int(near[0])
        frames = self._store.frames(clip.path, clip.times[near], clip.keys)
        scale = max(rng.uniform(*self.config.scale), patch / min(clip.size))
        spare = int(min(clip.size) * scale) - patch  # -1 where the whole frame is the crop and floats fall short
        margin = min(_MARGIN, max(spare, 0) // 2)
        side = patch + 2 * margin
        taken = min(math.ceil(side / scale), *clip.size)
        likely = np.zeros((1, 1)) if anywhere else _movement(frames[middle], frames[middle + 1])
        top, left = _corner(rng, taken, clip.size, likely)
        turns, flip = int(rng.integers(4)), rng.random() < 0.5
        crops = (
            cv2.resize(frame[top : top + taken, left : left + taken], (side, side), interpolation=cv2.INTER_AREA)
            for frame in frames
        )
        turned = (np.rot90(crop[:, ::-1] if flip else crop, turns) for crop in crops)
        return Exposure([np.ascontiguousarray(crop, np.uint8) for crop in turned], middle, margin)


def _movement(frame: Image, following: Image) -> NDArray[np.float64]:
    """Grey levels by which frames differ, 0 where that may be noise; an eighth of the size."""
    change = cv2.absdiff(frame, following).max(axis=2)
    reduced = np.asarray(cv2.resize(change, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA), np.float64)
    return np.where(reduced >= MOVING_LEVELS, reduced, 0.0)


def _corner(
    rng: np.random.Generator, side: int, size: tuple[int, int], movement: NDArray[np.float64]
) -> tuple[int, int]:
    """(top, left) of a square in a frame of `size`: about something that moves, or anywhere when nothing does."""
    weights = movement.ravel() ** 2
    if not weights.any():
        return int(rng.integers(size[0] - side + 1)), int(rng.integers(size[1] - side + 1))
    row, column = divmod(int(rng.choice(weights.size, p=weights / weights.sum())), movement.shape[1])
    top, left = (8 * place - int(rng.integers(side // 4, side - side // 4)) for place in (row, column))
    return min(max(top, 0), size[0] - side), min(max(left, 0), size[1] - side)


def read_clips(path: Path, patch: int) -> list[Clip]:
    """The clips of a video or of a folder of videos; tells of each what was left out, and skips bad ones of a folder.

    Raises Failure (SOURCE) when none can be used.
    """
    if path.is_file():
        return [_read(path, patch)]
    paths = files(path, SUFFIXES)
    clips = []
    for video in paths:
        try:
            clips.append(_read(video, patch))
        except Failure as failure:
            print(f"skipped: {failure}", file=sys.stderr)
    if not clips:
        raise Failure(f"none of the {len(paths)} videos in {path} can be used", ExitCode.SOURCE)
    return clips


def targets_of(clip: Clip) -> list[Target]:
    """All targets of a clip."""
    return [(clip, int(number)) for number in clip.targets]


def split_targets(clips: list[Clip]) -> tuple[list[Target], list[Target]]:
    """(to train on, to validate on): the last twentieth of each clip, and nothing that exposures of both could see."""
    training: list[Target] = []
    validation: list[Target] = []
    for clip in clips:
        first = clip.targets[-max(1, len(clip.targets) // 20)]
        validation += [(clip, number) for clip, number in targets_of(clip) if number >= first]
        training += [(clip, number) for clip, number in targets_of(clip) if number < first - 2 * _REACH]
    if not training:
        print("the video is short: it is trained and validated on, and the figures flatter", file=sys.stderr)
    return training or validation, validation


def _read(path: Path, patch: int) -> Clip:
    clip = read_clip(path)
    if min(clip.size) < patch:
        raise Failure(
            f"{path} is {clip.size[0]}x{clip.size[1]}; expected at least {patch}x{patch} (height x width): "
            "use a larger video or a smaller --patch",
            ExitCode.SOURCE,
        )
    print(clip.summary, file=sys.stderr)
    return clip
