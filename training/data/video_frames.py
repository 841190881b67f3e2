"""Reading video files: all frames in turn, or a few by their times."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure

Image = NDArray[np.uint8]
Times = NDArray[np.int64]
SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv"}
_MEMORY = 256 * 2**20  # bytes of decoded frames kept by each process


def opened(path: Path) -> InputContainer:
    """A container with a video stream. Raises Failure (SOURCE)."""
    av.logging.set_level(None)  # FFmpeg's own messages: what matters of them is raised or counted
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise Failure(
            f"{path} is not a video that can be read ({getattr(error, 'strerror', None) or error}); expected a whole "
            ".mp4, .mkv, .mov, .avi or similar file",
            ExitCode.SOURCE,
        ) from error
    if not container.streams.video:
        container.close()
        raise Failure(f"{path} has no pictures in it; expected a video", ExitCode.SOURCE)
    return container


def decoded(container: InputContainer) -> Iterator[tuple[int, av.VideoFrame] | None]:
    """Presentation time and frame, in turn; None for one that is damaged."""
    packets = container.demux(container.streams.video[0])
    while True:
        try:
            for frame in next(packets).decode():
                yield None if frame.is_corrupt or frame.pts is None else (frame.pts, frame)
        except (StopIteration, EOFError):
            return
        except av.error.InvalidDataError:
            yield None


class FrameStore:
    """Frames of video files by their presentation times; the latest read are kept.

    A file is opened for each read and closed again, so that worker processes inherit no open decoder.
    """

    def __init__(self) -> None:
        self._frames: collections.OrderedDict[tuple[Path, int], Image] = collections.OrderedDict()
        self._bytes = 0

    def frames(self, path: Path, times: Times, keys: Times) -> list[Image]:
        """Frames at these ascending times, each (H, W, 3) uint8 BGR. keys: times of the file's key frames.

        Raises Failure (SOURCE) when one cannot be found.
        """
        wanted = [(path, int(time)) for time in times]
        if not all(key in self._frames for key in wanted):
            for time, image in _read(path, times, keys).items():
                self._keep((path, time), image)
        for key in wanted:
            self._frames.move_to_end(key)
        found = [self._frames[key] for key in wanted]
        while self._bytes > _MEMORY and len(self._frames) > len(found):
            self._bytes -= self._frames.popitem(last=False)[1].nbytes
        return found

    def _keep(self, key: tuple[Path, int], image: Image) -> None:
        if key not in self._frames:
            self._frames[key] = image
            self._bytes += image.nbytes


def _read(path: Path, times: Times, keys: Times) -> dict[int, Image]:
    """Decode from the last key frame before; some files need an earlier one, where frames lean on what is before it."""
    starts = [int(time) for time in keys[keys <= times[0]][:-4:-1]]
    for start in [*starts, None]:
        found = _decode_from(path, start, set(times.tolist()))
        if len(found) == len(times):
            return found
    raise Failure(
        f"{path}: {len(times) - len(found)} frames are not there any more; was the file changed?", ExitCode.SOURCE
    )


def _decode_from(path: Path, start: int | None, times: set[int]) -> dict[int, Image]:
    found: dict[int, Image] = {}
    with opened(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # a worker process is one thread; its neighbours have the other cores
        try:
            if start is not None:
                container.seek(start, stream=stream)
            for time, frame in filter(None, decoded(container)):
                if time in times:
                    found[time] = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                if time >= max(times):
                    break
        except av.error.FFmpegError:  # a file that was whole before: what is missing is told by the caller
            pass
    return found
