"""What a V4L2 camera sends becomes the right colours: formats, matrices, ranges, padding, JPEG and its damage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.frame import Image
from runtime.sinks.image_sink import encode_image
from runtime.sources import v4l2_api as api
from runtime.sources.v4l2_jpeg import JpegPictures
from runtime.sources.v4l2_offer import Agreed
from runtime.sources.v4l2_raw import RawPictures
from runtime.sources.v4l2_stream import capture_time
from tests.runtime.v4l2_stub.devices import bgr_by_formula, pack

YUV = ("YUYV", "UYVY", "NV12", "YU12")
# (colour space, encoding, quantization) as drivers name them, with the matrix and whether the range is limited.
COLOURS = [
    ((8, 0, 0), "601", True),  # sRGB, as webcams say
    ((0, 0, 0), "601", True),
    ((1, 0, 0), "601", True),
    ((3, 0, 0), "709", True),
    ((8, 2, 0), "709", True),
    ((3, 1, 0), "601", True),
    ((3, 0, 1), "709", False),
    ((8, 4, 2), "709", True),
    ((7, 0, 0), "601", False),  # JPEG
    ((8, 1, 1), "601", False),
    ((10, 0, 0), "2020", True),
]


def agreed(codec: str, size: tuple[int, int], stride: int = 0, colours: tuple[int, int, int] = (0, 0, 0)) -> Agreed:
    pix = api.PixFormat(height=size[0], width=size[1], bytesperline=stride)
    pix.colorspace, pix.ycbcr_enc, pix.quantization = colours
    return Agreed(codec, size, None, pix)


def bars(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Y'CbCr (H, W, 3) in bars of 16 pixels, with values that are legal in both ranges."""
    values = np.array([(180, 128, 128), (60, 90, 200), (130, 54, 34), (28, 212, 120), (180, 44, 142), (110, 180, 70)])
    columns = values[np.arange(size[1]) // 16 % len(values)]
    return np.ascontiguousarray(np.broadcast_to(columns, (*size, 3))).astype(np.uint8)


@pytest.mark.parametrize("codec", YUV)
@pytest.mark.parametrize(("colours", "matrix", "limited"), COLOURS)
@pytest.mark.parametrize("pad", [0, 40])
def test_bars_come_out_right(codec: str, colours: tuple[int, int, int], matrix: str, limited: bool, pad: int) -> None:
    yuv = bars((34, 96))
    stride = (192 if codec in ("YUYV", "UYVY") else 96) + pad
    image = RawPictures(agreed(codec, (34, 96), stride, colours)).bgr(pack(yuv, codec, pad))
    assert image is not None
    middles = slice(8, None, 16)
    assert np.abs(image[:, middles] - bgr_by_formula(yuv, matrix, limited)[:, middles]).max() <= 2


@pytest.mark.parametrize("codec", ["BGR3", "RGB3", "GREY"])
@pytest.mark.parametrize("limited", [False, True])
def test_plain_pictures_are_exact(codec: str, limited: bool) -> None:
    image = np.random.default_rng(4).integers(0, 256, (13, 22, 3), np.uint8)
    image = image[:, :, :1].repeat(3, 2) if codec == "GREY" else image
    data = pack(image[:, :, ::-1] if codec == "RGB3" else image, codec, 10)
    stride = (22 if codec == "GREY" else 66) + 10
    found = RawPictures(agreed(codec, (13, 22), stride, (8, 0, 2 if limited else 0))).bgr(data)
    assert found is not None
    expected = np.clip(np.rint((image.astype(float) - 16) * 255 / 219), 0, 255) if limited else image
    assert (found == expected).all()
    assert found.flags.writeable
    assert found.flags.c_contiguous


@settings(max_examples=60, deadline=None)
@given(st.sampled_from((*YUV, "BGR3", "GREY")), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.data())
def test_any_size_and_any_cut(codec: str, height: int, width: int, pad: int, data: st.DataObject) -> None:
    height, width = (height + height % 2, width + width % 2) if codec in YUV else (height, width)
    picture = pack(np.full((height, width, 3), 128, np.uint8), codec, 8 * pad)
    rows = {"YUYV": 2, "UYVY": 2, "BGR3": 3}.get(codec, 1) * width
    pictures = RawPictures(agreed(codec, (height, width), rows + 8 * pad))
    image = pictures.bgr(picture)
    assert image is not None
    assert image.shape == (height, width, 3)
    assert np.abs(image.astype(int) - (130 if codec in YUV else 128)).max() <= 1
    # The padding after the last row may be missing; not more.
    last = 8 * pad // 2 if codec == "YU12" else 8 * pad
    assert pictures.bgr(picture[: len(picture) - last]) is not None
    cut = data.draw(st.integers(0, len(picture) - last - 1))
    assert pictures.bgr(picture[:cut]) is None


def colourful(size: tuple[int, int]) -> Image:
    ramp = np.linspace(0, 255, size[1]).astype(np.uint8)
    down = np.linspace(40, 200, size[0]).astype(np.uint8)
    across, along = np.broadcast_to(ramp, size), np.broadcast_to(down[:, None], size)
    return np.ascontiguousarray(np.stack([across, 255 - across, along], -1))


def jpeg_of(size: tuple[int, int], colours: tuple[int, int, int] = (0, 0, 0)) -> tuple[JpegPictures, list[str]]:
    notes: list[str] = []
    return JpegPictures(agreed("MJPG", size, 0, colours), notes.append), notes


@pytest.mark.parametrize("colours", [(0, 0, 0), (8, 0, 0), (7, 0, 0), (8, 1, 0), (3, 0, 1)])
def test_jpeg_is_601_at_full_range_unless_the_driver_says_otherwise(colours: tuple[int, int, int]) -> None:
    image = colourful((60, 90))
    found = jpeg_of((60, 90), colours)[0].bgr(encode_image(image, ".jpg"))
    assert found is not None
    assert np.abs(found.astype(int) - image).max() <= 6  # of coding at the best quality


@pytest.mark.parametrize(("colours", "matrix", "limited"), [((8, 2, 0), "709", False), ((8, 1, 2), "601", True)])
def test_jpeg_in_the_colours_that_the_driver_names(colours: tuple[int, int, int], matrix: str, limited: bool) -> None:
    flat = np.full((16, 32, 3), (60, 130, 190), np.uint8)
    found = jpeg_of((16, 32), colours)[0].bgr(encode_image(flat, ".jpg"))
    red, green, blue = 190.0, 130.0, 60.0
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    coded = np.rint([y, 128 + (blue - y) / 1.772, 128 + (red - y) / 1.402]).astype(np.uint8)
    assert found is not None
    assert np.abs(found[8, 16] - bgr_by_formula(coded, matrix, limited)).max() <= 2


def test_damaged_jpeg_is_left_out() -> None:
    pictures, notes = jpeg_of((60, 90))
    whole = encode_image(colourful((60, 90)), ".jpg")
    random = np.random.default_rng(3)
    assert pictures.bgr(whole) is not None
    for end in random.integers(0, int(len(whole) * 0.97), 30):
        assert pictures.bgr(whole[:end]) is None
    for _ in range(30):
        assert pictures.bgr(random.integers(0, 256, 3000, np.uint8).tobytes()) is None
    assert pictures.bgr(b"") is None
    assert pictures.bgr(encode_image(colourful((62, 90)), ".jpg")) is None
    assert pictures.bgr(whole) is not None
    assert notes == []


def test_a_camera_that_only_begins_badly_is_not_forgiven_its_damage_for_ever() -> None:
    pictures, notes = jpeg_of((60, 90))
    whole = encode_image(colourful((60, 90)), ".jpg")
    cut = whole[: len(whole) // 2]
    assert [pictures.bgr(cut) is None for _ in range(10)] == [True] * 8 + [False] * 2
    assert pictures.bgr(whole) is not None
    assert pictures.bgr(cut) is not None  # a single whole picture may be luck
    assert all(pictures.bgr(whole) is not None for _ in range(8))
    assert pictures.bgr(cut) is None
    assert len(notes) == 1


def test_what_follows_the_end_of_a_jpeg_is_padding() -> None:
    whole = encode_image(colourful((60, 90)), ".jpg")
    assert jpeg_of((60, 90))[0].bgr(whole + bytes(5000)) is not None


def test_a_jpeg_header_that_promises_too_much_is_refused() -> None:
    pictures, _ = jpeg_of((60, 90))
    data = bytearray(encode_image(colourful((60, 90)), ".jpg"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = b"\xff\xdc\xff\xdc"  # 65500 x 65500
    for _ in range(12):  # also once damage is borne
        assert pictures.bgr(bytes(data)) is None


NOW_NS = 5_000_000_000_000
MONOTONIC = api.BUF_FLAG_TIMESTAMP_MONOTONIC


@pytest.mark.parametrize(
    ("flags", "age_us", "stamped"),
    [
        (MONOTONIC, 12_000, True),
        (MONOTONIC | 0x10000 | 0x1, 12_000, True),  # of the start of exposure
        (MONOTONIC, 0, True),
        (0, 12_000, False),
        (0x4000, 12_000, False),  # copied
        (MONOTONIC, -5, False),
        (MONOTONIC, 11_000_000, False),
    ],
)
def test_the_drivers_stamp_counts_on_our_clock_only(flags: int, age_us: int, stamped: bool) -> None:
    stamp_us = NOW_NS // 1000 - age_us
    buffer = api.Buffer(flags=flags, timestamp=api.Timeval(stamp_us // 10**6, stamp_us % 10**6))
    assert capture_time(buffer, NOW_NS) == ((stamp_us * 1000, True) if stamped else (NOW_NS, False))
