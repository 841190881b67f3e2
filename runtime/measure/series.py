"""Series: one measured quantity over a run of any length, in memory that never grows."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

CAPACITY = 65536  # values kept: every percentile is exact up to here
P99_NEEDS = 1000


class Series:
    """Mean, deviation, extremes and percentiles of what was added.

    Beyond `capacity` values a uniform sample of them stands for the percentiles (reservoir sampling, algorithm R);
    count, mean, deviation and extremes stay exact.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.count = 0
        self.smallest = math.inf
        self.largest = -math.inf
        self._mean = 0.0
        self._squares = 0.0  # sum of squared distances from the mean (Welford)
        self._kept = np.full(capacity, math.nan)  # filled now, so that the memory is taken now
        self._random = random.Random(0)

    def add(self, value: float) -> None:
        place = self.count if self.count < len(self._kept) else self._random.randrange(self.count + 1)
        if place < len(self._kept):
            self._kept[place] = value
        self.count += 1
        distance = value - self._mean
        self._mean += distance / self.count
        self._squares += distance * (value - self._mean)
        self.smallest = min(self.smallest, value)
        self.largest = max(self.largest, value)

    @property
    def exact(self) -> bool:
        """Whether percentiles are over every value, not over a sample."""
        return self.count <= len(self._kept)

    def summary(self) -> dict[str, float | int | str | None]:
        """n, mean, std, p50, p90, p95, p99, max; None where there is too little to say."""
        if not self.count:
            return {"n": 0, "mean": None, "std": None, "p50": None, "p90": None, "p95": None, "p99": None, "max": None}
        kept = np.sort(self._kept[: self.count])
        p99: float | str = nearest_rank(kept, 99) if self.count >= P99_NEEDS else "n too small"
        std = math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else None
        low = {f"p{percent}": nearest_rank(kept, percent) for percent in (50, 90, 95)}
        return {"n": self.count, "mean": self._mean, "std": std, **low, "p99": p99, "max": self.largest}


def nearest_rank(ordered: Sequence[float] | np.ndarray, percent: int | Fraction) -> float:
    """The smallest of the `ordered` values that at least `percent` % of them do not exceed (rank ⌈percent/100 · n⌉)."""
    rank = max(1, -(-percent * len(ordered) // 100))  # whole numbers: no rounding can move the rank
    return float(ordered[rank - 1])
