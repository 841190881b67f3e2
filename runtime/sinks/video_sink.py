"""VideoSink: pictures into an H.264 file that keeps their times and plays even when the run was killed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image, size_text
from runtime.sinks.guarded_file import GuardedFile
from runtime.sinks.output_path import cannot_write, check_output
from runtime.sinks.sink import SinkOptions
from runtime.sources.video_io import MATRIX_709, RANGE_FULL, RANGE_LIMITED, SCALE_EXACT, quiet

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

# First what gives the best picture; each is in some build of FFmpeg. MPEG-4 part 2 is the one that every build has.
ENCODERS = ("libx264", "libopenh264", "h264_v4l2m2m", "mpeg4")
# No B-frames: frames leave the encoder in order, so a killed run ends where it was killed and times start at 0.
X264 = {"preset": "veryfast", "crf": "18", "bf": "0"}
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Written as fragments, each playable at once, and made an ordinary file at the end.
FRAGMENTS = {"movflags": "hybrid_fragmented"}
PRIMARIES_709 = TRANSFER_709 = 1
DEFAULT_RATE, FASTEST = Fraction(30), 1000  # frames a second
LIVE_TIME_BASE = Fraction(1, 90000)
LARGEST_TIME_BASE = 2**31 - 1
LARGEST_DENOMINATOR = 10_000  # of a frame rate: encoders hold both parts of it in 32 bits


class VideoSink:
    """A video file; the first picture decides its size."""

    any_size = False

    def __init__(self, path: Path, options: SinkOptions) -> None:
        """Check the path and leave it untouched until the first picture.

        Raises: Failure as `check_output`, (ENVIRONMENT) when this FFmpeg has no encoder for it.
        """
        check_output(path, options.force, options.inputs)
        self._path = path
        self._encoder = _encoder()
        self._rate = _believable(options.frame_rate)
        self._time_base = _time_base(options.time_base)
        self._file: GuardedFile | None = None
        self._container: OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._size = (0, 0)
        self._start: Fraction | None = None
        self._last_tick = -1
        self._frames = 0

    def write(self, picture: Image, frame: Frame) -> None:
        """Encode (H, W, 3) uint8 BGR at the frame's time.

        Raises: Failure (ENVIRONMENT) when the disk is full, (SOURCE) for a picture of another size.
        """
        size = (picture.shape[0], picture.shape[1])
        if self._stream is None:
            self._open(size)
        if size != self._size:
            raise Failure(
                f"frame {frame.index} {frame.name} is {size_text(size)} and '{self._path}' was begun with "
                f"{size_text(self._size)}; a video has one size: it ends before this frame. Write pictures instead "
                "(frames/%06i.png)",
                ExitCode.SOURCE,
            )
        coded = _coded(picture)
        coded.pts, coded.time_base = self._tick(frame), self._time_base
        self._mux(coded)
        self._frames += 1

    def close(self) -> None:
        """Finish the file.

        Raises: Failure (ENVIRONMENT) when what was left could not be written.
        """
        if self._container is None or self._file is None:
            return
        container, self._container = self._container, None
        try:
            if self._file.error is None:
                self._mux(None, container)
        finally:
            container.close()
            self._file.close()
        self._raise_disk_error()

    def describe(self) -> str:
        if self._stream is None:
            return f"{self._path}: nothing written"
        padded = " (last row or column doubled: H.264 needs even sides)" if any(n % 2 for n in self._size) else ""
        return f"{self._path}: {self._frames} frames of {size_text(self._size)}{padded}, {self._encoder}"

    def _open(self, size: tuple[int, int]) -> None:
        import av

        quiet()
        try:
            self._file = GuardedFile(self._path)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        kind = FORMATS[self._path.suffix.lower()]
        muxing = FRAGMENTS if kind != "matroska" else {}
        self._container = av.open(self._file, "w", format=kind, options=muxing)
        encoding = {**X264, "g": str(max(1, round(self._rate)))} if self._encoder == "libx264" else {}
        stream = cast("av.VideoStream", self._container.add_stream(self._encoder, rate=self._rate, options=encoding))
        stream.height, stream.width = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._time_base
        codec = stream.codec_context
        codec.colorspace, codec.color_range = MATRIX_709, RANGE_LIMITED
        codec.color_primaries, codec.color_trc = PRIMARIES_709, TRANSFER_709
        if self._encoder != "libx264":
            stream.bit_rate = round(0.2 * stream.height * stream.width * float(self._rate))  # 0.2 bits a pixel
        self._stream, self._size = stream, size

    def _mux(self, picture: av.VideoFrame | None, container: OutputContainer | None = None) -> None:
        import av

        container = container or self._container
        assert container is not None  # opened, as the stream is, by the first write
        assert self._stream is not None
        try:
            for packet in self._stream.encode(picture):
                packet.duration = round(1 / self._rate / self._time_base)  # of the last frame: nothing follows it
                container.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            self._raise_disk_error()
            raise Failure(f"'{self._path}' cannot be encoded: {error.strerror}", ExitCode.ENVIRONMENT) from error
        self._raise_disk_error()

    def _raise_disk_error(self) -> None:
        if self._file is not None and self._file.error is not None:
            kept = "what was written before stays playable, but for the last second; "
            raise cannot_write(self._path, self._file.error, kept) from self._file.error

    def _tick(self, frame: Frame) -> int:
        """The frame's time from the first frame on, in units of the file's clock, always later than the last."""
        time = Fraction(frame.captured_ns, 10**9) if frame.time is None else frame.time
        if self._start is None:
            self._start = time
        tick = round((time - self._start) / self._time_base)
        if tick <= self._last_tick:  # the source's clock went back or stood still: go on at its frame rate
            tick = self._last_tick + max(1, round(1 / self._rate / self._time_base))
            self._start = time - tick * self._time_base
        self._last_tick = tick
        return tick


def _coded(picture: Image) -> av.VideoFrame:
    """BGR to limited-range BT.709 4:2:0, with even sides."""
    import av

    odd = picture.shape[0] % 2, picture.shape[1] % 2
    even = np.pad(picture, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else picture
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="bgr24").reformat(
        format="yuv420p",
        dst_colorspace=MATRIX_709,
        src_color_range=RANGE_FULL,
        dst_color_range=RANGE_LIMITED,
        interpolation=SCALE_EXACT,
    )


def _encoder() -> str:
    import av

    for name in ENCODERS:
        if name in av.codecs_available:
            return name
    raise Failure(
        f"this FFmpeg has none of the encoders {', '.join(ENCODERS)}; install the PyAV wheel (pip install av), or "
        "write pictures: frames/%06i.png",
        ExitCode.ENVIRONMENT,
    )


def _believable(rate: Fraction | None) -> Fraction:
    """A stream may give no rate, the unit of its clock in place of one, or one too fine for encoders."""
    near = rate.limit_denominator(LARGEST_DENOMINATOR) if rate else Fraction(0)
    return near if 0 < near <= FASTEST else DEFAULT_RATE


def _time_base(source: Fraction | None) -> Fraction:
    """The source's own unit, so that its times are kept exactly, where encoders can count in it."""
    if source and 0 < source < 1 and source.denominator <= LARGEST_TIME_BASE:
        return source
    return LIVE_TIME_BASE
