"""The range of magnitudes to represent, read from a histogram: what is larger is clipped, what is not is rounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calibration.graph.quantise import LEVELS
from calibration.observers.histogram import Histogram

SHARES = np.geomspace(1 / 512, 1.0, 256)  # of the largest magnitude: 2.5 % apart, the error is flat around its least
STEPS = LEVELS + 1  # magnitudes that INT8 tells apart: 0 … 127
TIE = 1e-9  # divergences that differ by rounding alone
KEPT = 0.9  # of the values: with nearly all of them in the last bin, both distributions are one peak and equal

Values = NDArray[np.float64]


def minmax(histogram: Histogram) -> float:
    """The largest magnitude: nothing is clipped."""
    return histogram.largest


def percentile(histogram: Histogram, share: float = 0.9999) -> float:
    """The magnitude that `share` of the values other than zero do not exceed; up to a bin's width above it."""
    reached = np.searchsorted(np.cumsum(histogram.counts), share * histogram.counts.sum())
    return min((int(reached) + 1) * histogram.width, histogram.largest)


def mse(histogram: Histogram) -> float:
    """The range with the least squared error of rounding and clipping together, out of 256 from 1/512 of the largest.

    Exact for values spread evenly within each bin. In units of a bin, so that scaled values give the scaled range.
    """
    if histogram.largest == 0.0:
        return 0.0
    counts = _used(histogram)
    candidates = SHARES * (histogram.largest / histogram.width)
    edges = np.arange(len(counts) + 1.0)
    errors = [np.diff(_error_up_to(edges, candidate / LEVELS)) @ counts for candidate in candidates]
    return float(candidates[np.argmin(errors)] * histogram.width)


def entropy(histogram: Histogram) -> float:
    """The range in which 128 levels resemble the values' distribution most, once what is larger is clipped.

    Least Kullback-Leibler divergence; the widest range where several are equal. Source: S. Migacz, 8-bit Inference
    with TensorRT, GTC 2017. Three things are ours: zeros are left out, because they are represented exactly and a peak
    of them would outweigh the shape of all other values; at most a tenth of the others is clipped (KEPT); and an
    outlier behind a gap can be clipped, too (_divergences).
    """
    counts = _used(histogram)
    if len(counts) <= STEPS:  # nothing to choose from: empty, all zeros, or values at the edge of float32
        return histogram.largest
    least = int(np.searchsorted(np.cumsum(counts), KEPT * counts.sum())) + 1
    candidates = np.arange(max(STEPS, least), len(counts) + 1)
    divergences = _divergences(counts, candidates)
    best = candidates[np.flatnonzero(divergences <= divergences.min() + TIE)[-1]]
    return min(int(best) * histogram.width, histogram.largest)


METHODS: dict[str, Callable[[Histogram], float]] = {
    "mse": mse,
    "percentile": percentile,
    "entropy": entropy,
    "minmax": minmax,
}


def _used(histogram: Histogram) -> Values:
    """Counts up to the last bin that has any."""
    return np.trim_zeros(histogram.counts, "b").astype(np.float64)


def _error_up_to(x: Values, step: float) -> Values:
    """The integral from 0 to x of the squared error of rounding to a multiple of `step`, at most LEVELS of them.

    Each whole step adds step³/12 and the distance r from the last multiple r³/3: beyond it, that is the clipping.
    """
    multiple = np.minimum(np.rint(x / step), LEVELS)
    rest = x - multiple * step
    return multiple * (step**3 / 12) + rest * rest * rest / 3  # not rest**3: numpy's power is 100 times slower


def _divergences(counts: Values, candidates: NDArray[np.int64]) -> Values:
    """KL(P‖Q) for each number n of bins that are kept.

    P: the first n bins, all further counts added to the last of them. Q: those bins without what was added, summed in
    128 groups and spread evenly over the bins of each group that are not empty. Q must have what P has: a last bin
    that is empty is taken to hold one value, or no outlier behind a gap could ever be clipped.
    A group is a run of bins, so every sum is a difference of running ones: with c the counts of P and T their total,
    Σ p log p − Σ p log q = (Σ c log c − Σ c log q) / T − log T.
    """
    running = _running(counts)
    kept, total, last = running[candidates], running[-1], counts[candidates - 1]
    outliers, lone = total - kept, (last == 0).astype(np.float64)
    own = _running(_times_log(counts))[candidates - 1] + _times_log(last + outliers)
    # Group g of n bins holds the bins j with floor(j · 128 / n) = g.
    bounds = -(-candidates[:, None] * np.arange(STEPS + 1) // STEPS)
    p_mass = np.diff(running[bounds])
    q_mass, filled = p_mass.copy(), np.diff(_running((counts > 0).astype(np.float64))[bounds])
    p_mass[:, -1] += outliers
    q_mass[:, -1] += lone
    filled[:, -1] += lone
    log_q = np.log(np.where(q_mass > 0, q_mass / np.maximum(filled, 1), 1)) - np.log(kept + lone)[:, None]
    divergences: Values = (own - (p_mass * log_q).sum(axis=1)) / total - np.log(total)
    return divergences


def _running(values: Values) -> Values:
    """Sums of the first 0, 1, 2 … values."""
    return np.concatenate(([0.0], np.cumsum(values)))


def _times_log(values: Values) -> Values:
    """x log x, 0 where x is 0."""
    return values * np.log(np.where(values > 0, values, 1.0))
