"""What is measured of one frame: a row for each method."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

INPUT = "input"  # the method that does nothing


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one frame."""

    sequence: str  # "" where the frames are no video
    frame: str
    method: str
    values: dict[str, float]  # by metric: psnr (dB), ssim, lpips, flicker and change (grey levels), ms


@dataclasses.dataclass(frozen=True)
class Measured:
    """One frame: its rows, and the pictures they are about."""

    rows: list[Row]
    pictures: dict[str, NDArray[np.uint8]]  # by method, and "sharp" where there is one; (H, W, 3) BGR
