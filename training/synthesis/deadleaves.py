"""Dead-leaves pictures: something sharp to train on where a user has given no photographs."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def dead_leaves(rng: np.random.Generator, size: tuple[int, int] = (512, 512), leaves: int = 1500) -> Image:
    """Overlapping discs and polygons with sizes of density r⁻³: their edges have the statistics of photographs.

    Source: Lee, Mumford & Huang, IJCV 2001. Returns (height, width, 3) uint8 BGR.
    """
    canvas = np.full((*size, 3), 128, np.uint8)
    for _ in range(leaves):
        paint_leaf(rng, canvas, tuple(int(value) for value in rng.integers(0, 256, 3)))
    grain = cv2.GaussianBlur(rng.normal(0, 24, (*size, 1)), (0, 0), 0.7)[:, :, None]
    picture: Image = np.clip(canvas + grain, 0, 255).astype(np.uint8)
    return picture


def paint_leaf(rng: np.random.Generator, canvas: Image, colour: tuple[int, ...]) -> None:
    """Paint one disc or polygon on a canvas (H, W) or (H, W, 3) uint8, in place."""
    height, width = canvas.shape[:2]
    low, high = 3.0, max(min(height, width) / 3, 4.0)
    radius = 1 / np.sqrt(rng.uniform(1 / high**2, 1 / low**2))
    centre = rng.uniform((0, 0), (width, height))
    turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    corners = centre + radius * np.stack((np.cos(turns), np.sin(turns)), axis=1)
    if rng.random() < 0.5:
        cv2.circle(canvas, tuple(centre.astype(int).tolist()), int(radius), colour, -1, cv2.LINE_AA)
    else:
        cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, cv2.LINE_AA)
