"""The geometry of a pixel-dependent filter: where it samples, how far, and along which direction it stretches."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from training.explain.observe import Map, Sampling

Pixel = tuple[int, int]  # (row, column) of the frame


@dataclasses.dataclass(frozen=True)
class EffectiveFilter:
    """The filter that a layer applies at one pixel.

    centre: (2,), base: (k², 2) = ρ_n, positions: (k², 2) = ρ_n + Δ_n; all (y, x) in frame pixels, the last two
    relative to the centre. weights: (k²,) = modulation_n · ‖W_n‖ / Σ: how much a tap counts. W_n mixes channels with
    either sign, so a weight is an amount, not the coefficient of a grey-value kernel. modulation: (k²,) in [0, 2].
    """

    centre: NDArray[np.float64]
    base: NDArray[np.float64]
    positions: NDArray[np.float64]
    weights: NDArray[np.float64]
    modulation: NDArray[np.float64]


def effective_filter(sampling: Sampling, stride: int, pixel: Pixel) -> EffectiveFilter:
    """The filter at the feature pixel that covers `pixel`; `stride` frame pixels make a feature pixel."""
    row, column = (length // stride for length in pixel)
    base = tap_grid(len(sampling.modulation)).astype(np.float64)
    modulation = sampling.modulation[:, row, column].astype(np.float64)
    weights = modulation * sampling.tap_norms
    centre = (np.array((row, column)) + 0.5) * stride - 0.5
    positions = (base + sampling.offset[:, :, row, column]) * stride
    return EffectiveFilter(centre, base * stride, positions, weights / max(weights.sum(), 1e-12), modulation)


def tap_grid(taps: int) -> Map:
    """ρ: (k², 2) float32, (y, x) of each tap around 0, in feature pixels."""
    side = np.arange(round(taps**0.5), dtype=np.float32)
    rows, columns = np.meshgrid(side - side.mean(), side - side.mean(), indexing="ij")
    return np.stack((rows.ravel(), columns.ravel()), axis=1)


def moments(sampling: Sampling) -> tuple[Map, Map]:
    """Centroid (2, h, w) and covariance (3, h, w) = (yy, xx, yx) of the sampling positions ρ_n + Δ_n.

    In feature pixels; taps weigh as their modulation.

    Positions and not offsets alone: a filter that pulls its taps onto a vertical line moves them horizontally, so the
    principal axis of the Δ_n would be off by 90°. A square grid without offsets has no direction of its own.
    """
    share = sampling.modulation / np.maximum(sampling.modulation.sum(axis=0), 1e-12)
    positions = sampling.offset + tap_grid(len(share))[:, :, None, None]
    centroid = np.einsum("nhw,nahw->ahw", share, positions)
    y, x = np.moveaxis(positions - centroid, 1, 0)  # (k², h, w) each
    return centroid, np.stack([(share * product).sum(axis=0) for product in (y * y, x * x, y * x)])


def elongation(covariance: Map) -> Map:
    """(2, …) vector in feature pixels²: its length is the difference of the variances along and across the filter.

    Its angle is twice the direction's: vectors of one direction add up, whichever way it points, and those of
    perpendicular directions cancel.
    Directions are seen on the screen: 0° is to the right, 90° up (rows grow downwards). covariance: (3, …).
    """
    yy, xx, yx = covariance
    return np.stack((xx - yy, -2 * yx))


def direction(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """Dominant orientation in degrees, modulo 180, of `elongation` vectors (2, …); nan where there is none."""
    degrees = np.degrees(np.arctan2(vector[1], vector[0])) / 2 % 180
    return np.where(np.hypot(*vector) > 1e-9, degrees, np.nan)
