"""The streaming histogram against direct counting: whatever comes in whatever order is counted once and rightly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.observers.histogram import BINS, CHUNK, NARROWEST, Histogram

# 2**-150 of a bin is where a value counts as zero: the doc says so, and these stay clear of it.
VALUES = st.lists(st.floats(-1e4, 1e4, width=32, allow_subnormal=False) | st.just(0.0), max_size=100)


def histogram_of(*parts: NDArray[np.floating[Any]]) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def state(histogram: Histogram) -> tuple[list[int], int, float, float]:
    return histogram.counts.tolist(), histogram.zeros, histogram.width, histogram.largest


@settings(max_examples=60, deadline=None, derandomize=True)
@given(VALUES)
def test_counts_are_those_of_direct_counting(values: list[float]) -> None:
    array = np.array(values, np.float32)
    histogram = histogram_of(array)
    exact = np.abs(array.astype(np.float64))
    assert histogram.largest == exact.max(initial=0.0)
    assert histogram.zeros == np.count_nonzero(exact == 0)
    edges = np.arange(BINS + 1) * histogram.width
    below = [np.count_nonzero((exact > 0) & (exact <= edge)) for edge in edges]
    assert np.diff(below).tolist() == histogram.counts.tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(VALUES, st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_and_parts_do_not_matter(values: list[float], random: Any, parts: int) -> None:
    array = np.array(values, np.float32)
    shuffled = np.array(random.sample(values, len(values)), np.float32)
    assert state(histogram_of(*np.array_split(shuffled, parts))) == state(histogram_of(array))


def test_arrays_larger_than_a_chunk_of_any_shape_and_layout() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(0, 1, (3, 5, CHUNK // 7 + 1)).astype(np.float32)
    assert histogram_of(array).counts.sum() == array.size
    assert state(histogram_of(array.T)) == state(histogram_of(array))
    assert state(histogram_of(array[:, ::2], array[:, 1::2])) == state(histogram_of(array))


def test_zeros_that_came_first_are_kept() -> None:
    histogram = histogram_of(np.zeros((2, 3), np.float32), np.zeros(0, np.float32), np.array([0.0, -0.0, -3.0]))
    assert histogram.zeros == 8
    assert histogram.counts.sum() == 1
    assert histogram.largest == 3.0


@pytest.mark.parametrize("empty", [np.zeros(0, np.float32), np.zeros((0, 4), np.float16)])
def test_nothing_is_counted_of_nothing(empty: NDArray[np.floating[Any]]) -> None:
    assert state(histogram_of(empty)) == state(Histogram())


@pytest.mark.parametrize("order", [(1e-30, 1e30), (1e30, 1e-30)])
def test_sixty_magnitudes_apart(order: tuple[float, float]) -> None:
    histogram = histogram_of(*(np.full(3, value, np.float32) for value in order))
    assert histogram.counts.sum() + histogram.zeros == 6
    assert histogram.counts[int(np.float32(1e30) / histogram.width)] == 3
    assert histogram.largest == np.float32(1e30)


@pytest.mark.parametrize("value", [np.finfo(np.float32).max, np.finfo(np.float32).tiny, 1e-45, 2.0**-10, 65504.0])
def test_the_ends_of_float32(value: float) -> None:
    histogram = histogram_of(np.array([value, -value, value / 2], np.float32))
    assert histogram.largest == np.float32(value)
    assert histogram.counts.sum() + histogram.zeros == 3
    assert histogram.largest <= BINS * histogram.width
    assert histogram.largest >= BINS / 2 * histogram.width or histogram.width == NARROWEST


def test_other_float_types_are_counted_as_float32() -> None:
    half = np.array([0.0, 1e-7, -65504, 3.14159, 0.1], np.float16)
    assert state(histogram_of(half)) == state(histogram_of(half.astype(np.float32)))
    assert state(histogram_of(half.astype(np.float64))) == state(histogram_of(half.astype(np.float32)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_not_finite_is_refused_before_anything_is_counted(bad: float, position: int) -> None:
    array = np.array([1.0, -70.0, 0.0])
    histogram = histogram_of(array)
    before = state(histogram)
    array[position] = bad
    with pytest.raises(ValueError, match="infinite or not a number"):
        histogram.add(array)
    assert state(histogram) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_half_precision_overflow_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not a number"):
        Histogram().add(np.array([1, bad], np.float16))
