"""SSIM in numpy is scikit-image's, for any size and content."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from calibration.measure.ssim import BAND, ssim
from runtime.frame import Image


def expected(image: Image, reference: Image) -> float:
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            image,
            reference,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
    )


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(11, 2 * BAND + 15),
    width=st.integers(11, 60),
    span=st.sampled_from([(0, 256), (0, 3), (250, 256), (120, 136)]),
    noise=st.sampled_from([0, 1, 3, 255]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_scikit_image(height: int, width: int, span: tuple[int, int], noise: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(*span, (height, width, 3)).astype(np.uint8)
    reference = (image + rng.integers(-noise, noise + 1, image.shape)).clip(0, 255).astype(np.uint8)
    assert ssim(image, reference) == pytest.approx(expected(image, reference), abs=1e-5)


@pytest.mark.parametrize("level", [0, 1, 128, 254])
def test_flat_bright_and_dark_pictures(level: int) -> None:
    """Where the variance is nothing beside the mean, float32 could lose it."""
    flat = np.full((40, 23, 3), level, np.uint8)
    striped = flat.copy()
    striped[::2] += 1
    assert ssim(flat, striped) == pytest.approx(expected(flat, striped), abs=1e-5)
    assert ssim(flat, flat) == 1.0


def test_a_worse_picture_has_less_of_it_and_the_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (31, 50, 3)).astype(np.uint8)
    slightly, strongly = (
        (image + rng.normal(0, sigma, image.shape)).clip(0, 255).astype(np.uint8) for sigma in (3, 30)
    )
    assert 1.0 > ssim(slightly, image) > ssim(strongly, image)
    assert ssim(strongly, image) == pytest.approx(ssim(image, strongly), abs=1e-9)


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (1, 1)])
def test_no_window_fits(size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    assert math.isnan(ssim(picture, picture))


def test_one_window_fits() -> None:
    rng = np.random.default_rng(1)
    image, reference = (rng.integers(0, 256, (11, 11, 3)).astype(np.uint8) for _ in range(2))
    assert ssim(image, reference) == pytest.approx(expected(image, reference), abs=1e-5)


def test_other_shapes_and_types_are_refused() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(20, 30, 3\) and uint8 \(30, 20, 3\)"):
        ssim(picture, np.zeros((30, 20, 3), np.uint8))
    with pytest.raises(ValueError, match="float32"):
        ssim(picture, np.zeros(picture.shape, np.float32))
