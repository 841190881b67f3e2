"""How hands, vehicles and things move during an exposure: smooth six-degree-of-freedom paths as homographies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TREMOR = (1.0, 12.0)  # Hz: from swaying to the physiological tremor of a hand


class View(NamedTuple):
    """How a pinhole camera sees a plane: focal length and principal point (x, y) in pixels, slope of the plane."""

    focal: float
    principal: tuple[float, float]
    slope: tuple[float, float] = (0.0, 0.0)  # the plane's normal is (*slope, 1); 0, 0 faces the camera


def random_poses(rng: np.random.Generator, seconds: Floats) -> Floats:
    """(N, 6): rotations about x, y, z and shifts along them, at `seconds` (N,) around the middle, where all are 0.

    A constant velocity and a sum of sinusoids whose velocities are alike, so that short exposures see nearly straight
    paths and long ones curves and cusps. In arbitrary units: scale them with `poses_of_length`.
    """
    frequencies = 2 * np.pi * rng.uniform(*_TREMOR, (5, 1, 6))
    phases = rng.uniform(0, 2 * np.pi, (5, 1, 6))
    sway = np.sin(frequencies * seconds[:, None] + phases) - np.sin(phases)
    shake = (sway * rng.normal(size=(5, 1, 6)) / frequencies).sum(axis=0)
    velocity = rng.normal(size=6) * rng.choice([0.5, 2.0, 8.0])
    # Turning moves the picture most; which axes prevail differs from hand to hand and ride to ride.
    weights = rng.uniform(0, 1, 6) * (1, 1, 0.7, 0.5, 0.5, 0.7)
    poses: Floats = (shake + velocity * seconds[:, None]) * weights
    return poses


def homographies(poses: Floats, view: View) -> Floats:
    """(N, 3, 3): where a camera in `poses` (N, 6) sees the points of a plane that it saw in its middle pose.

    H = K (R + t nᵀ) K⁻¹ (Hartley & Zisserman, Multiple View Geometry, result 13.1), with rotation vectors in radians
    (R by Rodrigues' formula) and shifts in units of the plane's distance.
    """
    x, y, z = poses[:, :3].T
    zero = np.zeros_like(x)
    turn = np.array(((zero, -z, y), (z, zero, -x), (-y, x, zero))).transpose(2, 0, 1)
    half_turns = np.linalg.norm(poses[:, :3], axis=1)[:, None, None] / np.pi  # numpy's sinc(x) is sin(πx) / πx
    rotation = np.eye(3) + np.sinc(half_turns) * turn + np.sinc(half_turns / 2) ** 2 / 2 * turn @ turn
    camera = np.array(((view.focal, 0, view.principal[0]), (0, view.focal, view.principal[1]), (0, 0, 1)))
    motion = camera @ (rotation + poses[:, 3:, None] * (*view.slope, 1)) @ np.linalg.inv(camera)
    return np.asarray(motion / motion[:, 2:, 2:])


def poses_of_length(poses: Floats, view: View, points: Floats, length: float) -> Floats:
    """The poses (N, 6), scaled so that the points (P, 2) travel about `length` pixels.

    About, because lengths are proportional to poses for small motions only: a few percent are missed where the focal
    length is several times `length`, and any multiple of it where things turn around or come to the lens.
    """
    small = poses * (1e-3 / max(np.abs(poses).max(), 1e-12))
    return small * (length / max(path_length(homographies(small, view), points), 1e-12))


def moved(motion: Floats, points: Floats) -> Floats:
    """(N, P, 2): points (P, 2) as (x, y) after each homography of (N, 3, 3)."""
    homogeneous = np.concatenate((points, np.ones((len(points), 1))), axis=1) @ motion.transpose(0, 2, 1)
    return np.asarray(homogeneous[:, :, :2] / homogeneous[:, :, 2:])


def path_length(motion: Floats, points: Floats) -> float:
    """Pixels that the points (P, 2) travel along a motion (N, 3, 3), on average."""
    return float(np.linalg.norm(np.diff(moved(motion, points), axis=0), axis=2).sum(axis=0).mean())


def corners(top: float, left: float, bottom: float, right: float) -> Floats:
    """(5, 2): corners and centre of a box as (x, y)."""
    middle = ((left + right) / 2, (top + bottom) / 2)
    return np.array(((left, top), (right, top), (left, bottom), (right, bottom), middle))
