"""Quality: PSNR before and after, measured on the way wherever frames carry the sharp original."""

from __future__ import annotations

import math
import statistics

import numpy as np

from runtime.frame import Image

# Measuring takes about 0.8 ms at 640x360 from the cores that the network needs, so every third frame is measured, up to
# as many as three loops of the test scene have; more would say the same.
EVERY, FRAMES = 3, 60

MOST_DB = 999.0  # stands for "equal", which has no number that JSON can hold


class Quality:
    """Mean PSNR in dB of every third frame that has a reference, up to 60 of them."""

    def __init__(self) -> None:
        self._seen = 0
        self._before: list[float] = []
        self._after: list[float] = []

    def add(self, blurred: Image, sharp: Image, reference: Image | None) -> None:
        if reference is None:
            return
        if self._seen % EVERY == 0 and len(self._before) < FRAMES:
            self._before.append(psnr(blurred, reference))
            self._after.append(psnr(sharp, reference))
        self._seen += 1

    def summary(self) -> dict[str, float | int] | None:
        """frames, before_db, after_db; None where no frame had a reference."""
        if not self._before:
            return None
        before_db, after_db = (statistics.fmean(values) for values in (self._before, self._after))
        return {"frames": len(self._before), "before_db": min(before_db, MOST_DB), "after_db": min(after_db, MOST_DB)}


def psnr(image: Image, reference: Image) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape (H, W, 3), peak 255; inf when equal.

    Raises: ValueError for another type or two shapes.
    """
    if image.shape != reference.shape or not image.dtype == reference.dtype == np.uint8:
        raise ValueError(
            f"expected two uint8 pictures of one shape, not {image.dtype} {image.shape} and "
            f"{reference.dtype} {reference.shape}"
        )
    # In bytes: the difference of two bytes is a byte and its square fits 16 bits, so nothing larger is ever allocated.
    distance = np.maximum(image, reference) - np.minimum(image, reference)
    squares = int(np.multiply(distance, distance, dtype=np.uint16).sum(dtype=np.uint64))
    return 10 * math.log10(255**2 * image.size / squares) if squares else math.inf
