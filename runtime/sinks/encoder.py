"""Encoders: H.264 (or what this FFmpeg has) for files and streams, cheap enough to run beside a network.

Hardware comes first where it works: NVENC, on a Jetson FFmpeg's `h264_nvmpi`, a V4L2 encoder. The PyAV wheel reaches
none of a Jetson's encoders, which need NVIDIA's own libraries: there it encodes on the processor, unless PyAV was built
over an FFmpeg that has `h264_nvmpi`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np

from edgedeblur import ExitCode, Failure
from runtime.frame import Image, size_text
from runtime.sources.video_io import MATRIX_709, RANGE_FULL, RANGE_LIMITED, SCALE_EXACT, quiet, reason

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext

# In the order in which they are tried. MPEG-4 part 2 is the one that every build of FFmpeg has; it is for files only.
ENCODERS = ("h264_nvenc", "h264_nvmpi", "h264_v4l2m2m", "libx264", "libopenh264", "mpeg4")
STREAM_ENCODERS = ENCODERS[:-1]  # of H.264
# No B-frames and no look-ahead: a frame leaves the encoder at once, so that a killed run ends where it was killed, and
# times start at 0. `superfast` takes 0.6 of the processor time of `veryfast`; its pictures are better by 0.4 dB at the
# same crf and its files larger by a fifth.
X264 = {"preset": "superfast", "tune": "zerolatency", "bf": "0"}
NVENC = {"preset": "p4", "rc": "vbr", "bf": "0", "delay": "0", "zerolatency": "1", "forced-idr": "1"}
QUALITY = 18  # x264's crf: differences cannot be seen; `cq` of NVENC is on the same scale
BITS_A_PIXEL = 0.2  # of encoders that have a bit rate only
PRIMARIES_709 = TRANSFER_709 = 1
THREAD_PIXELS, MOST_THREADS = 640 * 360, 4  # a slice of a picture is worth a thread from so many pixels on
MPEG4_TIME_BASE = Fraction(1, 60000)
FULL_CHROMA_INPUT = 0x4000  # colour differences are made from every pixel of a row; cheaper than from every second one


@dataclass(frozen=True)
class Coding:
    """How pictures are encoded."""

    rate: Fraction  # frames a second, about: frames carry their own times
    time_base: Fraction  # the unit of those times in seconds
    bitrate: int | None = None  # bits a second; None: constant quality where the encoder has that


class Converter:
    """BGR pictures as limited-range BT.709 4:2:0, with even sides. Keeps its tables: they cost more than a picture."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def __call__(self, picture: Image) -> av.VideoFrame:
        """(H, W, 3) uint8 BGR as a new frame; an odd side gets its last row or column twice."""
        import av

        odd = picture.shape[0] % 2, picture.shape[1] % 2
        even = np.pad(picture, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else picture
        return self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(even), format="bgr24"),
            format="yuv420p",
            dst_colorspace=MATRIX_709,
            src_color_range=RANGE_FULL,
            dst_color_range=RANGE_LIMITED,
            interpolation=SCALE_EXACT | FULL_CHROMA_INPUT,
        )


def candidates(wanted: str, among: Sequence[str] = ENCODERS) -> list[str]:
    """The encoders to try, best first: all that this FFmpeg has, or the one that is wanted.

    Raises: Failure (USAGE) for a name that is none here, (ENVIRONMENT) when this FFmpeg has none of them.
    """
    import av

    here = [name for name in among if name in av.codecs_available]
    if wanted == "auto" and here:
        return here
    if wanted in here:
        return [wanted]
    if wanted != "auto":
        raise Failure(f"'{wanted}' is no encoder for this output here; expected auto or one of: {', '.join(here)}")
    raise Failure(
        f"this FFmpeg has none of the encoders {', '.join(among)}; install the PyAV wheel (pip install av), or write "
        "pictures: frames/%06i.png",
        ExitCode.ENVIRONMENT,
    )


def working(names: Sequence[str], size: tuple[int, int], coding: Coding) -> str:
    """The first encoder that can be opened for a (height, width): one of a GPU that is not there is in every FFmpeg.

    Raises: Failure (ENVIRONMENT) if none can.
    """
    why = ""
    for name in names:
        try:
            open_encoder(name, size, coding)
            return name
        except Failure as failure:
            why = str(failure)
    raise Failure(why, ExitCode.ENVIRONMENT)


def open_encoder(name: str, size: tuple[int, int], coding: Coding) -> VideoCodecContext:
    """An encoder of its own, not tied to a file. Raises: Failure (ENVIRONMENT) where it cannot be had."""
    import av

    quiet()
    try:
        codec = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
        configure(codec, name, size, coding)
        codec.open()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise Failure(
            f"the encoder {name} cannot be used for {size_text(size)} here: {reason(error)}; choose another one, e.g. "
            "--output-encoder libx264",
            ExitCode.ENVIRONMENT,
        ) from error
    return codec


def configure(codec: VideoCodecContext, name: str, size: tuple[int, int], coding: Coding) -> None:
    """Prepare an encoder for pictures of a (height, width) as `Converter` gives them."""
    height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
    codec.height, codec.width, codec.pix_fmt = height, width, "yuv420p"
    codec.time_base, codec.framerate = _time_base(name, coding.time_base), coding.rate
    codec.colorspace, codec.color_range = MATRIX_709, RANGE_LIMITED
    codec.color_primaries, codec.color_trc = PRIMARIES_709, TRANSFER_709
    codec.gop_size = max(1, round(coding.rate))
    codec.options = _options(name, coding.bitrate)
    codec.thread_count = threads_for(size)
    if coding.bitrate or not ("crf" in codec.options or "cq" in codec.options):
        codec.bit_rate = coding.bitrate or round(BITS_A_PIXEL * height * width * float(coding.rate))


def threads_for(size: tuple[int, int]) -> int:
    """How many threads encode a (height, width): each more costs processor time, and waiting for the others."""
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)), size[0] * size[1] // THREAD_PIXELS))


def _time_base(name: str, wanted: Fraction) -> Fraction:
    """The unit in which an encoder counts: MPEG-4 part 2 has 16 bits for it."""
    return MPEG4_TIME_BASE if name == "mpeg4" and wanted.denominator > 65535 else wanted


def _options(name: str, bitrate: int | None) -> dict[str, str]:
    # With a bit rate it is a limit, too, over one second: what sends it on counts on that.
    limit = {"maxrate": str(bitrate), "bufsize": str(bitrate)} if bitrate else {}
    if name == "libx264":
        return {**X264, **(limit or {"crf": str(QUALITY)})}
    if name == "h264_nvenc":
        return {**NVENC, **(limit or {"cq": str(QUALITY)})}
    return {}
