"""Streaming histogram of magnitudes: bounded memory, one pass, the same counts in whatever order the values come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 4096
NARROWEST = 2.0**-126  # a bin's width: its inverse must be a finite float32
CHUNK = 1 << 15  # values binned at a time: what that needs stays in the processor's cache


class Histogram:
    """Counts of |x| in BINS bins of one width, which grows with the largest value seen.

    The width is a power of two. So scaling a value to bins is exact, wider bins are whole groups of narrow ones, and
    the counts do not depend on the order or the parts in which the values came (but for values under 2**-150 of a
    bin, which count as zeros). The largest value lies in the upper half, unless it is below 2**-114: at least BINS / 2
    bins are in use.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)  # counts[k]: values in (k·width, (k + 1)·width]
        self.zeros = 0  # apart: any range represents them exactly, and behind a ReLU they outnumber the rest
        self.width = 0.0  # of one bin; 0 while only zeros were seen
        self.largest = 0.0

    def add(self, values: NDArray[np.floating[Any]]) -> None:
        """Count the values of an array of any shape, as float32.

        Raises ValueError, before anything is counted, when one of them is not finite.
        """
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is refused
            flat = np.asarray(values, np.float32).reshape(-1)
        largest = float(np.maximum(flat.max(initial=0.0), -flat.min(initial=0.0)))
        if not math.isfinite(largest):
            raise ValueError("a value is infinite or not a number")
        if largest > self.largest:
            self._reach(largest)
        if self.width == 0.0:
            self.zeros += flat.size
            return
        per_bin = np.float32(1.0 / self.width)
        for start in range(0, flat.size, CHUNK):
            bins = np.ceil(np.abs(flat[start : start + CHUNK]) * per_bin).astype(np.int32)
            counted = np.bincount(bins, minlength=BINS + 1)
            self.zeros += int(counted[0])
            self.counts += counted[1:]

    def _reach(self, largest: float) -> None:
        """Make the bins wide enough for `largest`, merging those that were too narrow."""
        self.largest = largest
        width = max(math.ldexp(1.0, math.frexp(largest)[1]) / BINS, NARROWEST)
        if self.width > 0.0:
            together = int(min(width / self.width, BINS))
            merged = self.counts.reshape(-1, together).sum(axis=1)
            self.counts = np.pad(merged, (0, BINS - merged.size))
        self.width = width
