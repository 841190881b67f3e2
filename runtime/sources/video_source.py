"""VideoSource: the frames of a video file, all of them, with the times the file gives them."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.sources.source import SourceOptions
from runtime.sources.video_io import bgr_of, check_sides, pictures_of, quiet, reason, stream_text
from runtime.stop import Stop

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


class VideoSource:
    """A video file; damaged frames are left out and counted."""

    live = False

    def __init__(self, path: Path, container: InputContainer) -> None:
        self.inputs: tuple[Path, ...] = (path,)
        self.corrupt = self.missed = self.superseded = 0
        self.notes = [f"the sound of '{path}' is not copied"] if container.streams.audio else []
        self._path = path
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.frame_rate: Fraction | None = self._stream.average_rate or self._stream.guessed_rate
        self.time_base: Fraction | None = self._stream.time_base
        self._pictures = self._decode()
        self._index = 0

    def describe(self) -> str:
        return stream_text(str(self._path), self._stream, self.frame_rate)

    def read(self, stop: Stop) -> Frame | None:
        """The next frame that can be decoded; None at the end or once `stop` is set.

        Raises: Failure (SOURCE) when the file holds no frame that can be decoded.
        """
        picture = None if stop.is_set() else next(self._pictures, None)
        if picture is None:
            if not self._index and not stop.is_set():
                raise Failure(f"no frame of '{self._path}' can be decoded: the file is damaged", ExitCode.SOURCE)
            return None
        image = bgr_of(picture)
        frame = Frame(image, self._index, now_ns(), time=self._time(picture))
        self._index += 1
        return frame

    def close(self) -> None:
        self._pictures.close()
        self._container.close()

    def _decode(self) -> Generator[av.VideoFrame]:
        import av

        try:
            yield from pictures_of(self._container, self._stream, self._count_corrupt)
        except av.error.FFmpegError as error:
            self.notes.append(f"reading '{self._path}' ended early: {reason(error)}")
        self._compare_with_header()

    def _count_corrupt(self) -> None:
        self.corrupt += 1

    def _compare_with_header(self) -> None:
        announced = self._stream.frames
        if self._index + self.corrupt < announced:
            self.notes.append(
                f"'{self._path}' announces {announced} frames and holds {self._index + self.corrupt}: it was cut short"
            )

    def _time(self, picture: av.VideoFrame) -> Fraction:
        if picture.pts is not None and picture.time_base:
            return Fraction(picture.pts * picture.time_base)
        return self._index / (self.frame_rate or Fraction(30))


def open_video(path: Path, options: SourceOptions) -> VideoSource:
    """Open a video file.

    Raises: Failure (SOURCE) for a file that is empty, no video or damaged, (ENVIRONMENT) without permission.
    """
    import av

    quiet()
    if path.is_file() and path.stat().st_size == 0:
        raise Failure(f"input '{path}' is empty (0 bytes); copy or record it again", ExitCode.SOURCE)
    try:
        container = av.open(str(path))
    except PermissionError as error:
        raise Failure(f"no permission to read '{path}'; check its owner and mode", ExitCode.ENVIRONMENT) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise Failure(
            f"'{path}' is not a video that can be read ({reason(error)}); expected a whole .mp4, .mkv, .mov, .avi or "
            "similar file. A recording that was cut off before its index was written cannot be read either",
            ExitCode.SOURCE,
        ) from error
    if not container.streams.video:
        container.close()
        raise Failure(f"'{path}' holds no video stream; give a file with pictures", ExitCode.SOURCE)
    codec = container.streams.video[0].codec_context
    check_sides((codec.height, codec.width), str(path))
    return VideoSource(path, container)
