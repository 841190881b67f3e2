"""Whether a network's output can be trusted: deblurring moves edges and leaves blocks as bright and coloured as before.

Both pictures are compared block by block on every few rows, in whole numbers. Thresholds are in grey levels; README.md
says what networks and true sharp pictures reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from runtime.frame import Image

BLOCK = 32  # pixels a side, about: small enough for a mosaic in a corner
PIXELS = 100_000  # are looked at, about, however large the frame
REGIONS = 4  # on each side of the frame
MOST_DRIFT = {"the picture": 10.0, "a region": 24.0}  # mean change of one channel
MOST_CHANGE = {"the picture": 35.0, "a region": 55.0, "a block": 100.0}  # mean distance; grey is 64 from random values
MOST_SATURATED = 0.6  # share of a block that became 0 or 255 and was neither nearly black nor nearly white
DARK, GREYS = 16, 224  # values from DARK on, so many, are neither nearly black nor nearly white
Sums = NDArray[np.number]


@dataclass(frozen=True)
class Sign:
    """One thing that speaks against an output where its value is beyond its limit."""

    name: str
    value: float  # in grey levels, or a share
    limit: float

    def __str__(self) -> str:
        return f"{self.name} is {self.value:.3g}, trusted up to {self.limit:g}"


def distrust(before: Image, after: Image) -> str:
    """Why `after` is not `before` deblurred, in words; empty where nothing speaks against it.

    before, after: (H, W, 3) uint8 of one shape. NaN and infinity have become 0 or 255 in a picture.
    """
    return next((str(sign) for sign in signs(before, after) if sign.value > sign.limit), "")


def signs(before: Image, after: Image) -> Iterator[Sign]:
    """All that is looked at, one after the other, as for `distrust`."""
    height, width = before.shape[:2]
    grid = _grid(height, width)
    old, new = (image.reshape(height, -1)[:: grid.step][: grid.rows] for image in (before, after))
    change = np.subtract(new, old, dtype=np.int16)
    drift = grid.most(grid.sums(change))
    for part, limit in MOST_DRIFT.items():
        yield Sign(f"colour drift of {part}", drift[part], limit)
    apart = grid.most(grid.sums(np.abs(change)).sum(2, keepdims=True) / 3)
    for part, limit in MOST_CHANGE.items():
        yield Sign(f"change of {part}", apart[part], limit)
    if apart["a block"] < MOST_SATURATED * DARK:  # no block changed enough to have become black or white
        return
    # Bytes wrap around: 255 and 0 become 0 and 1.
    saturated = (new + np.uint8(1) <= 1) & (old - np.uint8(DARK) < GREYS)
    share = grid.most(grid.sums(saturated.view(np.int8)).sum(2, keepdims=True) / 3)["a block"]
    yield Sign("share of a block that became black or white", share, MOST_SATURATED)


class _Grid:
    """How frames of one size are divided."""

    def __init__(self, height: int, width: int) -> None:
        # Odd, so that rows of both kinds are looked at: networks that double their size fail on every second one.
        self.step = max(3, height * width // PIXELS | 1)
        seen = -(-height // self.step)
        usual = max(1, round(BLOCK / self.step))
        self._deep = min(range(usual, usual + 3), key=lambda rows: (seen % rows, rows)) if seen > usual else seen
        self._down, across = seen // self._deep, max(1, width // BLOCK)
        self.rows = self._down * self._deep
        self._left = np.arange(across) * width // across
        widths = np.diff(self._left, append=width)
        self._tops, self._lefts = (_starts(blocks) for blocks in (self._down, across))
        # Samples of a channel in a block and in a region.
        self._counts = np.broadcast_to(widths * self._deep, (self._down, across))[:, :, None]
        self._region_counts = self._regions(self._counts)

    def sums(self, values: NDArray[np.int16] | NDArray[np.int8]) -> Sums:
        """(down, across, 3): sums over the blocks of (rows, 3 W) values, at most 255 each."""
        rows = values.reshape(self._down, self._deep, -1).sum(1, dtype=np.int16)
        return np.add.reduceat(rows.reshape(self._down, -1, 3), self._left, axis=1, dtype=np.int32)

    def most(self, sums: Sums) -> dict[str, float]:
        """The largest mean of a channel, without its sign, over the picture, a region and a block of them."""
        means = (sums.sum((0, 1)) / self._counts.sum(), self._regions(sums) / self._region_counts, sums / self._counts)
        return {part: float(np.abs(mean).max()) for part, mean in zip(MOST_CHANGE, means, strict=True)}

    def _regions(self, blocks: Sums) -> Sums:
        return np.add.reduceat(np.add.reduceat(blocks, self._tops, axis=0), self._lefts, axis=1)


def _starts(blocks: int) -> NDArray[np.int64]:
    """The first block of each region; a region has at least two on a side, since one may hold a single lamp."""
    regions = min(max(1, blocks // 2), REGIONS)
    return np.arange(regions) * blocks // regions


_grid = lru_cache(maxsize=16)(_Grid)  # each camera has one size; pictures of a folder have many
