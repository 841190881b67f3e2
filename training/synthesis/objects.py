"""Things that move before the photograph: cut-outs of other photographs, leaves, poles and signs with text."""

from __future__ import annotations

import string
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.crops import random_crop
from training.synthesis.deadleaves import paint_leaf

Image = NDArray[np.uint8]
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX)
_CHARACTERS = string.ascii_letters + string.digits + "  .,:!?%&+-"


def random_object(
    photos: Sequence[Image], rng: np.random.Generator, room: tuple[int, int], scale: tuple[float, float]
) -> Image:
    """(h, w, 4) uint8, RGB and opacity, of at most `room` = (height, width); sizes are log-uniform."""
    shape = min(room) * np.exp(rng.uniform(np.log(0.12), 0)) * np.exp(rng.normal(0, 0.35, 2))
    height, width = (int(value) for value in np.clip(shape, 8, room))
    kind = rng.choice(4, p=(0.55, 0.15, 0.12, 0.18))
    if kind == 3:
        return _sign(rng, (height, width))
    colours = random_crop(photos, rng, (height, width), scale)
    outline = (_blob, _leaves, _poles)[kind](rng, (height, width))
    opacity = cv2.GaussianBlur(outline, (0, 0), rng.uniform(0.4, 1.2))  # no edge in a photograph is cut with scissors
    return np.dstack((colours, opacity))


def _blob(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A star-shaped outline: a polygon of few corners, or a smooth one of low frequencies."""
    turns = np.linspace(0, 2 * np.pi, int(rng.choice([4, 5, 7, 64])), endpoint=False) + rng.uniform(0, 2 * np.pi)
    waves = np.arange(1, 6)
    amplitudes = rng.normal(size=5) * 0.35 / waves
    radii = np.clip(1 + (amplitudes * np.cos(waves * turns[:, None] + rng.uniform(0, 6, 5))).sum(axis=1), 0.3, None)
    points = np.stack((np.cos(turns), np.sin(turns)), axis=1) * radii[:, None]
    points = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    mask = np.zeros(size, np.uint8)
    sixteenths = np.rint((2 + points * (size[1] - 5, size[0] - 5)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [sixteenths], 255, cv2.LINE_AA, shift=4)
    return mask


def _leaves(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Foliage: many small leaves with gaps that show what is behind."""
    mask = np.zeros(size, np.uint8)
    for _ in range(int(rng.integers(8, 60))):
        paint_leaf(rng, mask, (255,))
    return np.minimum(mask, _blob(rng, size))


def _poles(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Poles, rails and wires from edge to edge."""
    mask = np.zeros(size, np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        (x0, x1), (y0, y1) = rng.uniform(0, size[1], 2), rng.uniform(0, size[0], 2)
        ends = ((int(x0), 0), (int(x1), size[0])) if rng.random() < 0.7 else ((0, int(y0)), (size[1], int(y1)))
        cv2.line(mask, *ends, 255, int(np.exp(rng.uniform(0, np.log(0.1 * max(size) + 2)))), cv2.LINE_AA)
    return mask


def _sign(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Lines of random letters on a plate, or without one."""
    height, width = size
    plate, ink = _contrasting(rng)
    colours, opacity = np.full((height, width, 3), plate, np.uint8), np.zeros(size, np.uint8)
    line = int(np.clip(height / rng.integers(1, 7), 9, 64))
    font, thickness = int(rng.choice(_FONTS)), max(1, round(line / rng.uniform(8, 20)))
    for bottom in range(line, height + 1, int(line * rng.uniform(1.0, 1.4))):
        letters = "".join(rng.choice(list(_CHARACTERS), width * 2 // line + 1))
        for canvas, colour in ((colours, ink), (opacity, (255,))):
            cv2.putText(canvas, letters, (3, bottom - 2), font, line / 34, colour, thickness, cv2.LINE_AA)
    if rng.random() < 0.75:
        opacity[2:-2, 2:-2] = 255
    else:
        colours[:] = ink
    return np.dstack((colours, cv2.GaussianBlur(opacity, (0, 0), 0.5)))


def _contrasting(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two colours, one dark and one bright, in either order."""
    dark = tuple(int(value) for value in rng.integers(0, 90, 3))
    bright = tuple(int(value) for value in rng.integers(150, 256, 3))
    return (dark, bright) if rng.random() < 0.5 else (bright, dark)
