"""What a difference looks like: the region where it is largest, amplified, and pictures as data URIs."""

from __future__ import annotations

import base64

import numpy as np

from runtime.frame import Image
from runtime.sinks.image_sink import encode_image

Region = tuple[slice, slice]  # rows, columns


def worst_region(image: Image, reference: Image, side: int) -> Region:
    """The square of `side` pixels, or as much of it as fits, with the largest sum of squared differences.

    image, reference: (H, W, 3) uint8 of one shape. The first such square in reading order where several are alike.
    """
    squares = np.square(np.subtract(image, reference, dtype=np.int64)).sum(axis=2)
    # sums[i, j]: over the first i rows and j columns
    sums = np.pad(squares.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    height, width = (min(side, length) for length in squares.shape)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = (int(place) for place in np.unravel_index(inside.argmax(), inside.shape))
    return slice(top, top + height), slice(left, left + width)


def amplified_difference(image: Image, reference: Image, factor: int) -> Image:
    """`image` - `reference`, `factor` times as large, around mid grey; uint8 like both of them."""
    difference = np.subtract(image, reference, dtype=np.int16)
    return (128 + factor * difference).clip(0, 255).astype(np.uint8)


def data_uri(image: Image) -> str:
    """(H, W, 3) uint8 BGR as a lossless picture that is part of the page."""
    png = encode_image(np.ascontiguousarray(image), ".png")
    return "data:image/png;base64," + base64.b64encode(png).decode()
