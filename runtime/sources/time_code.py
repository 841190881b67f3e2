"""Time code: a frame's capture time as black and white cells in its bottom left corner, read back from any picture."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from runtime.frame import Image

CELL = 4  # pixels a side: what a codec or a deblurring network does to edges leaves the middle of a cell as it was
COLUMNS, ROWS = 28, 4
MARK_BITS, TIME_BITS, CHECK_BITS = 16, 64, 32  # together as many as there are cells
MARK = 0xA5C3  # what the code begins with: as many black cells as white ones, so that their levels can be measured
HEIGHT, WIDTH = ROWS * CELL, COLUMNS * CELL  # pixels of the whole code
LEAST_CONTRAST = 32.0  # levels between black and white
SURE = 0.2  # a cell this near to the middle, as a share of the contrast, is neither black nor white

Bits = NDArray[np.bool_]


def fits(size: tuple[int, int]) -> bool:
    """Whether a picture of `size` (height, width) has room for the code beside something to see."""
    return size[0] >= 2 * HEIGHT and size[1] >= WIDTH


def stamp(image: Image, captured_ns: int) -> None:
    """Write a time, 0 to 2**64 - 1 ns, into (H, W, 3) uint8, in place. Raises: ValueError where it does not fit."""
    if not fits(image.shape[:2]):
        raise ValueError(f"a time code needs {2 * HEIGHT} x {WIDTH} pixels, not {image.shape[0]} x {image.shape[1]}")
    cells = _bits(captured_ns).reshape(ROWS, COLUMNS).repeat(CELL, 0).repeat(CELL, 1)
    image[-HEIGHT:, :WIDTH] = np.where(cells, 255, 0)[:, :, None]


def read(image: Image) -> int | None:
    """The time in a picture, (H, W, 3) uint8, in ns; None where there is no code or it is damaged."""
    if not fits(image.shape[:2]):
        return None
    levels = _levels(image)
    mark = _bits(0)[:MARK_BITS]
    white, black = levels[:MARK_BITS][mark], levels[:MARK_BITS][~mark]
    contrast = float(white.mean() - black.mean())
    if contrast < LEAST_CONTRAST:
        return None
    place = (levels - black.mean()) / contrast  # about 0 for black, 1 for white
    if (np.abs(place - 0.5) < SURE / 2).any():
        return None
    bits = place > 0.5
    captured_ns = _number(bits[MARK_BITS : MARK_BITS + TIME_BITS])
    return captured_ns if (bits == _bits(captured_ns)).all() else None


def _bits(captured_ns: int) -> Bits:
    """All cells in reading order: mark, time, check sum; True is white."""
    time = captured_ns.to_bytes(TIME_BITS // 8, "big")
    data = MARK.to_bytes(MARK_BITS // 8, "big") + time + zlib.crc32(time).to_bytes(CHECK_BITS // 8, "big")
    return np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.bool_)


def _number(bits: Bits) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _levels(image: Image) -> NDArray[np.float64]:
    """The mean level of the middle of each cell, without the edges that a codec softens."""
    green = image[-HEIGHT:, :WIDTH, 1].reshape(ROWS, CELL, COLUMNS, CELL)
    inner = slice(CELL // 3, CELL - CELL // 3)
    return np.asarray(green[:, inner, :, inner].mean((1, 3)).reshape(-1), dtype=np.float64)
