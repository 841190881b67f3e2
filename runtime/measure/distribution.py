"""Distribution: what is said of many measured values, and when there are too few of them to say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.measure.series import P99_NEEDS, nearest_rank

Values = NDArray[np.float64]
PERCENTILES: tuple[Fraction, ...] = tuple(map(Fraction, (50, 90, 95, 99)))
TOO_SMALL = "n too small"
RULE = "nearest rank (ceil); p99 and above need ten values beyond them (p99: n >= 1000); no outlier removed"


def summary_of(values: Values, percentiles: Sequence[Fraction] = PERCENTILES) -> dict[str, Any]:
    """n, mean, std, each percentile, max; None where there is nothing, `n too small` where n does not allow it."""
    names = [percentile_name(percent) for percent in percentiles]
    if not len(values):
        return {"n": 0, "mean": None, "std": None, **dict.fromkeys(names), "max": None}
    ordered = np.sort(values)
    ranks = {name: percentile(ordered, percent) for name, percent in zip(names, percentiles, strict=True)}
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"n": len(values), "mean": float(np.mean(values)), "std": std, **ranks, "max": float(ordered[-1])}


def percentile(ordered: Values, percent: Fraction) -> float | str:
    """Of values in order; `n too small` where fewer than ten would lie beyond a percentile from 99 up."""
    return nearest_rank(ordered, percent) if len(ordered) >= values_needed(percent) else TOO_SMALL


def values_needed(percent: Fraction) -> int:
    """How many values a percentile needs to mean something."""
    return math.ceil(P99_NEEDS / (100 - percent)) if percent >= 99 else 1


def percentile_name(percent: Fraction) -> str:
    """`p50`, `p99.9`."""
    return f"p{float(percent):g}"
