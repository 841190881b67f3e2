"""Views: how the input and the output share one picture."""

from __future__ import annotations

import numpy as np

from runtime.frame import Image

VIEWS = ("output", "side-by-side", "split")
DIVIDER = (255, 255, 255)  # BGR of the line between the two halves of `split`


def compose(view: str, before: Image, after: Image) -> Image:
    """The picture to show: (H, W, 3) uint8, or (H, 2 W, 3) for side-by-side.

    before, after: (H, W, 3) uint8 BGR of one shape.
    Raises: ValueError for another view or for pictures of two shapes.
    """
    if before.shape != after.shape:
        raise ValueError(f"before {before.shape} and after {after.shape} differ in shape")
    if view == "output":
        return after
    if view == "side-by-side":
        return np.concatenate((before, after), axis=1)
    if view == "split":
        return _split(before, after)
    raise ValueError(f"no view '{view}'; expected one of: {', '.join(VIEWS)}")


def blend(before: Image, after: Image, strength: float) -> Image:
    """`after` at strength 1, `before` at 0, between them a mix: (H, W, 3) uint8, rounded to the nearest level."""
    if strength >= 1:
        return after
    if strength <= 0:
        return before
    # 8 bits of fraction in whole numbers: a frame of floats would take four times the memory and longer.
    share = round(strength * 256)
    mixed = np.multiply(after, share, dtype=np.uint16)
    mixed += np.multiply(before, 256 - share, dtype=np.uint16)
    mixed += 128  # 255 · 256 + 128 is still 16 bits
    return (mixed >> 8).astype(np.uint8)


def _split(before: Image, after: Image) -> Image:
    """Left half before, right half after, a thin line between them."""
    width = before.shape[1]
    middle = width // 2
    line = max(1, width // 640)
    picture = after.copy()
    picture[:, :middle] = before[:, :middle]
    picture[:, middle : middle + line] = DIVIDER
    return picture
