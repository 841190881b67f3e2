"""Sharp pictures, motion blur as a camera makes it, and pairs of both as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.frame import Frame, Image
from runtime.sinks.image_sink import ImageSink
from runtime.sinks.sink import SinkOptions


def sharp_picture(size: tuple[int, int], seed: int = 0) -> Image:
    """Overlapping rectangles and discs of all sizes with hard edges: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.indices(size)
    image = np.full((*size, 3), 120, np.uint8)
    for _ in range(height * width // 150):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(2, 14, 2)
        inside = (np.abs(y - cy) < ry) & (np.abs(x - cx) < rx)
        if rng.random() < 0.5:
            inside &= ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        image[inside] = rng.integers(20, 236, 3)
    return image


def moved(image: Image, length: int, angle: float = 0.0) -> Image:
    """The mean of the picture shifted along a line of `length` pixels: what a moving camera sees."""
    if length < 2:
        return image
    steps = np.linspace(-length / 2, length / 2, 2 * length)
    total = np.zeros(image.shape, np.float64)
    for step in steps:
        shift = round(step * np.sin(angle)), round(step * np.cos(angle))
        total += np.roll(image, shift, (0, 1))
    return (total / len(steps) + 0.5).astype(np.uint8)


def noisy(image: Image, sigma: float, seed: int = 0) -> Image:
    return np.clip(image + np.random.default_rng(seed).normal(0, sigma, image.shape), 0, 255).round().astype(np.uint8)


def write_pairs(folder: Path, pairs: list[tuple[Image, Image]]) -> Path:
    """`pairs` of (blurred, sharp) as blur/000000.png, sharp/000000.png, … in `folder`."""
    for side, pictures in zip(("blur", "sharp"), zip(*pairs, strict=True), strict=True):
        sink = ImageSink(f"{folder / side}/%06i.png", SinkOptions())
        for index, image in enumerate(pictures):
            sink.write(image, Frame(image, index, 0))
        sink.close()
    return folder
