"""ImageSource: pictures from a folder, a glob or one file, in the order people count."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image, now_ns
from runtime.sources.source import IMAGE_SUFFIXES, SourceOptions
from runtime.sources.video_io import bgr_of, check_sides, quiet, reason
from runtime.stop import Stop

DEFAULT_RATE = Fraction(30)  # playing speed of pictures in a video, frames a second


class ImageSource:
    """Pictures, each at its own size; damaged ones are left out and counted."""

    live = False
    frame_rate: Fraction | None
    time_base: Fraction | None

    def __init__(self, name: str, paths: list[Path], rate: Fraction) -> None:
        self.frame_rate = rate
        self.time_base = 1 / rate
        self.inputs: tuple[Path, ...] = tuple(dict.fromkeys([*paths, *(path.parent for path in paths)]))
        self.corrupt = self.missed = self.superseded = 0
        self.notes: list[str] = []
        self._period = 1 / rate
        self._name = name
        self._paths = paths
        self._next = 0

    def describe(self) -> str:
        count = f"{len(self._paths)} picture{'s' if len(self._paths) > 1 else ''}"
        return f"{self._name}, {count}"

    def read(self, stop: Stop) -> Frame | None:
        """The next picture that can be decoded; None at the end or once `stop` is set.

        Raises: Failure (SOURCE) when no picture at all can be decoded.
        """
        while self._next < len(self._paths) and not stop.is_set():
            path, index = self._paths[self._next], self._next
            self._next += 1
            try:
                image = read_image(path)
            except Failure as failure:
                self.corrupt += 1
                self.notes.append(str(failure))
                continue
            return Frame(image, index, now_ns(), time=index * self._period, name=path.name)
        if self.corrupt == len(self._paths):
            raise Failure(self.notes[0], ExitCode.SOURCE)
        return None

    def close(self) -> None:
        pass


def read_image(path: Path) -> Image:
    """One picture file as uint8 (H, W, 3) BGR, upright; transparency is dropped, 16 bits become 8.

    Raises: Failure (SOURCE) when it cannot be read.
    """
    import av

    quiet()
    try:
        # Given as an open file, the name cannot be taken for a pattern such as `%d.png`.
        with path.open("rb") as file, av.open(file, "r") as container:
            codec = container.streams.video[0].codec_context
            check_sides((codec.height, codec.width), str(path))
            return bgr_of(next(container.decode(video=0)))
    except (av.error.FFmpegError, OSError, ValueError, IndexError, StopIteration) as error:
        raise Failure(
            f"picture '{path}' cannot be read: {reason(error) or 'no picture in it'}", ExitCode.SOURCE
        ) from error


def is_pictures(path: str) -> bool:
    """Whether a path means pictures: a folder, a glob or a file with a picture's suffix."""
    if Path(path).is_dir() or Path(path).suffix.lower() in IMAGE_SUFFIXES:
        return True
    return not Path(path).exists() and glob.has_magic(path)


def open_images(path: str, options: SourceOptions) -> ImageSource:
    """Open a folder, a glob or one picture.

    Raises: Failure (SOURCE) when there is no picture.
    """
    if Path(path).is_dir():
        found = _pictures(Path(path).iterdir())
    elif glob.has_magic(path) and not Path(path).exists():
        found = _pictures(map(Path, glob.glob(path)))
    elif Path(path).exists():
        found = [Path(path)]
    else:
        raise Failure(f"picture '{path}' does not exist; check the name", ExitCode.SOURCE)
    if not found:
        kinds = " ".join(sorted(IMAGE_SUFFIXES))
        raise Failure(f"no pictures in '{path}'; expected files ending in {kinds}", ExitCode.SOURCE)
    return ImageSource(path, found, options.rate or DEFAULT_RATE)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Sorts 2.png before 10.png."""
    parts = re.findall(r"(\d+)|(\D+)", str(path))
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts]


def _pictures(paths: Iterable[Path]) -> list[Path]:
    chosen = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    return sorted(chosen, key=natural_order)
