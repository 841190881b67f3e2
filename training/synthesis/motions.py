"""How the camera of a scene and the objects before it move."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.synthesis.config import SynthConfig
from training.synthesis.scene import KNOTS
from training.synthesis.trajectory import (
    Floats,
    View,
    corners,
    homographies,
    moved,
    path_length,
    poses_of_length,
    random_poses,
)

STILL = np.tile(np.eye(3), (KNOTS, 1, 1))  # the motion of what stands still
_WHOLE = (720, 1280)  # the frame is a part of a picture of this size: corners turn, grow and shift differently


class Camera(NamedTuple):
    """Where the camera looks and how it moves while any row is exposed."""

    poses: Floats  # (KNOTS, 6)
    view: View
    shutter: float  # seconds
    exposures: float  # that the KNOTS span: 1 and what a rolling shutter adds

    @property
    def times(self) -> Floats:
        """(KNOTS,) seconds around the middle of the exposure."""
        return np.linspace(-0.5, 0.5, KNOTS) * (self.shutter * self.exposures)


def random_camera(rng: np.random.Generator, config: SynthConfig, standing: bool) -> Camera:
    """A camera that shakes, or stands."""
    shutter = float(np.exp(rng.uniform(*np.log(config.shutter))))
    # From the first row to the last a sensor takes 10 to 33 ms.
    readout = min(rng.uniform(0.010, 0.033) / shutter, 1.0) if rng.random() < config.rolling_share else 0.0
    camera = Camera(np.zeros((KNOTS, 6)), _view(rng, config.size), shutter, 1 + readout)
    if standing:
        return camera
    frame = corners(0, 0, config.size[0] - 1, config.size[1] - 1)
    length = skewed(rng, config.camera_blur) * camera.exposures
    poses = poses_of_length(random_poses(rng, camera.times), camera.view, frame, length)
    return camera._replace(poses=_kept_within(config.margin, poses, camera.view, frame))


def _kept_within(reach: int, poses: Floats, view: View, points: Floats) -> Floats:
    """The poses (N, 6), smaller where one of the points (P, 2) would get further than `reach` pixels from its place.

    The photograph ends there: mirrored content would move the wrong way. All rows together can see twice the path of
    one exposure, and paths bend.
    """
    farthest = np.abs(moved(homographies(poses, view), points) - points).max()
    return poses if farthest <= reach else poses * (0.9 * reach / farthest)  # 0.9: they are nearly proportional


def random_object_motion(rng: np.random.Generator, config: SynthConfig, camera: Camera, box: Floats) -> Floats:
    """(KNOTS, 3, 3) of an object at `box`, see `corners`.

    It moves by itself, or stands nearer to the camera than the photograph does, or the camera follows it.
    """
    kind = rng.random()
    if kind < 0.15:
        return STILL
    nearness = np.exp(rng.uniform(0, 1.4))
    seen = homographies(camera.poses * (1, 1, 1, nearness, nearness, nearness), camera.view._replace(slope=(0.0, 0.0)))
    motion = seen if kind < 0.35 else _own_motion(rng, config, camera, box) @ seen
    too_long = max(path_length(motion, box) / (config.longest * camera.exposures), 1.0)
    return np.asarray(np.eye(3) + (motion - np.eye(3)) / too_long)


def skewed(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """Short paths are likelier than long ones; the mean lies at a third of the range."""
    return float(limits[0] + (limits[1] - limits[0]) * rng.beta(1.2, 2.3))


def _own_motion(rng: np.random.Generator, config: SynthConfig, camera: Camera, box: Floats) -> Floats:
    """As a camera would see it that is about as far from the object's middle as the object is large.

    Further where it moves far: small things would whirl around or come to the lens, on paths of any length.
    """
    length = skewed(rng, config.object_blur) * camera.exposures
    around = View(2 * max(float(np.ptp(box, axis=0).max()), 3 * length), (box[-1, 0], box[-1, 1]))
    return homographies(poses_of_length(random_poses(rng, camera.times), around, box, length), around)


def _view(rng: np.random.Generator, size: tuple[int, int]) -> View:
    """The frame lies anywhere in the whole picture; what the photograph shows is a plane that leans."""
    height, width = size
    whole = max(_WHOLE[0], height), max(_WHOLE[1], width)
    middle = rng.uniform((2 * height - whole[0], 2 * width - whole[1]), whole) / 2
    slope = rng.normal(0, 0.4, 2)
    return View(rng.uniform(0.6, 1.4) * whole[1], (middle[1], middle[0]), (slope[0], slope[1]))
