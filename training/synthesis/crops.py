"""Random crops of photographs, at a random scale, turned and mirrored."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def random_crop(
    photos: Sequence[Image], rng: np.random.Generator, size: tuple[int, int], scale: tuple[float, float]
) -> Image:
    """(height, width, 3) uint8 RGB of a random photograph (BGR), reduced by `scale`; enlarged where it is too small."""
    photo = photos[int(rng.integers(len(photos)))]
    quarters = int(rng.integers(4))
    want = size[::-1] if quarters % 2 else size
    fit = max(wanted / length for wanted, length in zip(want, photo.shape, strict=False))
    factor = max(fit, rng.uniform(*scale))
    taken = [min(int(np.ceil(wanted / factor)), length) for wanted, length in zip(want, photo.shape, strict=False)]
    crop = _textured(photo, (taken[0], taken[1]), rng)
    resized = cv2.resize(crop, want[::-1], interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    turned = np.rot90(resized, quarters)
    return np.ascontiguousarray((turned[:, ::-1] if rng.random() < 0.5 else turned)[:, :, ::-1])


def _textured(photo: Image, size: tuple[int, int], rng: np.random.Generator, tries: int = 4) -> Image:
    """A random crop, drawn again while it is nearly flat: a clear sky teaches nothing about blur."""
    for _ in range(tries):
        top, left = (int(rng.integers(limit - length + 1)) for length, limit in zip(size, photo.shape, strict=False))
        crop = photo[top : top + size[0], left : left + size[1]]
        if cv2.Laplacian(crop[::2, ::2, 1], cv2.CV_32F).std() > 8:
            break
    return crop
