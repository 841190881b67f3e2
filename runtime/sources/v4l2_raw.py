"""RawPictures: uncompressed pictures of a V4L2 camera, with their padding, colour matrix and range."""

from __future__ import annotations

import numpy as np

from runtime.frame import Image
from runtime.sources.v4l2_colours import Plane, fill, matrix_of, range_of
from runtime.sources.v4l2_offer import Agreed
from runtime.sources.video_io import RANGE_LIMITED, bgr_of

YUV_FORMATS = {"YUYV": "yuyv422", "UYVY": "uyvy422", "NV12": "nv12", "YU12": "yuv420p"}
EXPANDED = np.clip(np.rint((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)  # limited to full range


class RawPictures:
    """Reads uncompressed pictures."""

    def __init__(self, agreed: Agreed) -> None:
        import av  # noqa: F401  # here: the first frame must not wait for it

        self._codec, (self._height, self._width) = agreed.codec, agreed.size
        self._layout = plane_layout(agreed.codec, agreed.size, agreed.pix.bytesperline)
        self._matrix = matrix_of(agreed.pix)
        self._range = range_of(agreed.pix, yuv=agreed.codec in YUV_FORMATS)

    def bgr(self, data: bytes) -> Image | None:
        """A picture as (H, W, 3) uint8 BGR in memory of its own; None for one that is cut short."""
        _, stride, used = self._layout[-1]
        needed = sum(rows * stride for rows, stride, _ in self._layout) - stride + used
        if len(data) < needed:  # the last row may come without its padding
            return None
        planes = plane_views(data, self._layout)
        return self._from_yuv(planes) if self._codec in YUV_FORMATS else self._plain(planes[0])

    def _from_yuv(self, planes: list[Plane]) -> Image:
        import av

        picture = av.VideoFrame(self._width, self._height, YUV_FORMATS[self._codec])
        fill(picture, planes)
        picture.colorspace, picture.color_range = self._matrix, self._range
        return bgr_of(picture)

    def _plain(self, plane: Plane) -> Image:
        full = EXPANDED[plane] if self._range == RANGE_LIMITED else plane
        if self._codec == "GREY":
            return full[:, :, None].repeat(3, 2)
        pixels = full.reshape(self._height, self._width, 3)
        return np.array(pixels[:, :, ::-1] if self._codec == "RGB3" else pixels, order="C")


def plane_layout(codec: str, size: tuple[int, int], bytes_per_line: int) -> list[tuple[int, int, int]]:
    """(rows, bytes from one row to the next, used bytes of a row) of each plane of an uncompressed picture.

    bytes_per_line: of the first plane, as the driver says it; 0 where it does not pad.
    """
    height, width = size
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    rows = {"NV12": width, "YU12": width, "GREY": width, "BGR3": 3 * width, "RGB3": 3 * width}
    used = rows.get(codec, 4 * half_width)
    stride = max(bytes_per_line, used)
    first = (height, stride, used)
    if codec == "NV12":
        return [first, (half_height, max(stride, 2 * half_width), 2 * half_width)]
    if codec == "YU12":
        return [first, *[(half_height, max(stride // 2, half_width), half_width)] * 2]
    return [first]


def plane_views(data: bytes | bytearray, layout: list[tuple[int, int, int]]) -> list[Plane]:
    """Views of the planes of a picture, without their padding; they can be written where the data can."""
    planes, offset = [], 0
    for rows, stride, used in layout:
        planes.append(np.ndarray((rows, used), np.uint8, data, offset, (stride, 1)))
        offset += rows * stride
    return planes
