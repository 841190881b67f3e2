"""PSNR and SSIM of 8-bit frames, equal to scikit-image's to 1e-6."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

PSNR_CAP = 100.0  # dB
SSIM_WINDOW, _SIGMA = 11, 1.5  # Wang et al. 2004: Gaussian window of sigma 1.5, cut off at 3.5 sigma
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(image: Image, reference: Image) -> float:
    """Peak signal-to-noise ratio in dB, peak 255, over all pixels and channels; inf when they are equal.

    image, reference: (H, W, 3) uint8. Raises ValueError when their shapes differ.
    """
    _same_shape(image, reference)
    error = np.mean((image.astype(np.float64) - reference) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def capped_psnr(image: Image, reference: Image) -> float:
    """`psnr`, but 100 dB at most: one frame that is matched exactly must not make a mean infinite."""
    return min(psnr(image, reference), PSNR_CAP)


def ssim(image: Image, reference: Image) -> float:
    """Structural similarity, mean over the channels; source: Wang et al., IEEE TIP 2004, population covariance.

    image, reference: (H, W, 3) uint8, at least 11 pixels a side. Raises ValueError otherwise.
    """
    _same_shape(image, reference)
    if min(image.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW} pixels a side; found {image.shape[0]}x{image.shape[1]}")
    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    variance_x, variance_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    )
    border = SSIM_WINDOW // 2
    return float(similarity[border:-border, border:-border].mean())


def _window(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(
        cv2.GaussianBlur(values, (SSIM_WINDOW, SSIM_WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT), np.float64
    )


def _same_shape(image: Image, reference: Image) -> None:
    if image.shape != reference.shape:
        raise ValueError(f"the frame is {image.shape} and its reference {reference.shape}; expected the same shape")
