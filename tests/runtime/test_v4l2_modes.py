"""Which of its forms a V4L2 camera is asked for, and how its controls are spelt."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeblur import Failure
from runtime.sources.v4l2_controls import control_name
from runtime.sources.v4l2_modes import CODECS, DEFAULT_RATE, DEFAULT_SIZE, Mode, choose, codec_of
from runtime.sources.v4l2_offer import _nearest

RATES = st.fractions(1, 240, max_denominator=1001)
SIZES = st.tuples(st.integers(16, 4000), st.integers(16, 4000))
MODES = st.builds(Mode, st.sampled_from(sorted(CODECS)), SIZES, st.lists(RATES, max_size=4).map(tuple))


def mode(codec: str, height: int, width: int, *rates: float) -> Mode:
    return Mode(codec, (height, width), tuple(Fraction(rate) for rate in rates))


# A usual USB 2 webcam: uncompressed it is slow beyond VGA.
WEBCAM = [
    mode("MJPG", 480, 640, 30, 15),
    mode("MJPG", 720, 1280, 60, 30),
    mode("MJPG", 1080, 1920, 30),
    mode("YUYV", 480, 640, 30, 15),
    mode("YUYV", 720, 1280, 10),
    mode("YUYV", 1080, 1920, 5),
]


@pytest.mark.parametrize(
    ("size", "rate", "expected"),
    [
        (DEFAULT_SIZE, DEFAULT_RATE, ("MJPG", (720, 1280), 30)),
        ((480, 640), Fraction(30), ("YUYV", (480, 640), 30)),
        ((480, 640), Fraction(30000, 1001), ("YUYV", (480, 640), 30)),
        ((720, 1280), Fraction(10), ("YUYV", (720, 1280), 10)),
        ((720, 1280), Fraction(60), ("MJPG", (720, 1280), 60)),
        ((1080, 1920), Fraction(5), ("YUYV", (1080, 1920), 5)),
        ((1200, 1600), Fraction(120), ("MJPG", (1080, 1920), 30)),
        ((100, 100), Fraction(15), ("YUYV", (480, 640), 15)),
    ],
)
def test_a_webcam(size: tuple[int, int], rate: Fraction, expected: tuple[str, tuple[int, int], int]) -> None:
    chosen, asked = choose(WEBCAM, size, rate)
    assert (chosen.codec, chosen.size, asked) == (*expected[:2], Fraction(expected[2]))


@given(st.lists(MODES, min_size=1, max_size=12), SIZES, RATES)
def test_no_mode_is_nearer_or_faster_than_the_chosen_one(
    modes: list[Mode], size: tuple[int, int], rate: Fraction
) -> None:
    chosen, asked = choose(modes, size, rate)

    def distance(one: Mode) -> int:
        return abs(one.size[0] - size[0]) + abs(one.size[1] - size[1])

    assert chosen in modes
    assert distance(chosen) == min(map(distance, modes))
    assert asked in chosen.rates or (asked is None and not chosen.rates)
    alike = [one for one in modes if distance(one) == distance(chosen)]
    reached = [one for one in alike if max(one.rates, default=rate) >= rate]
    if reached:
        assert max(chosen.rates, default=rate) >= rate * Fraction(49, 50)
        assert list(CODECS).index(chosen.codec) <= min(list(CODECS).index(one.codec) for one in reached)


@given(st.integers(0, 5000), st.integers(1, 2000), st.integers(0, 2000), st.integers(0, 64))
def test_the_size_of_a_range_that_is_nearest(value: int, least: int, more: int, step: int) -> None:
    found = _nearest(value, least, least + more, step)
    allowed = range(least, least + more + 1, max(step, 1))
    assert found in allowed
    assert abs(found - value) == min(abs(one - value) for one in allowed)


@pytest.mark.parametrize(
    ("name", "letters"), [("mjpeg", "MJPG"), ("YUYV", "YUYV"), ("yuy2", "YUYV"), ("I420", "YU12"), ("gray", "GREY")]
)
def test_names_of_formats(name: str, letters: str) -> None:
    assert codec_of(name) == letters


def test_a_format_that_is_not_read_here() -> None:
    with pytest.raises(Failure, match="expected one of: yuyv, uyvy, nv12, yu12, bgr3, rgb3, mjpeg, grey"):
        codec_of("h264")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Exposure, Auto", "exposure_auto"),
        ("White Balance Temperature, Auto", "white_balance_temperature_auto"),
        ("Pan (Absolute)", "pan_absolute"),
        ("LED1 Mode", "led1_mode"),
        (" Gain ", "gain"),
    ],
)
def test_controls_are_spelt_as_v4l2_ctl_does(text: str, name: str) -> None:
    assert control_name(text) == name
