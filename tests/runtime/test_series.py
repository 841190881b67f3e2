"""Statistics against what they are defined to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.measure.series import Series, nearest_rank

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(VALUES, st.integers(1, 100))
def test_nearest_rank_is_its_definition(values: list[float], percent: int) -> None:
    found = nearest_rank(sorted(values), percent)
    enough = [value for value in values if 100 * sum(other <= value for other in values) >= percent * len(values)]
    assert found == min(enough)


@given(VALUES)
def test_mean_and_deviation_are_numpys(values: list[float]) -> None:
    series = Series(1024)
    for value in values:
        series.add(value)
    summary = series.summary()
    assert summary["n"] == len(values)
    assert summary["max"] == max(values)
    assert summary["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    if len(values) > 1:
        assert summary["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-5)


def test_p99_needs_a_thousand_values() -> None:
    series = Series()
    for value in range(1, 1000):
        series.add(value)
    assert series.summary()["p99"] == "n too small"
    series.add(1000)
    assert series.summary()["p99"] == 990


def test_percentiles_of_a_long_run_come_from_a_uniform_sample() -> None:
    series = Series(2000)
    for value in range(40000):
        series.add(value)
    summary = series.summary()
    assert not series.exact
    assert summary["n"] == 40000
    assert summary["max"] == 39999
    assert summary["mean"] == pytest.approx(19999.5)
    assert summary["p50"] == pytest.approx(20000, abs=2000)  # 4.5 standard deviations of the sample's median
    assert math.isfinite(float(summary["p90"] or 0))


def test_an_empty_series_says_nothing() -> None:
    assert Series().summary() == {key: 0 if key == "n" else None for key in Series().summary()}
