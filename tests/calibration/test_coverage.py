"""Coverage: what the features tell, how little few frames leave out, and reasons that are true."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.frames.coverage import Features, farthest_first, features_of, half_luma, reasons, spread
from runtime.frame import Image

PLAIN = Features(sharpness=5.0, brightness=100.0, contrast=40.0, motion=3.0)


def scene(seed: int = 0, size: tuple[int, int] = (90, 130)) -> Image:
    """A picture with structure at all scales, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 1, (side, side, 3)), size[::-1], interpolation=cv2.INTER_CUBIC) for side in (4, 9, 40)
    ]
    return np.clip(110 + 18 * sum(layers), 0, 255).astype(np.uint8)


def look(picture: Image, before: Image | None = None) -> Features:
    return features_of(half_luma(picture), None if before is None else half_luma(before))


def table(features: Sequence[Features]) -> NDArray[np.float64]:
    return np.array([dataclasses.astuple(each) for each in features]).reshape(-1, 4)


def choose(features: Sequence[Features], count: int) -> list[tuple[int, str]]:
    """Places with reasons, of all of `features`."""
    chosen = spread(table(features), range(len(features)), count)
    return list(zip(chosen, reasons(table(features), chosen), strict=True))


def radius(points: NDArray[np.float64], chosen: list[int]) -> float:
    """How far the point that is left out worst is from its nearest chosen one."""
    return max(min(float(np.linalg.norm(point - points[place])) for place in chosen) for point in points)


POINTS = st.lists(st.tuples(*[st.integers(-9, 9)] * 3), min_size=1, max_size=9).map(lambda rows: np.array(rows, float))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(POINTS, st.integers(1, 11))
def test_each_prefix_covers_as_well_as_its_length_allows(points: NDArray[np.float64], count: int) -> None:
    order = farthest_first(points, count)
    assert len(order) == len(set(order)) == min(count, len(points))
    assert order == farthest_first(points, len(points))[:count]
    radii = [radius(points, order[:length]) for length in range(1, len(order) + 1)]
    assert radii == sorted(radii, reverse=True)
    for length, found in enumerate(radii, 1):
        best = min(radius(points, list(few)) for few in itertools.combinations(range(len(points)), length))
        assert found <= 2 * best + 1e-9


def test_the_first_is_nearest_to_the_mean() -> None:
    assert farthest_first(np.array([[3.0, 0], [-1, 1], [0.5, -1], [9, 9]]), 1) == [2]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_a_picture_of_any_size_has_features(height: int, width: int, seed: int) -> None:
    picture: Image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    found = look(picture)
    assert all(math.isfinite(value) and value >= 0 for value in vars(found).values())
    grey = picture @ np.array([0.114, 0.587, 0.299])
    if height % 2 == width % 2 == 0:
        half = grey.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        laplacian = cv2.Laplacian(half, cv2.CV_64F, borderType=cv2.BORDER_REPLICATE)
        assert found.brightness == pytest.approx(half.mean(), abs=1e-3)
        assert found.contrast == pytest.approx(half.std(), abs=1e-3)
        assert found.sharpness == pytest.approx(math.log2(1 + (laplacian**2).mean()), abs=1e-3)


def test_each_feature_follows_what_it_is_named_for() -> None:
    picture = scene()
    found = look(picture)
    blurred = [look(cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.uint8)).sharpness for sigma in (1, 2, 4)]
    assert found.sharpness > blurred[0] > blurred[1] > blurred[2]
    washed_out = look(picture // 2 + 100)
    assert washed_out.brightness > found.brightness + 20
    assert washed_out.contrast == pytest.approx(found.contrast / 2, rel=0.05)


def test_motion_is_that_of_one_scene() -> None:
    picture = scene(size=(96, 160))
    left, wide = picture[:, 8:], picture[:, :-8]
    shifts = [look(picture[:, shift : shift + 120], picture[:, :120]).motion for shift in (0, 2, 6)]
    assert shifts[0] == 0 < shifts[1] < shifts[2]
    assert look(left, wide).motion > 0
    assert look(picture).motion == 0
    assert look(picture, left).motion == 0, "another size"
    assert look(picture, scene(1, (96, 160))).motion == 0, "another scene"
    black = np.zeros_like(picture)
    assert look(picture, black).motion == look(black, picture).motion == 0
    fade = [np.full((48, 80, 3), grey, np.uint8) for grey in range(0, 250, 7)]
    for flat in fade:
        flat[9, 9] += 1  # a hot pixel
    assert not any(look(later, earlier).motion for earlier, later in itertools.pairwise(fade)), "flat is no scene"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"brightness": 20.0}, "darkest"),
        ({"brightness": 220.0}, "brightest"),
        ({"sharpness": 1.0}, "blurriest"),
        ({"sharpness": 9.0}, "sharpest"),
        ({"contrast": 2.0}, "least contrast"),
        ({"motion": 30.0}, "most motion"),
    ],
)
def test_the_odd_one_is_chosen_and_says_why(change: dict[str, float], why: str) -> None:
    features = [PLAIN] * 7 + [Features(**{**vars(PLAIN), **change})] + [PLAIN] * 3
    assert choose(features, 2) == [(0, "nearest to the average"), (7, why)]


def test_reasons_say_no_more_than_is_true() -> None:
    brightness = [100, 101, 240, 170, 40, 10, 100]
    found = choose([Features(5, value, 40, 3) for value in map(float, brightness)], 7)
    assert found == [
        (1, "nearest to the average"),
        (2, "brightest"),
        (5, "darkest"),
        (3, "brighter than the nearest before it"),
        (4, "brighter than the nearest before it"),
        (0, "darker than the nearest before it"),
        (6, "like one before it"),
    ]


def test_a_value_beyond_all_before_it_that_is_not_the_last_word() -> None:
    features = [Features(5, 100, 40, 0)] * 8 + [Features(9, 180, 60, 0), Features(5.5, 190, 40, 0)]
    assert choose(features, 2)[1] == (8, "sharpest")
    assert choose(features, 3)[2] == (9, "brightest")
    features = [Features(5, 100, 40, 0)] * 8 + [Features(5, 180, 60, 0), Features(5, 181, 40, 0)]
    assert choose(features, 2)[1] == (8, "most contrast")


def test_unknown_motion_is_neither_much_nor_little() -> None:
    moving = [Features(5, 100, 40, motion) for motion in (4.0, 5.0, 6.0)]
    unknown = Features(5, 100, 40, 0)
    assert [place for place, _ in choose([unknown, *moving], 3)][1:] == [1, 3]
    album = [Features(5, 100 + place, 40, 0) for place in range(99)] + [Features(5, 149, 40, 60)]
    assert all("motion" not in why for _, why in choose(album, 9)), "one pair alike by chance is not what sets it apart"


def test_noise_of_a_constant_feature_weighs_nothing() -> None:
    rng = np.random.default_rng(3)
    sharpness = rng.permutation(20) ** 1.5
    clean = [Features(value, 100, 40, 0) for value in sharpness]
    noisy = [Features(value, rng.normal(100, 1e-3), rng.normal(40, 1e-3), 0) for value in sharpness]
    assert [place for place, _ in choose(noisy, 9)] == [place for place, _ in choose(clean, 9)]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([PLAIN, Features(0, 0, 0, 0), Features(9, 255, 99, 50)]), max_size=12), st.integers(0, 14)
)
def test_equal_frames_are_chosen_each_once(features: list[Features], count: int) -> None:
    chosen = choose(features, count)
    assert len({place for place, _ in chosen}) == len(chosen) == min(count, len(features))
    assert all(why == "like one before it" for _, why in chosen[len(set(features)) :])


def test_only_candidates_are_chosen_and_all_frames_are_the_measure() -> None:
    features = table([Features(5, value, 40, 3) for value in (0.0, 255.0, 90.0, 120.0, 135.0, 200.0)])
    chosen = spread(features, [5, 2, 3], 3)
    assert chosen == [3, 5, 2]
    assert reasons(features, chosen) == [
        "nearest to the average",
        "brighter than all before it",
        "darker than all before it",
    ]
    assert not spread(features, [], 3)
    assert not reasons(features, [])
