"""Pictures of GStreamer: a sample's buffer as an image.

YUV is turned into BGR here, as that of all other sources: GStreamer's videoconvert is up to four levels too dark.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from runtime.frame import Image
from runtime.sources.v4l2_colours import MATRIX_240M, MATRIX_2020, Plane, fill
from runtime.sources.v4l2_raw import EXPANDED
from runtime.sources.video_io import (
    MATRIX_601,
    MATRIX_709,
    MATRIX_UNSPECIFIED,
    RANGE_FULL,
    RANGE_LIMITED,
    bgr_of,
)

PACKED = {"BGR": 3, "BGRx": 4, "GRAY8": 1}  # bytes a pixel; BGRx is what Jetsons make
YUV = {"I420": "yuv420p", "NV12": "nv12", "YUY2": "yuyv422", "UYVY": "uyvy422"}  # as FFmpeg calls them
FORMATS = (*PACKED, *YUV)  # what is asked for; videoconvert makes one of these of any other
MATRICES = {3: MATRIX_709, 4: MATRIX_601, 5: MATRIX_240M, 6: MATRIX_2020}  # GstVideoColorMatrix as FFmpeg numbers it
RANGES = {1: RANGE_FULL, 2: RANGE_LIMITED}  # GstVideoColorRange


def image_of(sample: Any, gst: ModuleType, video: ModuleType) -> Image:
    """A GstSample in one of FORMATS as (H, W, 3) uint8 BGR, with the line lengths that its buffer has.

    gst, video: the libraries Gst and GstVideo. Raises: ValueError where the buffer is smaller than its picture.
    """
    info, buffer = video.VideoInfo.new_from_caps(sample.get_caps()), sample.get_buffer()
    meta = video.buffer_get_video_meta(buffer)  # tells line lengths that are not the usual ones
    data, layout = _bytes(buffer, gst), meta if meta is not None else info
    planes = [
        np.ndarray((rows, used), np.uint8, data, layout.offset[number], (layout.stride[number], 1))
        for number, (rows, used) in enumerate(_extents(info))
    ]
    return _from_yuv(planes, info) if info.finfo.name in YUV else _from_packed(planes[0], info)


def _extents(info: Any) -> list[tuple[int, int]]:
    """(rows, used bytes of a row) of each plane."""
    form, height, width = info.finfo.name, info.height, info.width
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    if form == "I420":
        return [(height, width), (half_height, half_width), (half_height, half_width)]
    if form == "NV12":
        return [(height, width), (half_height, 2 * half_width)]
    return [(height, PACKED[form] * width if form in PACKED else 4 * half_width)]


def _from_packed(plane: Plane, info: Any) -> Image:
    full = EXPANDED[plane] if RANGES.get(int(info.colorimetry.range)) == RANGE_LIMITED else plane
    pixels = full.reshape(info.height, info.width, PACKED[info.finfo.name])
    if pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    image = np.empty((info.height, info.width, 3), np.uint8)
    for channel in range(3):  # four times as fast as all three at once
        image[:, :, channel] = pixels[:, :, channel % pixels.shape[2]]
    return image


def _from_yuv(planes: list[Plane], info: Any) -> Image:
    import av

    picture = av.VideoFrame(info.width, info.height, YUV[info.finfo.name])
    fill(picture, planes)
    picture.colorspace = MATRICES.get(int(info.colorimetry.matrix), MATRIX_UNSPECIFIED)
    picture.color_range = RANGES.get(int(info.colorimetry.range), 0)
    return bgr_of(picture)


def _bytes(buffer: Any, gst: ModuleType) -> bytes:
    """What a buffer holds. Mapped for one read: gi copies it then."""
    good, view = buffer.map(gst.MapFlags.READ)
    if not good:
        raise ValueError("a buffer of GStreamer cannot be read")
    try:
        return bytes(view.data)
    finally:
        buffer.unmap(view)
