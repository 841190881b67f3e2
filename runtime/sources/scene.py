"""The moving test scene: a loop of pictures with true motion blur and the sharp picture each belongs to.

A camera pans over a textured background while textured objects move over it and over each other. Each blurred picture
is the mean, in linear light, of the sharp pictures during its exposure; the one in the middle is the reference.
All paths are closed, so the loop repeats without a jump. Same size, same pictures: nothing is left to chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.frame import Image
from runtime.sources.scene_textures import background_texture, object_textures

SUBFRAMES = 15  # sharp pictures in one exposure; odd, so that one is in the middle
SHUTTER = 0.7  # share of the frame interval that the shutter is open
LOOP_BYTES = 160 * 2**20
LOOP_FRAMES = (4, 60)  # at least, at most
LINEAR_MAX = 4095  # 12 bits of linear light: the sum of 15 stays within uint16

Linear: TypeAlias = NDArray[np.uint16]  # (H, W, 3) BGR, linear light, 0 to LINEAR_MAX


@dataclass(frozen=True)
class Path:
    """A closed ellipse, walked `turns` times a loop. Lengths in pixels, phase in turns."""

    center: tuple[float, float]  # (y, x)
    radius: tuple[float, float]  # (y, x)
    phase: float
    turns: int

    def at(self, time: float) -> tuple[int, int]:
        """(y, x) in whole pixels at `time` in loops."""
        angle = 2 * math.pi * (self.turns * time + self.phase)
        y = self.center[0] + self.radius[0] * math.sin(angle)
        x = self.center[1] + self.radius[1] * math.cos(angle)
        return round(y), round(x)


@dataclass(frozen=True, eq=False)
class Sprite:
    """An object that moves: its colours already multiplied with its coverage, so that laying it down is one step."""

    covered: NDArray[np.uint32]  # (h, w, 3) linear light times coverage
    uncovered: NDArray[np.uint32]  # (h, w, 1) 256 - coverage, coverage 0 to 256
    path: Path


def render_loop(size: tuple[int, int]) -> list[tuple[Image, Image]]:
    """(blurred, sharp) pairs of uint8 (H, W, 3) BGR, read-only, for frames of `size` (height, width)."""
    count = loop_length(size)
    background, pan, sprites = _scene(size, count)
    brightness = _srgb_of_sum()
    loop = []
    for index in range(count):
        total, sharp = np.zeros((*size, 3), np.uint16), np.empty(0, np.uint16)
        for step in range(SUBFRAMES):
            time = (index + SHUTTER * (step / (SUBFRAMES - 1) - 0.5)) / count
            picture = _picture(size, background, pan, sprites, time)
            total += picture
            if step == SUBFRAMES // 2:
                sharp = picture
        pair = brightness[total], brightness[sharp * SUBFRAMES]
        for image in pair:
            image.flags.writeable = False  # the loop is handed out again and again
        loop.append(pair)
    return loop


def loop_length(size: tuple[int, int]) -> int:
    """Frames in the loop: as many as fit the memory set aside for it."""
    fewest, most = LOOP_FRAMES
    return max(fewest, min(most, LOOP_BYTES // (2 * 3 * size[0] * size[1])))


def _scene(size: tuple[int, int], count: int) -> tuple[Linear, Path, list[Sprite]]:
    height, width = size
    scale = max(0.25, math.sqrt(height * width / (360 * 640)))
    rng = np.random.default_rng(7)
    # A path of radius r walked once in `count` frames blurs by 2 π r SHUTTER / count pixels.
    radius_per_blur = count / (2 * math.pi * SHUTTER)
    pan = Path((0, 0), (3 * scale * radius_per_blur, 6 * scale * radius_per_blur), 0.1, 1)
    margin = tuple(math.ceil(radius) + 1 for radius in pan.radius)
    background = background_texture((height + 2 * margin[0], width + 2 * margin[1]), scale, rng)
    pan = Path((margin[0], margin[1]), pan.radius, pan.phase, pan.turns)
    sprites = []
    for number, (texture, coverage) in enumerate(object_textures(height, scale, rng)):
        # Blur lengths from 4 to 12 pixels at 640x360; every other object walks the other way round.
        blur = scale * (4 + 2 * number) * (1 if number % 2 else -1)
        place = ((0.5 + 0.28 * math.sin(2.4 * number + 1)), (0.5 + 0.3 * math.cos(2.4 * number + 1)))
        center = place[0] * height - coverage.shape[0] / 2, place[1] * width - coverage.shape[1] / 2
        path = Path(center, (0.7 * abs(blur) * radius_per_blur, blur * radius_per_blur), number / 5, 1)
        mask = np.round(coverage * 256).astype(np.uint32)[:, :, None]
        sprites.append(Sprite(_linear(texture).astype(np.uint32) * mask, 256 - mask, path))
    return _linear(background), pan, sprites


def _picture(size: tuple[int, int], background: Linear, pan: Path, sprites: list[Sprite], time: float) -> Linear:
    """The sharp picture at one instant, (H, W, 3) linear light; later objects cover earlier ones."""
    top, left = pan.at(time)
    picture = background[top : top + size[0], left : left + size[1]].copy()
    for sprite in sprites:
        y, x = sprite.path.at(time)
        height, width = sprite.uncovered.shape[:2]
        inside = slice(max(0, -y), min(height, size[0] - y)), slice(max(0, -x), min(width, size[1] - x))
        if inside[0].start >= inside[0].stop or inside[1].start >= inside[1].stop:
            continue
        below = picture[y + inside[0].start : y + inside[0].stop, x + inside[1].start : x + inside[1].stop]
        below[:] = (below * sprite.uncovered[inside] + sprite.covered[inside]) >> 8
    return picture


def _linear(image: Image) -> Linear:
    """sRGB bytes to 12-bit linear light."""
    value = np.arange(256) / 255
    curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    table = np.round(curve * LINEAR_MAX).astype(np.uint16)
    return np.asarray(table[image], dtype=np.uint16)


def _srgb_of_sum() -> NDArray[np.uint8]:
    """A table from the sum of SUBFRAMES linear values to the sRGB byte of their mean."""
    value = np.arange(LINEAR_MAX * SUBFRAMES + 1) / (LINEAR_MAX * SUBFRAMES)
    curve = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(curve * 255), dtype=np.uint8)
