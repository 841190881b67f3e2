"""What is drawn of a layer: a few numbers per feature pixel, small enough to keep for every layer of a network."""

from __future__ import annotations

import dataclasses
import re

import cv2
import numpy as np

from training.config import ModelConfig
from training.explain.filters import EffectiveFilter, Pixel, effective_filter, elongation, moments
from training.explain.observe import Image, Layer, Map, Sampling


@dataclasses.dataclass(frozen=True)
class Shifts:
    """Where a pixel-dependent filter samples, in frame pixels; maps are (h, w) in feature pixels.

    reach: root mean square of |Δ_n| over the taps. drift: (2, h, w), (y, x) of the positions' centroid.
    stretch: (2, h, w), the elongation divided by its largest possible value: length 0 is round, 1 is a line.
    """

    reach: Map
    drift: Map
    stretch: Map


@dataclasses.dataclass(frozen=True)
class Summary:
    """A layer as it is drawn; None and () are what it does not have. `slug` names its files."""

    place: str
    slug: str
    stride: int
    grid: tuple[int, int]
    content_aware: bool  # and not a cross-attention
    mask: Map | None
    fusion: Map | None
    shifts: Shifts | None
    filters: tuple[EffectiveFilter, ...]  # at the chosen pixels


def summarise(layer: Layer, pixels: list[Pixel], config: ModelConfig) -> Summary:
    """Reduce a layer. Offsets and filters that are the same everywhere by `config` are left out."""
    sampling = layer.sampling
    return Summary(
        layer.place,
        slug(layer),
        layer.stride,
        layer.grid,
        layer.content_aware,
        layer.mask,
        layer.fusion,
        _shifts(sampling, layer.stride) if sampling and config.learn_offsets else None,
        tuple(effective_filter(sampling, layer.stride, pixel) for pixel in pixels)
        if sampling and (config.learn_offsets or config.learn_modulation)
        else (),
    )


def slug(layer: Layer) -> str:
    """`level 1 skip, scale 1/8` → `level-1-skip-scale-1-8`."""
    return re.sub(r"[^a-z0-9]+", "-", layer.place)


def missing(config: ModelConfig) -> dict[str, str]:
    """What the content-aware modules of this network cannot show, and why: kind → reason."""
    reasons = {}
    if not config.global_branch:
        reasons["mask"] = "the model has no global branch"
    if not (config.global_branch and config.local_branch and config.learn_fusion):
        reasons["fusion"] = "the model does not learn how to mix two branches"
    if not (config.local_branch and config.learn_offsets):
        reasons["offsets"] = "the model learns no offsets" if config.local_branch else "the model has no local branch"
    if not config.local_branch:
        reasons["filters"] = "the model has no local branch"
    elif not (config.learn_offsets or config.learn_modulation):
        reasons["filters"] = "the model's filters are the same everywhere"
    return reasons


def telling_pixels(frame: Image, edges: int = 4, flats: int = 2) -> list[Pixel]:
    """Pixels worth a look, apart from each other: first the strongest edges, then the flattest places.

    frame: (H, W, 3) uint8 BGR. A small frame gives fewer.
    """
    height, width = frame.shape[:2]
    apart = max(2, min(height, width) // 5)
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    detail = cv2.GaussianBlur(slope, (0, 0), 4)
    free = np.zeros((height, width), bool)  # not so near the border that filters look out of the frame
    free[apart // 2 : height - apart // 2, apart // 2 : width - apart // 2] = True
    pixels: list[Pixel] = []
    for sign in [1.0] * edges + [-1.0] * flats:
        if not free.any():
            break
        row, column = np.unravel_index(np.argmax(np.where(free, sign * detail, -np.inf)), free.shape)
        pixels.append((int(row), int(column)))
        free[max(0, row - apart) : row + apart + 1, max(0, column - apart) : column + apart + 1] = False
    return pixels


def _shifts(sampling: Sampling, stride: int) -> Shifts:
    centroid, covariance = moments(sampling)
    reach = np.sqrt((sampling.offset**2).sum(axis=1).mean(axis=0))
    stretch = elongation(covariance) / np.maximum(covariance[0] + covariance[1], 1e-12)
    return Shifts(reach * stride, centroid * stride, stretch)
