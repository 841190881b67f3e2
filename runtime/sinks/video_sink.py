"""VideoSink: pictures into video files that keep their times and play even when the run was killed."""

from __future__ import annotations

from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image, size_text
from runtime.sinks.encoder import Coding, candidates, working
from runtime.sinks.file_clock import LIVE_TIME_BASE, FileClock, believable_rate, file_time_base
from runtime.sinks.guarded_file import Taken
from runtime.sinks.output_path import check_output, is_one_of
from runtime.sinks.sink import SinkOptions
from runtime.sinks.video_file import VideoFile


class VideoSink:
    """A recording: one file, or in a camera's run `out.mp4`, `out-2.mp4`, … where its size changes or it is split."""

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
        self._split = round(options.split_s / time_base) if options.split_s else 0  # ticks in a file; 0: all
        self._file: VideoFile | None = None
        self._origin = 0  # tick at which the file begins
        self._last: VideoFile | None = None  # also once it is closed
        self._sizes: list[tuple[int, int]] = []  # each once
        self._number = self._begun = self._frames = 0  # the last file's number; how many of each there were

    def start(self, frame: Frame) -> None:
        """Count times from this frame, which is not written itself."""
        self._clock.start(frame)

    def write(self, picture: Image, frame: Frame) -> None:
        """Encode (H, W, 3) uint8 BGR at the frame's time.

        Raises: Failure (ENVIRONMENT) when the disk is full, the file deleted or no encoder works, (SOURCE) for a
        picture of another size where no frame may be lost.
        """
        size = (picture.shape[0], picture.shape[1])
        if self._file is not None and size != self._file.size and not self._options.live:
            raise Failure(
                f"frame {frame.index} {frame.name} is {size_text(size)} and '{self._path}' was begun with "
                f"{size_text(self._file.size)}; a video has one size: it ends before this frame. Write pictures "
                "instead (frames/%06i.png)",
                ExitCode.SOURCE,
            )
        tick = self._clock.tick(frame)
        if self._file is None or size != self._file.size or (self._split and tick - self._origin >= self._split):
            self._file = self._next_file(size, tick)
        self._file.write(picture, tick - self._origin)
        self._frames += 1

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

    def _next_file(self, size: tuple[int, int], tick: int) -> VideoFile:
        """Finish the file before and open the next one, which begins with a keyframe as every file does."""
        before, self._file = self._file, None
        if before is not None:
            before.close()
            same = size == before.size
            # Files of one length begin where the one before should have ended, so that recordings side by side agree.
            self._origin = self._origin + (tick - self._origin) // self._split * self._split if same else tick
        file = self._open(size, working(self._encoders, size, self._coding))
        if before is not None:
            why = f"{self._options.split_s:g} s are over" if same else f"frames are {size_text(size)} now"
            self._options.say(f"'{before.path}' goes on in '{file.path}': {why}")
        return file

    def _open(self, size: tuple[int, int], encoder: str) -> VideoFile:
        """The file of the next free number; the first one has none. Raises: Failure (ENVIRONMENT)."""
        first = not self._begun
        while True:
            self._number += 1
            path = self._path if first else self._path.with_stem(f"{self._path.stem}-{self._number}")
            if not first and is_one_of(path, self._options.inputs):
                continue
            try:
                self._last = VideoFile(path, size, encoder, self._coding, new=not first and not self._options.force)
                break
            except Taken:
                if first:
                    raise
        self._begun += 1
        if size not in self._sizes:
            self._sizes.append(size)
        return self._last
