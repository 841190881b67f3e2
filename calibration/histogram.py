"""Streaming histogram of magnitudes: bounded memory, one pass, and the clipping range each method reads from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 2048
LEVELS = 127  # symmetric INT8: -127 … 127, zero-point 0, as TensorRT wants it


class Histogram:
    """Counts of |x| in BINS equal bins from 0; the bins double in width whenever a larger value comes."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.width = 0.0  # of one bin; 0 while only zeros were seen
        self.largest = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the values of an array of any shape. Raises ValueError when one of them is not finite."""
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if not np.isfinite(largest):
            raise ValueError("a value is infinite or not a number")
        self.largest = max(self.largest, largest)
        if self.width == 0.0:
            self.counts[0] += magnitudes.size if largest == 0.0 else 0
            self.width = largest / BINS
        if largest > 0.0:
            self._reach(largest)
        if self.width > 0.0:
            bins = np.minimum((magnitudes / self.width).astype(np.int64), BINS - 1)
            self.counts += np.bincount(bins, minlength=BINS)

    def _reach(self, largest: float) -> None:
        while largest > self.width * BINS * (1 + 1e-6):
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate((pairs, np.zeros(BINS // 2, np.int64)))
            self.width *= 2

    def minmax(self) -> float:
        """The largest magnitude: nothing is clipped."""
        return self.largest

    def percentile(self, share: float = 0.9999) -> float:
        """The magnitude that `share` of the values stay under, to a bin's width."""
        reached = np.searchsorted(np.cumsum(self.counts), share * self.counts.sum())
        return min((int(reached) + 1) * self.width, self.largest)

    def mse(self) -> float:
        """The clipping range with the least squared error of rounding and clipping together, out of 64 candidates."""
        if self.largest == 0.0:
            return 0.0
        centres = (np.arange(BINS) + 0.5) * self.width
        candidates = self.largest * np.linspace(0.15, 1.0, 64)
        steps = candidates[:, None] / LEVELS
        restored = np.minimum(np.rint(centres / steps), LEVELS) * steps
        # A bin is as wide as a step or wider where the range is short: rounding costs step²/12 whatever its centre.
        inside = centres <= candidates[:, None]
        error = np.where(inside, steps**2 / 12, (restored - centres) ** 2)
        return float(candidates[np.argmin(error @ self.counts.astype(np.float64))])


METHODS = {"mse": Histogram.mse, "percentile": Histogram.percentile, "minmax": Histogram.minmax}
