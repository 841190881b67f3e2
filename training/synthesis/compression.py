"""What JPEG and H.264 do to a frame: 8x8 cosine transforms with quantised coefficients, chroma at half the size."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# ITU-T T.81 (JPEG), tables K.1 (luma) and K.2 (chroma).
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# ITU-T T.871 (JFIF): full-range BT.601.
_TO_YCBCR = torch.tensor(
    ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)),
)
_COSINES = torch.tensor(
    [[math.cos(math.pi * row * (2 * column + 1) / 16) / 2 for column in range(8)] for row in range(8)]
) * torch.tensor([math.sqrt(0.5), *(1.0,) * 7]).reshape(8, 1)


def jpeg_steps(quality: int) -> NDArray[np.float32]:
    """(2, 8, 8) float32 steps of luma and chroma in grey levels, for a quality of 1 to 100 as libjpeg scales it."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps: NDArray[np.float32] = np.clip((np.array((_LUMA, _CHROMA)) * scale + 50) // 100, 1, 255).astype(np.float32)
    return steps


def h264_steps(parameter: float) -> NDArray[np.float32]:
    """(2, 8, 8) float32: H.264's flat step 2^((QP - 4) / 6) of a quantisation parameter of 0 to 51."""
    return np.full((2, 8, 8), 2 ** ((parameter - 4) / 6), np.float32)


def compress(image: Tensor, steps: Tensor) -> Tensor:
    """The frame after coding and decoding.

    image: (B, 3, H, W) float32 RGB in [0, 1]. steps: (B, 2, 8, 8), positive. Returns the image's shape and range.
    """
    height, width = image.shape[2:]
    padded = F.pad(image * 255 - 128, (0, -width % 16, 0, -height % 16), mode="replicate")
    matrix = _TO_YCBCR.to(image.device)
    colours = torch.einsum("rc,bchw->brhw", matrix, padded)
    luma = _quantised(colours[:, :1], steps[:, :1])
    chroma = _quantised(F.avg_pool2d(colours[:, 1:], 2), steps[:, 1:])
    decoded = torch.cat((luma, F.interpolate(chroma, scale_factor=2, mode="bilinear")), dim=1)
    shown = torch.einsum("rc,bchw->brhw", torch.linalg.inv(matrix), decoded)
    return ((shown[:, :, :height, :width] + 128) / 255).clamp(0, 1)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """planes: (B, C, H, W) with sides that are multiples of 8; steps: (B, 1, 8, 8)."""
    batch, channels, height, width = planes.shape
    cosines = _COSINES.to(planes.device)
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)  # (B, C, H/8, W/8, 8, 8)
    steps = steps.reshape(batch, 1, 1, 1, 8, 8)
    coefficients = torch.round(cosines @ blocks @ cosines.T / steps) * steps
    return (cosines.T @ coefficients @ cosines).transpose(3, 4).reshape(batch, channels, height, width)
