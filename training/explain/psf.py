"""Do the filters turn with the blur? Pictures blurred along known angles, against the direction of the sampling."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from training.explain.filters import direction, elongation, moments
from training.explain.observe import Image, Layer, Sampling, observe
from training.network import SAPHNet

ANGLES = tuple(range(0, 180, 15))  # degrees; 0 horizontal, 90 vertical, counter-clockwise on the screen
LENGTHS = (15, 25)  # frame pixels
CHANCE = 45.0  # degrees: the mean error of a direction that has nothing to do with the blur


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One layer, one blurred picture. Angles in degrees modulo 180.

    elongation: (2,), the mean over the picture of the `elongation` of the filters, divided by their mean variance; its
    length is 0 for round filters and 1 for lines. error: |predicted - angle|, 0 to 90; nan for round filters.
    """

    layer: str
    picture: str
    length: int
    angle: float
    elongation: tuple[float, float]
    predicted: float
    error: float


Rows = list[Measurement]


def measure(network: SAPHNet, pictures: dict[str, Image]) -> Iterator[Measurement]:
    """Blur each picture by each length and angle, and find the dominant direction of each layer's filters.

    A picture's direction is that of the summed elongation of all its pixels' filters, so that a pixel counts as much
    as its filter is stretched (model.md "Interpretability"; `filters.moments` says why positions and not offsets).
    pictures: sharp, (H, W, 3) uint8 BGR. Blurring is done on displayed values, as in the GoPro set.
    """
    for name, picture in pictures.items():
        for length in LENGTHS:
            for angle in ANGLES:
                blurred = blur(picture, line_psf(length, angle))
                for place, vector in _elongations(network, blurred, length).items():
                    predicted = float(direction(vector))
                    error = float(angular_error(predicted, angle))
                    yield Measurement(place, name, length, angle, (vector[0], vector[1]), predicted, error)


def _elongations(network: SAPHNet, blurred: Image, length: int) -> dict[str, NDArray[np.float64]]:
    """By layer; a blur of `length` pixels keeps as far from the border."""
    found = {}

    def visit(layer: Layer) -> None:
        if layer.sampling is not None:
            found[layer.place] = mean_elongation(layer.sampling, -(-length // layer.stride))

    observe(network, blurred, visit)
    return found


def line_psf(length: float, angle: float) -> NDArray[np.float64]:
    """A line of `length` pixels at `angle` degrees (0 horizontal, 90 vertical) as a square kernel with sum 1.

    The line is a row of points shared out bilinearly: its direction is exact and its ends are not cut to whole pixels.
    """
    half = int(np.ceil(length / 2)) + 1
    along = np.linspace(-length / 2, length / 2, 16 * int(np.ceil(length)) + 1)
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    y, x = half - along * np.sin(np.radians(angle)), half + along * np.cos(np.radians(angle))
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    for row, rows in ((top, top + 1 - y), (top + 1, y - top)):
        for column, columns in ((left, left + 1 - x), (left + 1, x - left)):
            np.add.at(kernel, (row, column), rows * columns)
    return kernel / kernel.sum()


def blur(picture: Image, psf: NDArray[np.float64]) -> Image:
    """(H, W, 3) uint8, mirrored at its border."""
    # filter2D correlates: a line through the centre is its own mirror image.
    return np.asarray(cv2.filter2D(picture, -1, psf, borderType=cv2.BORDER_REFLECT), np.uint8)


def mean_elongation(sampling: Sampling, margin: int) -> NDArray[np.float64]:
    """(2,): summed elongation of a layer's filters over their summed variance, `margin` feature pixels left out.

    Near the border the blur has mirrored the picture, and with it the blur's own direction.
    """
    _, covariance = moments(sampling)
    height, width = covariance.shape[1:]
    # Half of a small map stays, whatever the margin.
    rows, columns = (min(margin, length // 4) for length in (height, width))
    inner = covariance[:, rows : height - rows, columns : width - columns].astype(np.float64).mean(axis=(1, 2))
    return elongation(inner) / max(inner[0] + inner[1], 1e-12)


def angular_error(predicted: float | NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Degrees between two directions without heads: 0 to 90."""
    return np.abs((np.asarray(predicted) - angle + 90) % 180 - 90)


def turned(rows: Rows) -> list[float]:
    """Directions, in degrees, of each row's elongation less the mean over all blurs of its picture; for one layer.

    A layer may stretch its filters one way always, or as the picture's edges lie, and turn them with the blur around
    that. nan as `direction`.
    """
    vectors = np.array([row.elongation for row in rows]).T  # (2, N)
    pictures = np.array([row.picture for row in rows])
    for picture in set(pictures):
        vectors[:, pictures == picture] -= vectors[:, pictures == picture].mean(axis=1, keepdims=True)
    return [float(angle) for angle in direction(vectors)]


def turning_errors(rows: Rows) -> list[float]:
    """Degrees, as `Measurement.error`, of what is `turned`."""
    return [float(angular_error(angle, row.angle)) for angle, row in zip(turned(rows), rows, strict=True)]
