"""V4l2LoopbackSink: pictures into a v4l2loopback device, which other programs read as a camera."""

from __future__ import annotations

import errno
import os
import re
from fractions import Fraction

import numpy as np

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image, size_text
from runtime.sinks.sink import SinkOptions
from runtime.sources import v4l2_api as api
from runtime.sources.v4l2_api import Request
from runtime.sources.v4l2_colours import plane_of
from runtime.sources.v4l2_device import NOT_V4L2, Device, failing
from runtime.sources.v4l2_raw import YUV_FORMATS, plane_layout, plane_views
from runtime.sources.video_io import MATRIX_709, RANGE_FULL, RANGE_LIMITED, SCALE_EXACT, SCALE_FULL_CHROMA

CODECS = ("YUYV", "YU12")  # in this order: every program that reads cameras takes the first
MODPROBE = "sudo modprobe v4l2loopback exclusive_caps=1 card_label=edgedeblur"


class V4l2LoopbackSink:
    """A virtual camera. Pictures of another size set it up anew; one that it has no room for is left out."""

    any_size = True

    def __init__(self, uri: str, options: SinkOptions) -> None:
        """Open the device of v4l2loopback:///dev/videoN.

        Raises: Failure (USAGE) for another URI, (ENVIRONMENT) without such a device, where it is no output or may not
        be used.
        """
        self._path = uri.removeprefix("v4l2loopback://")
        if not self._path.startswith("/"):
            raise Failure(f"'{uri}' is not a virtual camera; expected v4l2loopback:///dev/videoN")
        self._rate = options.frame_rate
        self._device = self._open()
        self._pix: api.PixFormat | None = None
        self._codec, self._size = "", (0, 0)
        self._frames = self._left_out = 0

    def write(self, picture: Image, frame: Frame) -> None:
        """Hand over (H, W, 3) uint8 BGR; never waits for whoever reads the device.

        Raises: Failure (ENVIRONMENT) when the device is gone or takes no picture of this size.
        """
        # Two pixels of a row share their colour, and two rows of YU12: sides are even.
        odd = picture.shape[0] % 2, picture.shape[1] % 2
        even = np.pad(picture, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else picture
        size = (even.shape[0], even.shape[1])
        if self._pix is None or size != self._size:
            self._set_up(size)
        self._hand_over(self._coded(even))

    def close(self) -> None:
        self._device.close()

    def describe(self) -> str:
        if not self._frames:
            return f"{self._path}: nothing written"
        left_out = f", {self._left_out} left out, as there was no room" if self._left_out else ""
        return f"{self._path}: {self._frames} frames, {self._codec} {size_text(self._size)}{left_out}"

    def _open(self) -> Device:
        number = re.fullmatch(r"/dev/video(\d+)", self._path)
        make = f"make one with: {MODPROBE}{f' video_nr={number[1]}' if number else ''}"
        with failing("virtual camera", self._path, ExitCode.ENVIRONMENT):
            try:
                device = Device(self._path)
            except FileNotFoundError:
                raise Failure(f"there is no {self._path}; {make}", ExitCode.ENVIRONMENT) from None
            except OSError as error:
                if error.errno not in NOT_V4L2:
                    raise
                raise Failure(f"{self._path} is no V4L2 device; {make}", ExitCode.ENVIRONMENT) from None
        if not device.can & api.CAP_VIDEO_OUTPUT:
            device.close()
            raise Failure(
                f"{self._path} ({device.name}) takes no pictures: a camera or another program's virtual one; {make}",
                ExitCode.ENVIRONMENT,
            )
        return device

    def _set_up(self, size: tuple[int, int]) -> None:
        """Have the device take pictures of a (height, width) with even sides."""
        if self._pix is not None:  # it keeps the first size for as long as it is open
            self._device.close()
            self._pix, self._device = None, self._open()
        with failing("virtual camera", self._path, ExitCode.ENVIRONMENT):
            given = (self._ask_for(codec, size) for codec in CODECS)  # the device keeps what it was asked last
            taken = next((pix for pix in given if pix is not None), None)
        if taken is None:
            raise Failure(
                f"virtual camera {self._path} takes no {size_text(size)} in {' or '.join(CODECS)}; a program that "
                "reads it holds it to another size: end that one, then start again",
                ExitCode.ENVIRONMENT,
            )
        self._pix, self._size, self._codec = taken, size, api.fourcc_name(taken.pixelformat)
        self._tell_rate(self._rate)

    def _ask_for(self, codec: str, size: tuple[int, int]) -> api.PixFormat | None:
        wanted = api.Format(type=api.BUF_TYPE_VIDEO_OUTPUT)
        pix = wanted.fmt.pix
        pix.height, pix.width = size
        pix.pixelformat, pix.field = api.fourcc(codec), api.FIELD_NONE
        _, stride, _ = plane_layout(codec, size, 0)[0]
        pix.bytesperline, pix.sizeimage = stride, sum(rows * step for rows, step, _ in plane_layout(codec, size, 0))
        pix.colorspace, pix.priv = api.COLORSPACE_REC709, api.PIX_FMT_PRIV_MAGIC
        pix.ycbcr_enc, pix.quantization = api.YCBCR_ENC_709, api.QUANTIZATION_LIM_RANGE
        pix.xfer_func = api.XFER_FUNC_709
        try:
            self._device.call(Request.S_FMT, wanted)
        except OSError as error:
            if error.errno != errno.EINVAL:  # which refuses the format; the others would be refused, too
                raise
            return None
        same = (pix.height, pix.width) == size
        return pix if same and api.fourcc_name(pix.pixelformat) == codec else None

    def _tell_rate(self, rate: Fraction | None) -> None:
        if rate is not None:
            near = rate.limit_denominator(10**6)
            parameters = api.StreamParameters(type=api.BUF_TYPE_VIDEO_OUTPUT)
            parameters.parm.capture.timeperframe = api.Fraction(near.denominator, near.numerator)
            self._device.asks(Request.S_PARM, parameters)

    def _coded(self, picture: Image) -> bytearray:
        """BGR to limited-range BT.709, row by row as the device wants it."""
        import av

        assert self._pix is not None  # set up before the first picture
        coded = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24").reformat(
            format=YUV_FORMATS[self._codec],
            dst_colorspace=MATRIX_709,
            src_color_range=RANGE_FULL,
            dst_color_range=RANGE_LIMITED,
            interpolation=SCALE_EXACT | SCALE_FULL_CHROMA,  # without the latter FFmpeg cuts YUYV off, not rounds it
        )
        layout = plane_layout(self._codec, self._size, self._pix.bytesperline)
        data = bytearray(max(self._pix.sizeimage, sum(rows * stride for rows, stride, _ in layout)))
        for target, plane in zip(plane_views(data, layout), coded.planes, strict=True):
            target[:] = plane_of(plane)[: target.shape[0], : target.shape[1]]
        return data

    def _hand_over(self, data: bytearray) -> None:
        try:
            written = os.write(self._device.descriptor, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            raise Failure(
                f"virtual camera {self._path} broke after {self._frames} frames: {error.strerror}; see that "
                f"v4l2loopback is loaded ({MODPROBE}), then start again",
                ExitCode.ENVIRONMENT,
            ) from error
        whole = written == len(data)
        self._frames += whole
        self._left_out += not whole
