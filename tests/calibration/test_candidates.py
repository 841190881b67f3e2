"""Candidates: never more than their capacity, and what is rare is still among them in the end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.frames.candidates import Candidates
from runtime.frame import Frame, Image


def frame(place: int, image: Image) -> Frame:
    return Frame(image, place, 0)


def noisy(grey: float, rng: np.random.Generator) -> Image:
    return np.clip(rng.normal(grey, rng.uniform(1, 9), (6, 9, 3)), 0, 255).astype(np.uint8)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.integers(1, 60),
    st.integers(2, 16),
    st.integers(1, 20),
    st.dictionaries(st.integers(0, 60), st.integers(2, 16), max_size=3),
)
def test_a_bounded_number_in_order(length: int, capacity: int, least: int, shrinks: dict[int, int]) -> None:
    rng = np.random.default_rng(length)
    candidates = Candidates(capacity, least)
    for place in range(length):
        candidates.shrink(shrinks.get(place, capacity))
        candidates.add(frame(place, noisy(100, rng)))
        assert len(candidates.held) <= candidates.capacity
    assert candidates.seen == length
    assert candidates.features.shape == (length, 4)
    assert list(candidates.held) == sorted(candidates.held)
    assert all(place == held.index for place, held in candidates.held.items())
    assert len(candidates.held) >= min(length, least, candidates.capacity)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 299), st.integers(0, 99))
def test_the_one_dark_frame_is_still_there_in_the_end(dark: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    candidates = Candidates(12, 3)
    for place in range(300):
        candidates.add(frame(place, noisy(20 if place == dark else rng.uniform(90, 150), rng)))
    assert dark in candidates.held
    assert dark in candidates.spread(candidates.held, 3)


@pytest.mark.parametrize("seed", range(4))
def test_few_that_were_held_cover_as_well_as_few_of_all(seed: int) -> None:
    """A camera before which something happens in 3 % of its frames: a uniform sample would miss most of that."""
    rng = np.random.default_rng(seed)
    candidates = Candidates(32, 8)
    for place in range(500):
        candidates.add(frame(place, noisy(rng.uniform(20, 230) if rng.random() < 0.03 else 120, rng)))
    features = candidates.features[:, :3]  # of unrelated noise there is no motion
    points = (features - features.mean(0)) / features.std(0)
    found = radius(points, candidates.spread(candidates.held, 8))
    assert found <= 1.1 * radius(points, candidates.spread(range(500), 8))
    samples = [sorted(rng.permutation(500)[:32].tolist()) for _ in range(20)]
    assert found < 0.6 * np.mean([radius(points, candidates.spread(sample, 8)) for sample in samples])


def radius(points: NDArray[np.float64], chosen: list[int]) -> float:
    return float(np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1).max())


def test_motion_is_that_since_the_frame_before_even_where_it_is_not_held() -> None:
    ramp = np.repeat(np.arange(0, 250, 5, dtype=np.uint8)[None, :, None], 20, 0).repeat(3, 2)  # (20, 50, 3)
    candidates = Candidates(2, 1)
    for place, shift in enumerate((0, 1, 3, 6)):
        candidates.add(frame(place, np.ascontiguousarray(ramp[:, shift : shift + 40])))
    assert len(candidates.held) == 2
    assert candidates.features[:, 3].tolist() == pytest.approx([0, 5, 10, 15])
