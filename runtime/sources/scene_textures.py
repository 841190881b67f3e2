"""Textures of the test scene: a street-like background and the objects that move over it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from runtime.frame import Image

OBJECTS = 5


def background_texture(size: tuple[int, int], scale: float, rng: np.random.Generator) -> Image:
    """uint8 (H, W, 3) BGR: cloudy ground, facades with windows, lines of writing. scale: 1 at 640x360."""
    canvas = _clouds(size, scale, rng)
    for _ in range(26):
        _facade(canvas, scale, rng)
    for _ in range(22):
        _writing(canvas, scale, rng)
    return _soften(canvas, scale)


def object_textures(height: int, scale: float, rng: np.random.Generator) -> Iterator[tuple[Image, NDArray[np.float64]]]:
    """(texture uint8 (h, w, 3) BGR, coverage float (h, w) in [0, 1]) of each object, back to front."""
    for number in range(OBJECTS):
        side = max(8, round(height * (0.2 + 0.06 * (number % 3))))
        size = (side, side if number % 2 else round(1.5 * side))
        texture = _clouds(size, scale / 2, rng)
        _pattern(texture, number, max(2, round(6 * scale)), rng)
        for _ in range(2):
            _writing(texture, 0.8 * scale, rng)
        yield _soften(texture, scale), _shape(size, number)


def _clouds(size: tuple[int, int], scale: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise at several scales in two colours, float (H, W, 3) in [0, 255]."""
    total = np.zeros(size, np.float32)
    for cell, weight in ((64, 0.4), (22, 0.25), (8, 0.2), (3, 0.15)):
        total += weight * _noise(size, max(1.0, cell * scale), rng)
    dark, light = _colour(rng, 15, 90), _colour(rng, 150, 245)
    share = np.clip(1.6 * total - 0.3, 0, 1)[:, :, None]
    return np.asarray(dark + share * (light - dark), dtype=np.float32)


def _colour(rng: np.random.Generator, low: float, high: float) -> NDArray[np.float64]:
    """A muted colour, (3,) float: half grey, as most of a street is."""
    return np.asarray(0.5 * rng.uniform(low, high) + 0.5 * rng.uniform(low, high, 3))


def _noise(size: tuple[int, int], cell: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random values every `cell` pixels, bilinear between them, float (H, W) in [0, 1]."""
    grid = rng.random([int(length / cell) + 2 for length in size], dtype=np.float32)
    for axis, length in enumerate(size):
        place = np.arange(length) / cell
        low = place.astype(int)
        share = (place - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        grid = grid.take(low, axis) * (1 - share) + grid.take(low + 1, axis) * share
    return grid


def _facade(canvas: NDArray[np.float32], scale: float, rng: np.random.Generator) -> None:
    """A block of one colour with a lattice of windows."""
    height, width = (round(scale * side) for side in rng.integers(30, 110, 2))
    block = _place(canvas, (height, width), rng)
    block[:] = 0.25 * block + 0.75 * _colour(rng, 20, 240)
    step, window = max(3, round(scale * rng.integers(9, 16))), _colour(rng, 10, 250)
    opening = max(1, round(0.55 * step))
    for top in range(step // 3, block.shape[0] - opening, step):
        for left in range(step // 3, block.shape[1] - opening, step):
            block[top : top + opening, left : left + opening] = window


def _writing(canvas: NDArray[np.float32], scale: float, rng: np.random.Generator) -> None:
    """A line of made-up letters, 5x7 dots each, dark on light or light on dark."""
    dot, letters = max(1, round(1.6 * scale)), int(rng.integers(4, 10))
    line = np.zeros((9, 6 * letters + 1), bool)
    for letter in range(letters):
        half = rng.random((7, 3)) < 0.55
        line[1:8, 6 * letter + 1 : 6 * letter + 6] = np.hstack(
            (half, half[:, 1::-1])
        )  # symmetric, as letters often are
    dots = line.repeat(dot, 0).repeat(dot, 1)
    block = _place(canvas, (dots.shape[0], dots.shape[1]), rng)
    ink, paper = (20.0, 235.0) if rng.random() < 0.5 else (240.0, 30.0)
    block[:] = np.where(dots[: block.shape[0], : block.shape[1], None], ink, paper)


def _place(canvas: NDArray[np.float32], size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """A view of `size` at a random place of the canvas, smaller where it meets the border."""
    top, left = (int(rng.integers(0, max(1, length - 4))) for length in canvas.shape[:2])
    return canvas[top : top + size[0], left : left + size[1]]


def _pattern(canvas: NDArray[np.float32], number: int, step: int, rng: np.random.Generator) -> None:
    """Checks, stripes or rings over the clouds."""
    y, x = np.indices(canvas.shape[:2])
    middle_y, middle_x = (length / 2 for length in canvas.shape[:2])
    where = (
        (y // (2 * step) + x // (2 * step)) % 2 == 0,
        (y + x) // step % 2 == 0,
        np.hypot(y - middle_y, x - middle_x) // step % 2 == 0,
    )[number % 3]
    canvas[where] = 0.35 * canvas[where] + 0.65 * _colour(rng, 10, 250)


def _shape(size: tuple[int, int], number: int) -> NDArray[np.float64]:
    """Coverage of an ellipse or a rounded rectangle, with an edge one pixel soft."""
    y, x = np.indices(size)
    power = 2 if number % 2 else 8
    down, across = (2 * np.abs(place + 0.5 - length / 2) / length for place, length in zip((y, x), size, strict=True))
    distance = (1 - (down**power + across**power) ** (1 / power)) * min(size) / 2
    return np.asarray(np.clip(distance, 0, 1), dtype=np.float64)


def _soften(canvas: NDArray[np.float32], scale: float) -> Image:
    """Take the staircase off edges: a box of about one pixel at 640x360."""
    for axis in (0, 1):
        for _ in range(max(1, round(scale))):
            canvas = np.asarray((canvas + np.roll(canvas, 1, axis)) / 2, dtype=np.float32)
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)
