"""Composed pictures and PSNR."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from runtime.measure.quality import EVERY, FRAMES, Quality, psnr
from runtime.views import DIVIDER, compose

RNG = np.random.default_rng(3)
BEFORE, AFTER = RNG.integers(0, 256, (2, 17, 31, 3), dtype=np.uint8)


def test_output_is_the_result() -> None:
    assert compose("output", BEFORE, AFTER) is AFTER


def test_side_by_side_is_twice_as_wide() -> None:
    picture = compose("side-by-side", BEFORE, AFTER)
    assert picture.shape == (17, 62, 3)
    assert (picture[:, :31] == BEFORE).all()
    assert (picture[:, 31:] == AFTER).all()


def test_split_is_half_and_half_with_a_line() -> None:
    picture = compose("split", BEFORE, AFTER)
    assert (picture[:, :15] == BEFORE[:, :15]).all()
    assert (picture[:, 15] == DIVIDER).all()
    assert (picture[:, 16:] == AFTER[:, 16:]).all()


@pytest.mark.parametrize(("view", "after"), [("mosaic", AFTER), ("split", AFTER[1:])])
def test_nonsense_is_refused(view: str, after: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"view|shape"):
        compose(view, BEFORE, after)


def test_psnr_is_scikit_images() -> None:
    theirs = peak_signal_noise_ratio(BEFORE, AFTER, data_range=255)  # type: ignore[no-untyped-call]
    assert psnr(BEFORE, AFTER) == pytest.approx(theirs, abs=1e-9)
    assert psnr(BEFORE, BEFORE) == math.inf
    black, white = np.zeros((5, 3, 3), np.uint8), np.full((5, 3, 3), 255, np.uint8)
    assert psnr(black, white) == 0


@pytest.mark.parametrize("other", [AFTER[1:], AFTER[:, :, :1], AFTER.astype(np.float32)])
def test_psnr_refuses_what_it_cannot_compare(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two uint8 pictures of one shape"):
        psnr(BEFORE, other)


def test_quality_is_measured_where_there_is_a_reference() -> None:
    quality = Quality()
    quality.add(BEFORE, AFTER, None)
    assert quality.summary() is None
    for _ in range(EVERY * FRAMES + 5):
        quality.add(BEFORE, BEFORE, AFTER)
    assert quality.summary() == {"frames": FRAMES, "before_db": psnr(BEFORE, AFTER), "after_db": psnr(BEFORE, AFTER)}
