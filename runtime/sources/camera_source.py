"""CameraSource: live frames of a V4L2 device or an RTSP stream, with the time each was captured."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns, size_text
from runtime.sources.address import without_credentials as without_credentials
from runtime.sources.source import SourceOptions
from runtime.sources.video_io import bgr_of, pictures_of, quiet, reason, stream_text
from runtime.stop import Stop

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

STAMP_WINDOW_NS = 10**10  # a driver's stamp within 10 s of now is on our clock


class CameraSource:
    """A live stream. It is read without a pause, so that no old frame waits in a driver or a socket."""

    live = True

    def __init__(self, name: str, container: InputContainer) -> None:
        """name: what the stream is called in messages, without credentials."""
        self.inputs: tuple[Path, ...] = ()
        self.corrupt = self.missed = 0
        self.notes: list[str] = []
        self._name = name
        self._container = container
        self._stream = container.streams.video[0]
        self.frame_rate: Fraction | None = self._stream.average_rate or self._stream.guessed_rate
        self.time_base: Fraction | None = None  # frame times are nanoseconds of our clock, not the stream's
        self._pictures = self._decode()
        self._index = 0

    def describe(self) -> str:
        return stream_text(self._name, self._stream, self.frame_rate)

    def read(self, stop: Stop) -> Frame | None:
        """The next frame; None when the stream ends or once `stop` is set.

        Raises: Failure (SOURCE) when the stream breaks or gives nothing for too long.
        """
        picture = None if stop.is_set() else next(self._pictures, None)
        if picture is None:
            return None
        stamp_ns, stamped = _capture_time(picture, now_ns())
        frame = Frame(bgr_of(picture), self._index, stamp_ns, stamped)
        self._index += 1
        return frame

    def close(self) -> None:
        self._pictures.close()
        self._container.close()

    def _decode(self) -> Generator[av.VideoFrame]:
        import av

        try:
            yield from pictures_of(self._container, self._stream, self._count_corrupt)
        except (av.error.FFmpegError, OSError) as error:
            raise Failure(
                f"{self._name} broke after {self._index} frames: {reason(error)}; check the camera and its cable "
                "or network, then start again",
                ExitCode.SOURCE,
            ) from error
        self.notes.append(f"{self._name} ended")

    def _count_corrupt(self) -> None:
        self.corrupt += 1


def open_v4l2(uri: str, options: SourceOptions) -> CameraSource:
    """Open v4l2:///dev/videoN.

    Raises: Failure (USAGE) for another URI, (SOURCE) without such a camera, (ENVIRONMENT) without permission.
    """
    device = re.fullmatch(r"v4l2://(/dev/video\d+)", uri)
    if not device:
        raise Failure(f"'{uri}' is not a V4L2 camera; expected v4l2:///dev/videoN or /dev/videoN")
    path = device[1]
    if not os.path.exists(path):
        found = ", ".join(sorted(glob.glob("/dev/video*"))) or "none"
        raise Failure(f"there is no camera {path}; cameras here: {found}. Plug it in and try again", ExitCode.SOURCE)
    if not os.access(path, os.R_OK | os.W_OK):
        raise Failure(
            f"no permission to use {path}; add yourself to its group: sudo usermod -aG video $USER, then log in again",
            ExitCode.ENVIRONMENT,
        )
    wanted = {}
    if options.width and options.height:
        wanted["video_size"] = size_text((options.height, options.width))
    if options.rate:
        wanted["framerate"] = str(options.rate)
    hint = "; close other programs that use it, and see the sizes it gives with: v4l2-ctl --list-formats-ext"
    return _open(path, path, hint, options.timeout_s, format="v4l2", options=wanted)


def _open(address: str, name: str, hint: str, timeout_s: float, **how: Any) -> CameraSource:
    import av

    quiet()
    try:
        container = av.open(address, timeout=(timeout_s, timeout_s), **how)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # `from None`: the cause names the whole address, with its password.
        raise Failure(f"camera {name} cannot be opened: {reason(error)}{hint}", ExitCode.SOURCE) from None
    if not container.streams.video:
        container.close()
        raise Failure(f"camera {name} sends no video", ExitCode.SOURCE)
    return CameraSource(name, container)


def _capture_time(picture: av.VideoFrame, arrival_ns: int) -> tuple[int, bool]:
    """When a picture was captured, and whether the driver says so: V4L2 stamps with our clock, in microseconds."""
    if picture.pts is not None and picture.time_base:
        stamp_ns = int(picture.pts * picture.time_base * 10**9)
        if 0 <= arrival_ns - stamp_ns < STAMP_WINDOW_NS:
            return stamp_ns, True
    return arrival_ns, False
