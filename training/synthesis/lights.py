"""Light beyond what a camera can record: lamps and highlights that clip after the averaging and so leave streaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.synthesis.scene import STOPS

Image = NDArray[np.uint8]
_COLOURS = ((255, 244, 229), (255, 214, 170), (255, 180, 110), (220, 235, 255), (255, 70, 50), (90, 255, 120))


def brightened(rng: np.random.Generator, photo: Image) -> Image:
    """(H, W, 4): a photograph (H, W, 3) uint8 RGB with lamps, and how far each pixel is brightened, in STOPS."""
    # What is white in a photograph was clipped: nobody knows how bright it was.
    stops = np.where(photo.min(axis=2) > 240, int(rng.uniform(0, 2.5) / STOPS), 0).astype(np.uint8)
    picture = np.dstack((photo, stops))
    size = rng.uniform(0.5, 1.5)  # the lamps of a scene are about as far away
    for _ in range(int(np.exp(rng.uniform(0, np.log(24))))):
        y, x = rng.uniform((0, 0), stops.shape)
        _paint_lamp(picture, (y, x), size * rng.uniform(0.7, 1.5), rng.uniform(3, 6.5), rng.permutation(_COLOURS)[0])
    return picture


def _paint_lamp(
    picture: Image, centre: tuple[float, float], sigma: float, brightness: float, colour: NDArray[np.int64]
) -> None:
    """Add a Gaussian spot of 2^brightness times white, and a faint glow around it, in place."""
    reach = int(10 * sigma)
    top, left = (max(int(place) - reach, 0) for place in centre)
    patch = picture[top : int(centre[0]) + reach, left : int(centre[1]) + reach]
    rows, columns = np.ogrid[: patch.shape[0], : patch.shape[1]]
    away = ((rows - centre[0] + top) ** 2 + (columns - centre[1] + left) ** 2) / (2 * sigma**2)
    added = 2**brightness * (np.exp(-away) + 0.004 * np.exp(-away / 9))
    share = (added / (1 + added))[:, :, None]
    patch[:, :, :3] = np.rint(patch[:, :, :3] * (1 - share) + colour * share)
    patch[:, :, 3] = np.maximum(patch[:, :, 3], np.log2(1 + added) / STOPS)
