"""Structural similarity of two frames, in numpy alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from runtime.frame import Image

SIGMA, RADIUS = 1.5, 5  # Wang et al., IEEE TIP 2004: a Gaussian window of 11 x 11 pixels
BAND = 32  # rows measured at a time: what they need stays in the processor's cache
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Values = NDArray[np.float32]


def ssim(image: Image, reference: Image) -> float:
    """Structural similarity, mean over the channels; source: Wang et al. 2004, population covariance, whole windows.

    image, reference: (H, W, 3) uint8. nan when a side has fewer than 11 pixels: no window fits in there.
    Raises ValueError for another type or two shapes.
    """
    if image.shape != reference.shape or not image.dtype == reference.dtype == np.uint8:
        raise ValueError(
            f"expected two uint8 pictures of one shape, not {image.dtype} {image.shape} and "
            f"{reference.dtype} {reference.shape}"
        )
    height, width = (side - 2 * RADIUS for side in image.shape[:2])  # places of the window
    if min(height, width) < 1:
        return math.nan
    bands = (slice(top, min(top + BAND, height) + 2 * RADIUS) for top in range(0, height, BAND))
    total = math.fsum(_similarity(image[band], reference[band]).sum(dtype=np.float64) for band in bands)
    return total / float(height * width * image.shape[2])


def _similarity(image: Image, reference: Image) -> Values:
    """(H, W, 3) uint8, twice → (H - 10, W - 10, 3) float32.

    By sum and difference s, d of the two: 2xy = (s² - d²) / 2 and x² + y² = (s² + d²) / 2 hold for means as for
    variances. So four filters do instead of five, and where the pictures are nearly equal nothing is cancelled.
    """
    x, y = image.astype(np.float32), reference.astype(np.float32)
    mean_s, variance_s = _mean_and_variance(x + y, 255.0)
    mean_d, variance_d = _mean_and_variance(x - y, 0.0)
    squared_s, squared_d = mean_s**2, mean_d**2
    luminance = (squared_s - squared_d + 2 * _C1) / (squared_s + squared_d + 2 * _C1)
    structure = (variance_s - variance_d + 2 * _C2) / (variance_s + variance_d + 2 * _C2)
    return luminance * structure


def _mean_and_variance(values: Values, middle: float) -> tuple[Values, Values]:
    """In each window. Taking `middle` off first keeps the squares small enough for float32."""
    centred = values - np.float32(middle)
    mean = _blurred(centred)
    variance = _blurred(centred * centred) - mean * mean
    return mean + np.float32(middle), variance


def _blurred(values: Values) -> Values:
    """(H, W, C) → (H - 10, W - 10, C): the Gaussian window, at the places where it is whole."""
    return _along(_along(values, 0), 1)


def _along(values: Values, axis: int) -> Values:
    places = values.shape[axis] - 2 * RADIUS

    def shifted(offset: int) -> Values:
        return values[offset : offset + places] if axis == 0 else values[:, offset : offset + places]

    total: Values = _WEIGHTS[RADIUS] * shifted(RADIUS)
    for offset in range(RADIUS):  # the window is symmetric: two pixels share a weight
        total += _WEIGHTS[offset] * (shifted(offset) + shifted(2 * RADIUS - offset))
    return total


def _gaussian() -> Values:
    offsets = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


_WEIGHTS = _gaussian()
