"""PSNR and SSIM against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.evaluation.metrics import capped_psnr, psnr, ssim


@settings(max_examples=25, deadline=None, derandomize=True)
@given(height=st.integers(11, 40), width=st.integers(11, 40), sigma=st.floats(0.5, 60), seed=st.integers(0, 2**32 - 1))
def test_equal_to_scikit_image(height: int, width: int, sigma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = np.clip(reference + rng.normal(0, sigma, reference.shape) + 1, 0, 255).astype(np.uint8)
    expected_psnr = peak_signal_noise_ratio(reference, image, data_range=255)  # type: ignore[no-untyped-call]
    assert psnr(image, reference) == pytest.approx(expected_psnr, abs=1e-6)
    expected_ssim = structural_similarity(  # type: ignore[no-untyped-call]
        reference,
        image,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert ssim(image, reference) == pytest.approx(expected_ssim, abs=1e-6)


def test_equal_frames() -> None:
    frame = np.full((12, 30, 3), 77, np.uint8)
    assert psnr(frame, frame) == float("inf")
    assert capped_psnr(frame, frame) == 100
    assert capped_psnr(frame, frame - np.uint8(2)) == psnr(frame, frame - np.uint8(2)) < 100
    assert ssim(frame, frame) == pytest.approx(1)


def test_wrong_shapes_are_named() -> None:
    frame = np.zeros((12, 30, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(12, 30, 3\).*\(30, 12, 3\)"):
        psnr(frame, frame.transpose(1, 0, 2))
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(frame[:10], frame[:10])
