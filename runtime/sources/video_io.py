"""What reading with PyAV shares: colours of a decoded picture, its rotation, errors in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from edgedeblur import ExitCode, Failure
from runtime.frame import MAX_SIDE, Image, size_text

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

HD_LINES = 720  # untagged video of at least so many lines is BT.709, below it is BT.601
RANGE_LIMITED, RANGE_FULL = 1, 2  # as FFmpeg numbers them
MATRIX_709, MATRIX_601, MATRIX_UNSPECIFIED = 1, 5, 2
# Bicubic with accurate rounding, and colour differences at full width: without them FFmpeg takes short cuts that darken
# a picture by up to two levels. As numbers, since older PyAV has no names for them.
SCALE_EXACT, SCALE_FULL_CHROMA = 0x4 | 0x40000, 0x2000


def pictures_of(
    container: InputContainer, stream: av.VideoStream, on_corrupt: Callable[[], None]
) -> Generator[av.VideoFrame]:
    """The decoded pictures of a stream; `on_corrupt` is called for each damaged one, which is left out.

    Raises: av.error.FFmpegError when the stream breaks.
    """
    import av

    packets = container.demux(stream)
    while True:
        try:
            for picture in next(packets).decode():
                if picture.is_corrupt:
                    on_corrupt()
                else:
                    yield picture
        except (StopIteration, EOFError):
            return
        except av.error.InvalidDataError:
            on_corrupt()


def stream_text(name: str, stream: av.VideoStream, rate: Fraction | None) -> str:
    """A stream in one line for people."""
    codec = stream.codec_context
    pace = f"{float(rate):.2f} frames/s" if rate else "unknown rate"
    return f"{name}, {codec.name} {size_text((codec.height, codec.width))}, {pace}"


def bgr_of(picture: av.VideoFrame) -> Image:
    """A decoded picture as uint8 (H, W, 3) BGR, upright, by its own colour matrix and range."""
    name = picture.format.name
    if name.startswith("gray") and not name.startswith(("gray9", "gray1")):
        image = picture.to_ndarray(format="gray")[:, :, None].repeat(3, 2)
    elif picture.format.is_rgb or name == "pal8":
        image = picture.to_ndarray(format="bgr24")
    else:
        matrix, picture.color_range = _matrix(picture), _range(picture)
        picture.colorspace = matrix  # PyAV 17 knows BT.2020 only from here
        image = picture.to_ndarray(
            format="bgr24",
            src_colorspace=matrix,
            # BGR has none. PyAV before 17 leaves both matrix and range to FFmpeg where source and target say the same.
            dst_colorspace=MATRIX_601 if matrix != MATRIX_601 else MATRIX_709,
            src_color_range=picture.color_range,
            dst_color_range=RANGE_FULL,
            interpolation=SCALE_EXACT | SCALE_FULL_CHROMA,
        )
    upright = np.rot90(image, picture.rotation // 90) if picture.rotation % 90 == 0 else image
    return np.ascontiguousarray(upright, dtype=np.uint8)


def check_sides(size: tuple[int, int], name: str) -> None:
    """Refuse a (height, width) before anything of that size is decoded. Raises: Failure (SOURCE)."""
    if max(size) > MAX_SIDE:
        raise Failure(
            f"'{name}' is {size_text(size)}, which is too large: at most {MAX_SIDE} pixels a side; scale it down",
            ExitCode.SOURCE,
        )


def reason(error: BaseException) -> str:
    """Why FFmpeg failed, without the name of what it opened: that may hold a password."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:
        return os.strerror(number)
    return str(getattr(error, "strerror", None) or error)


def quiet() -> None:
    """Keep FFmpeg's own messages off: they name URLs with passwords, and what goes wrong is raised or counted.

    Only None is safe. Any level makes FFmpeg's decoding threads call Python for their errors, and closing a file waits
    for those threads while it holds the interpreter: the two then wait for each other for ever.
    """
    import av

    av.logging.set_level(None)


def _matrix(picture: av.VideoFrame) -> int:
    if picture.colorspace != MATRIX_UNSPECIFIED:
        return int(picture.colorspace)
    return MATRIX_709 if picture.height >= HD_LINES else MATRIX_601


def _range(picture: av.VideoFrame) -> int:
    if picture.color_range in (RANGE_LIMITED, RANGE_FULL):
        return int(picture.color_range)
    return RANGE_FULL if picture.format.name.startswith("yuvj") else RANGE_LIMITED
