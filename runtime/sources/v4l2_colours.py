"""What a V4L2 driver says of its colours, as FFmpeg numbers matrices and ranges; planes of PyAV's pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runtime.sources import v4l2_api as api
from runtime.sources.video_io import MATRIX_601, MATRIX_709, RANGE_FULL, RANGE_LIMITED

if TYPE_CHECKING:
    import av
    from av.video.plane import VideoPlane

MATRIX_240M, MATRIX_2020 = 7, 9
MATRICES = {
    api.YCBCR_ENC_601: MATRIX_601,
    api.YCBCR_ENC_XV601: MATRIX_601,
    api.YCBCR_ENC_SYCC: MATRIX_601,
    api.YCBCR_ENC_709: MATRIX_709,
    api.YCBCR_ENC_XV709: MATRIX_709,
    api.YCBCR_ENC_BT2020: MATRIX_2020,
    api.YCBCR_ENC_SMPTE240M: MATRIX_240M,
}
# V4L2_MAP_YCBCR_ENC_DEFAULT: the matrix where the driver leaves it to the colour space. All others, webcams too: 601.
SPACE_MATRICES = {
    api.COLORSPACE_REC709: MATRIX_709,
    api.COLORSPACE_DCI_P3: MATRIX_709,
    api.COLORSPACE_BT2020: MATRIX_2020,
    api.COLORSPACE_SMPTE240M: MATRIX_240M,
}
RANGES = {api.QUANTIZATION_FULL_RANGE: RANGE_FULL, api.QUANTIZATION_LIM_RANGE: RANGE_LIMITED}

Plane = NDArray[np.uint8]  # (rows, bytes of a row)


def matrix_of(pix: api.PixFormat) -> int:
    """The colour matrix of uncompressed pictures."""
    return MATRICES.get(pix.ycbcr_enc, SPACE_MATRICES.get(pix.colorspace, MATRIX_601))


def range_of(pix: api.PixFormat, yuv: bool) -> int:
    """The range of uncompressed pictures.

    V4L2_MAP_QUANTIZATION_DEFAULT where the driver says nothing, but for GREY: monochrome sensors send what they see,
    from 0 to 255.
    """
    usual = RANGE_LIMITED if yuv and pix.colorspace != api.COLORSPACE_JPEG else RANGE_FULL
    return RANGES.get(pix.quantization, usual)


def plane_of(plane: VideoPlane) -> Plane:
    """A view of a plane of PyAV's, with its padding."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)


def fill(picture: av.VideoFrame, planes: list[Plane]) -> None:
    """Copy planes into a picture's; padding on either side is left out."""
    for plane, wanted in zip(picture.planes, planes, strict=True):
        target = plane_of(plane)
        used = min(wanted.shape[1], target.shape[1])
        target[: wanted.shape[0], :used] = wanted[: target.shape[0], :used]
