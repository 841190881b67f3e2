"""VideoSink: pictures into video files that keep their times and play even when the run was killed."""

from __future__ import annotations

from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image, size_text
from runtime.sinks.encoder import Coding, candidates, working
from runtime.sinks.file_clock import LIVE_TIME_BASE, FileClock, believable_rate, file_time_base, longest_step
from runtime.sinks.guarded_file import Taken
from runtime.sinks.output_path import check_output, is_one_of
from runtime.sinks.sink import SinkOptions
from runtime.sinks.video_file import VideoFile

LIVE_SPLIT_S = 6 * 3600  # a file's index is in memory until it is closed, and a camera runs for months


class VideoSink:
    """A recording: one file, or `out.mp4`, `out-2.mp4`, … where it is split, which a camera's always is after some
    hours, where a camera's size changes, and where there is no frame for longer than a file can hold."""

    any_size = False

    def __init__(self, path: Path, options: SinkOptions) -> None:
        """Check the path and leave it untouched until the first picture.

        Raises: Failure as `check_output`, (USAGE) for an unknown encoder, (ENVIRONMENT) when this FFmpeg has none.
        """
        check_output(path, options.force, options.inputs)
        self._path, self._options = path, options
        self._encoders = candidates(options.encoder)
        rate = believable_rate(options.frame_rate)
        time_base = LIVE_TIME_BASE if options.live else file_time_base(options.time_base)
        self._coding = Coding(rate, time_base, options.bitrate)
        self._clock = FileClock(options.live, rate, time_base)
        split_s = options.split_s or (LIVE_SPLIT_S if options.live else 0)
        self._split = round(split_s / time_base)  # ticks in a file; 0: all
        self._longest_step = longest_step(time_base)
        self._file: VideoFile | None = None
        self._last: VideoFile | None = None  # also once it is closed
        self._number = 1  # of the file that is written, or of the next one
        self._origin = 0  # the tick at which it begins
        self._written = 0  # the tick of the frame that was written last
        self._size: tuple[int, int] | None = None  # (height, width) of its pictures
        self._sizes: list[tuple[int, int]] = []  # of all files, each once
        self._begun = self._frames = 0  # files and frames so far

    def write(self, picture: Image, frame: Frame) -> None:
        """Encode (H, W, 3) uint8 BGR at the frame's time; the first one of a file is shown from its beginning on.

        Raises: Failure (ENVIRONMENT) when the disk is full, the file deleted or no encoder works, (SOURCE) for a
        picture of another size where no frame may be lost.
        """
        size = (picture.shape[0], picture.shape[1])
        if self._size not in (None, size) and not self._options.live:
            raise Failure(
                f"frame {frame.index} {frame.name} is {size_text(size)} and '{self._path}' was begun with "
                f"{size_text(self._size or size)}; a video has one size: it ends before this frame. Write pictures "
                "instead (frames/%06i.png)",
                ExitCode.SOURCE,
            )
        tick = self._clock.tick(frame)
        self._end_if_due(size, tick)
        if self._file is None:
            self._file, tick = self._open(size), self._origin
        self._file.write(picture, tick - self._origin)
        self._written = tick
        self._frames += 1

    def leave_out(self, frame: Frame) -> None:
        """A frame that another recording holds and this one does not: both go on to their next files together.

        Raises: Failure (ENVIRONMENT) when the disk is full.
        """
        self._end_if_due(frame.size, self._clock.tick(frame))

    def close(self) -> None:
        """Finish the file.

        Raises: Failure (ENVIRONMENT) when what was left could not be written.
        """
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def describe(self) -> str:
        if self._last is None:
            return f"{self._path}: nothing written"
        name = str(self._path) if self._begun == 1 else f"{self._path} to {self._last.path.name} ({self._begun} files)"
        sizes = " and ".join(map(size_text, self._sizes))
        odd = any(side % 2 for size in self._sizes for side in size)
        padded = " (last row or column doubled: H.264 needs even sides)" if odd else ""
        return f"{name}: {self._frames} frames of {sizes}{padded}, {self._last.encoder}"

    def _end_if_due(self, size: tuple[int, int], tick: int) -> None:
        """Finish the file where a picture of this size and time belongs into the next one, which begins with it."""
        over = 0 < self._split <= tick - self._origin or tick - self._written > self._longest_step
        if self._size in (None, size) and not over:
            self._size = size
            return
        file, self._file = self._file, None
        self._number, self._origin, self._written, self._size = self._number + 1, tick, tick, size
        if file is not None:
            file.close()

    def _open(self, size: tuple[int, int]) -> VideoFile:
        """The file of this number, or of the next free one; the first one has none. Raises: Failure (ENVIRONMENT)."""
        encoder, before = working(self._encoders, size, self._coding), self._last
        while True:
            path = self._path.with_stem(f"{self._path.stem}-{self._number}") if before else self._path
            new = before is not None and not self._options.force
            try:
                if before is None or not is_one_of(path, self._options.inputs):
                    self._last = file = VideoFile(path, size, encoder, self._coding, new)
                    break
            except Taken:
                if before is None:
                    raise
            self._number += 1
        self._begun += 1
        if before is not None:
            self._options.say(f"'{before.path}' goes on in '{path}', with frames of {size_text(size)}")
        if size not in self._sizes:
            self._sizes.append(size)
        return file
