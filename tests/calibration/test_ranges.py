"""The methods that read a range from a histogram, against direct and literal computation on the values themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.graph.quantise import LEVELS
from calibration.observers.histogram import Histogram
from calibration.observers.ranges import METHODS, entropy, minmax, mse, percentile

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Values]
COUNT = 20_000
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng: rng.normal(0, 1, COUNT),
    "lopsided": lambda rng: np.where((x := rng.normal(0.5, 1, COUNT)) > 0, x, 0.1 * x),
    "relu": lambda rng: np.maximum(rng.normal(0, 3e-3, COUNT), 0),
    "sparse": lambda rng: np.where(rng.random(COUNT) < 0.95, 0, rng.exponential(40, COUNT)),
    "laplace": lambda rng: rng.laplace(0, 7, COUNT),
    "uniform": lambda rng: rng.uniform(-1, 1, COUNT),
    "saturated": lambda rng: np.clip(rng.normal(0, 2, COUNT), 0, 1),
    "outlier": lambda rng: np.concatenate((rng.normal(0, 1, COUNT), [-60.0])),
    "pixels": lambda rng: rng.normal(130, 30, COUNT).round().clip(20, 255) / 255,
    "constant": lambda rng: np.full(COUNT, 0.7),
}
MAGNITUDES = st.lists(st.floats(-1e4, 1e4, width=32).filter(lambda x: abs(x) > 1e-20 or x == 0), max_size=60)


def histogram_of(values: Values) -> Histogram:
    histogram = Histogram()
    histogram.add(values)
    return histogram


def restored(values: Values, largest: float) -> Values:
    """The values after INT8 with that range."""
    scale = largest / LEVELS
    found: Values = np.rint(values / scale).clip(-LEVELS, LEVELS) * scale
    return found


def squared_error(values: Values, largest: float) -> float:
    return float(np.mean((restored(values, largest) - values) ** 2))


@pytest.fixture(params=DISTRIBUTIONS)
def values(request: pytest.FixtureRequest) -> Values:
    return DISTRIBUTIONS[request.param](np.random.default_rng(3)).astype(np.float32).astype(np.float64)


def test_mse_is_as_good_as_the_best_of_a_direct_sweep(values: Values) -> None:
    largest = np.abs(values).max()
    direct = min(squared_error(values, share * largest) for share in np.linspace(0.01, 1, 300))
    found = squared_error(values, mse(histogram_of(values)))
    # A bin is up to 1/16 of a step wide, which blurs where values lie; the grids differ, too.
    assert found <= 1.02 * direct + (largest / 2048) ** 2 / 12
    assert found <= squared_error(values, largest) + (largest / 2048) ** 2 / 12


def test_mse_clips_an_outlier_and_keeps_what_matters() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 200_000), -60.0)
    found = mse(histogram_of(values))
    assert 4 < found < 40
    assert squared_error(values, found) < 0.7 * squared_error(values, 60.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_peak_of_zeros_changes_nothing(method: str) -> None:
    values = np.random.default_rng(1).exponential(1, 5000)
    spiked = np.concatenate((values, np.zeros(2_000_000)))
    assert METHODS[method](histogram_of(spiked)) == METHODS[method](histogram_of(values))


@pytest.mark.parametrize("share", [0.9999, 0.99, 0.5, 1.0])
def test_percentile_is_numpys_to_a_bins_width(values: Values, share: float) -> None:
    histogram = histogram_of(values)
    magnitudes = np.abs(values[values != 0])
    direct = np.quantile(magnitudes, share, method="inverted_cdf")
    assert direct <= percentile(histogram, share) <= direct + histogram.width
    if share == 0.9999:
        assert percentile(histogram) == percentile(histogram, share)


def literal_entropy(histogram: Histogram) -> tuple[float, list[float]]:
    """GTC 2017 with our three changes, step by step: the range, and the divergence of 128, 129 … bins kept."""
    counts = histogram.counts.astype(np.float64)
    divergences = []
    for kept in range(128, int(np.flatnonzero(counts)[-1]) + 2):
        if counts[:kept].sum() < 0.9 * counts.sum():
            divergences.append(np.inf)
            continue
        p, q = counts[:kept].copy(), counts[:kept].copy()
        p[-1] += counts[kept:].sum()
        q[-1] = max(q[-1], 1)
        level = np.arange(kept) * 128 // kept
        holding = q > 0
        q[holding] = (np.bincount(level, q)[level] / np.bincount(level, holding)[level].clip(1))[holding]
        p, q = p / p.sum(), q / q.sum()
        divergences.append(float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()))
    widest = max(i for i, divergence in enumerate(divergences) if divergence <= min(divergences) + 1e-9)
    return min((128 + widest) * histogram.width, histogram.largest), divergences


def test_entropy_is_the_literal_methods(values: Values) -> None:
    histogram = histogram_of(values)
    found = entropy(histogram)
    direct, divergences = literal_entropy(histogram)
    assert min(divergences) >= -1e-12
    assert found == direct


@pytest.mark.parametrize("outlier", [30.0, 60.0, 5000.0])
def test_entropy_clips_an_outlier_and_minmax_keeps_it(outlier: float) -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 100_000), outlier)
    histogram = histogram_of(values)
    # No fewer than 128 bins can be kept, at most 1/16 of the largest magnitude.
    assert 3 < entropy(histogram) <= max(5, outlier / 16)
    assert minmax(histogram) == outlier


def test_entropy_does_not_take_one_peak_for_a_perfect_copy_of_another(values: Values) -> None:
    """Data away from zero: with only a few values kept and all others on top of them, both would be one peak."""
    magnitudes = np.abs(values[values != 0])
    assert np.mean(magnitudes <= entropy(histogram_of(values))) >= 0.9


@pytest.mark.parametrize("rare", range(1, 10))
def test_of_equal_divergences_the_widest_range_wins(rare: int) -> None:
    """Clipping one of two values onto the other loses nothing that the divergence sees."""
    assert entropy(histogram_of(np.repeat([0.3, -0.9], [1000 - rare, rare]))) == np.float32(0.9)


def test_entropy_keeps_a_second_cluster_that_weighs() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate((rng.normal(1, 0.3, 60_000), rng.normal(20, 0.3, 40_000)))
    assert entropy(histogram_of(values)) > 20


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("nothing", [np.zeros(0), np.zeros((3, 4))])
def test_nothing_has_the_range_zero(method: str, nothing: Values) -> None:
    assert METHODS[method](histogram_of(nothing)) == 0.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [1e-45, 1e-38, 3.4e38])
def test_one_value_at_the_ends_of_float32(method: str, value: float) -> None:
    assert METHODS[method](histogram_of(np.full(5, value, np.float32))) == pytest.approx(np.float32(value), rel=1e-2)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(values=MAGNITUDES, power=st.integers(-20, 20))
def test_ranges_lie_within_the_data_and_scale_with_it(method: str, values: list[float], power: int) -> None:
    array = np.array(values, np.float32).astype(np.float64)
    found = METHODS[method](histogram_of(array))
    assert (0 < found <= np.abs(array).max()) if array.any() else found == 0
    assert METHODS[method](histogram_of(array * 2.0**power)) == found * 2.0**power
    assert METHODS[method](histogram_of(-array[::-1])) == found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=MAGNITUDES.filter(any), method=st.sampled_from(list(METHODS)))
def test_inside_the_range_no_value_is_off_by_more_than_half_a_step(values: list[float], method: str) -> None:
    array = np.array(values, np.float32).astype(np.float64)
    largest = METHODS[method](histogram_of(array))
    off = np.abs(restored(array, largest) - array)
    inside = np.abs(array) <= largest
    assert (off[inside] <= 0.5 * largest / LEVELS * (1 + 1e-12)).all()
    assert np.allclose(off[~inside], np.abs(array[~inside]) - largest, rtol=1e-12)
