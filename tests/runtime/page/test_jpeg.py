"""JPEGs as they decode: colours, sizes, halves that keep to themselves, quality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame import Image
from runtime.measure.quality import psnr
from runtime.page.jpeg import JpegEncoder
from runtime.sources.scene import render_loop
from tests.runtime.page.mjpeg import decoded

COLOURS = {"blue": (255, 0, 0), "green": (0, 255, 0), "red": (0, 0, 255), "grey": (90, 90, 90), "white": (255,) * 3}


def flat(colour: tuple[int, ...], size: tuple[int, int] = (48, 80)) -> Image:
    return np.full((*size, 3), colour, np.uint8)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("width", [32, 80])
def test_colours_come_back(colour: str, width: int) -> None:
    image = flat(COLOURS[colour])
    back = decoded(JpegEncoder((48, 80), 1, width, 90).encode([image]))
    assert np.abs(back.astype(int) - COLOURS[colour]).max() <= 6


@pytest.mark.parametrize("width", [96, 160])
def test_halves_do_not_bleed_into_each_other(width: int) -> None:
    back = decoded(JpegEncoder((48, 80), 2, width, 90).encode([flat(COLOURS["red"]), flat(COLOURS["blue"])]))
    half = back.shape[1] // 2
    assert np.abs(back[:, :half].astype(int) - COLOURS["red"]).max() <= 6
    assert np.abs(back[:, half:].astype(int) - COLOURS["blue"]).max() <= 6


@given(
    st.integers(9, 90),
    st.integers(9, 90),
    st.integers(1, 2),
    st.integers(16, 200),
    st.integers(1, 100),
)
@settings(max_examples=60, deadline=None)
def test_any_size_is_encoded_and_never_enlarged(height: int, width: int, parts: int, most: int, quality: int) -> None:
    images = [np.zeros((height, width, 3), np.uint8)] * parts
    back = decoded(JpegEncoder((height, width), parts, most, quality).encode(images))
    assert back.shape[1] <= max(min(most, width * parts), 16 * parts)
    assert abs(back.shape[0] / height - back.shape[1] / parts / width) < 0.2 + 2 / height


def test_more_quality_is_more_of_the_picture_and_of_the_link() -> None:
    image = render_loop((90, 160))[0][0]
    jpegs = [JpegEncoder((90, 160), 1, 160, quality).encode([image]) for quality in (10, 50, 95)]
    assert len(jpegs[0]) < len(jpegs[1]) < len(jpegs[2])
    assert psnr(decoded(jpegs[0]), image) < psnr(decoded(jpegs[2]), image)
    assert psnr(decoded(jpegs[2]), image) > 30


def test_one_encoder_goes_on_for_many_pictures() -> None:
    encoder = JpegEncoder((48, 80), 1, 80, 90)
    for value in range(0, 250, 10):
        assert abs(int(decoded(encoder.encode([flat((value,) * 3)])).mean()) - value) <= 3


def test_pictures_with_gaps_between_their_rows_are_taken() -> None:
    wide = np.zeros((48, 200, 3), np.uint8)
    wide[:, :80] = COLOURS["red"]
    back = decoded(JpegEncoder((48, 80), 1, 80, 90).encode([wide[:, :80]]))
    assert np.abs(back.astype(int) - COLOURS["red"]).max() <= 6
