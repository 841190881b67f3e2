"""Camera and object motion during one exposure: smooth random paths of position and rotation."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Rigid motion sampled at instants of the exposure; the middle instant is the identity.

    shifts: (N, 2) float64, (y, x) pixels. angles: (N,) float64 radians. N is odd.
    """

    shifts: NDArray[np.float64]
    angles: NDArray[np.float64]

    def matrix(self, instant: int, centre: tuple[float, float]) -> NDArray[np.float64]:
        """2x3 affine matrix in OpenCV's (x, y) order that moves the scene about `centre` = (y, x)."""
        cosine, sine = np.cos(self.angles[instant]), np.sin(self.angles[instant])
        dy, dx = self.shifts[instant]
        cy, cx = centre
        return np.array(
            [
                [cosine, -sine, cx - cosine * cx + sine * cy + dx],
                [sine, cosine, cy - sine * cx - cosine * cy + dy],
            ]
        )


def random_trajectory(rng: np.random.Generator, length: float, max_angle: float, max_instants: int = 25) -> Trajectory:
    """A path of about `length` pixels: a constant velocity that turns and shakes, as a hand or a vehicle moves.

    The number of instants follows the length, so that neighbouring samples lie about a pixel apart.
    """
    instants = int(np.clip(length * 1.2, 5, max_instants)) // 2 * 2 + 1
    heading = rng.uniform(0, 2 * np.pi) + rng.normal(0, rng.choice([0.05, 0.6])) * np.linspace(-1, 1, instants)
    shake = np.cumsum(rng.normal(size=(instants, 2)), axis=0) / np.sqrt(instants)
    path = np.cumsum(np.stack((np.sin(heading), np.cos(heading)), axis=1), axis=0) / instants
    path = path + rng.choice([0.0, 0.15, 0.5]) * shake
    path = path - path[instants // 2]
    travelled = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    angles = np.linspace(-1, 1, instants) * rng.uniform(-max_angle, max_angle) / 2
    return Trajectory(path * (length / max(travelled, 1e-9)), angles)
