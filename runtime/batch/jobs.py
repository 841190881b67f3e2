"""Jobs: which files a batch takes, where each result goes, and what decides how it looks."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.sessions.models import SHIPPED, WEIGHTS
from runtime.sinks.sink import VIDEO_SUFFIXES
from runtime.sources.source import IMAGE_SUFFIXES

# Half-made results: hidden, and the random part makes each attempt's its own.
PARTIAL = re.compile(r"\.[0-9a-f]{16}\.part(\.\w+)?")


@dataclass(frozen=True)
class Job:
    """One input on its way to one output. Paths are absolute: a worker may stand in another folder."""

    source: Path  # a video, or a folder of pictures
    output: Path  # the same kind
    words: tuple[str, ...]  # of `edgedeblur run`, beside input and output
    made_by: dict[str, Any] = field(default_factory=dict)  # what else decides the result, as JSON can hold it

    @property
    def is_folder(self) -> bool:
        return self.source.is_dir()


def jobs_of(patterns: Sequence[str], out: Path, words: Sequence[str], made_by: dict[str, Any]) -> list[Job]:
    """A job for each video and folder of pictures that a pattern names; what lies in `out` is no input.

    The result of a/b/c.mp4 is `out`/c.mp4 for the pattern a/b/*.mp4 and `out`/b/c.mp4 for a/**/*.mp4.
    Raises: Failure (SOURCE) where a pattern finds nothing, (USAGE) for pictures, for two inputs with one output, for an
    output in the folder of another.
    """
    out = Path(os.path.abspath(out))
    jobs: dict[Path, Job] = {}
    for pattern in patterns:
        sources = [path for path in _matches(pattern) if not _real(path).is_relative_to(_real(out))]
        if not sources:
            raise Failure(f"'{pattern}' finds no video or folder outside of '{out}'; check the name", ExitCode.SOURCE)
        for source in sources:
            _check_kind(source, pattern)
            job = Job(source, out / _place(source, pattern), tuple(words), made_by)
            other = jobs.setdefault(job.output, job)
            if other.source != source:
                raise Failure(
                    f"'{other.source}' and '{source}' would both become '{job.output}'; give one pattern that holds "
                    "both, such as 'videos/**/*.mp4', or a batch for each"
                )
    _check_folders(jobs)
    return list(jobs.values())


def model_stamp(model: str) -> dict[str, str]:
    """What a model is, so that a changed one is noticed. Raises: Failure (MODEL) for a file that cannot be read."""
    shipped = {"auto": SHIPPED[0]}.get(model, model)
    path = WEIGHTS / f"{shipped}.onnx" if shipped in SHIPPED else Path(model)
    try:
        return {"model": model, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError as error:
        raise Failure(
            f"model '{model}' cannot be read: {error.strerror}; give an .engine or .onnx file, or auto", ExitCode.MODEL
        ) from error


def leftovers(out: Path) -> Iterator[Path]:
    """Half-made results in `out` and below, of workers that were killed."""
    for folder, folders, files in os.walk(out):
        names = [name for name in (*folders, *files) if PARTIAL.fullmatch(name)]
        folders[:] = [name for name in folders if name not in names]
        yield from (Path(folder, name) for name in names)


def _matches(pattern: str) -> list[Path]:
    """Absolute paths in order. A name that is there is meant as it is, whatever characters it holds."""
    if os.path.exists(pattern):
        return [Path(os.path.abspath(pattern))]
    paths = [Path(os.path.abspath(name)) for name in sorted(glob.glob(pattern, recursive=True))]
    # `**` also finds the folders on the way to the videos, and goes round in those that are linked into themselves.
    return [path for path in paths if (path.is_file() or _holds_pictures(path)) and not _goes_round(path.parent)]


def _holds_pictures(path: Path) -> bool:
    try:
        return any(child.suffix.lower() in IMAGE_SUFFIXES for child in path.iterdir())
    except OSError:  # it may not be read
        return False


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


@functools.lru_cache(maxsize=1024)
def _goes_round(folder: Path) -> bool:
    """Whether the way to a folder goes through one and the same folder twice."""
    way = [os.path.realpath(step) for step in (folder, *folder.parents)]
    return len(set(way)) < len(way)


def _check_folders(jobs: Mapping[Path, Job]) -> None:
    """A folder of pictures is put in its place as a whole: what another job has written into it would be lost."""
    for output in jobs:
        folder = next((parent for parent in output.parents if parent in jobs), None)
        if folder:
            raise Failure(
                f"'{output}' would lie in '{folder}', which is a result itself; give a batch with its own -o for each"
            )


def _check_kind(source: Path, pattern: str) -> None:
    if source.is_dir() and not _holds_pictures(source):
        raise Failure(f"'{source}' holds no pictures; for the videos in it write '{pattern.rstrip('/')}/*'")
    if source.is_file() and source.suffix.lower() in IMAGE_SUFFIXES:
        raise Failure(
            f"'{source}' is a picture, and a batch takes videos and folders of pictures; give its folder, or use: "
            "edgedeblur run FOLDER/ OUT/"
        )


def _place(source: Path, pattern: str) -> Path:
    """Where a result goes below the output folder: as the input lies below the part of the pattern that is fixed."""
    parts = Path(os.path.abspath(pattern)).parts
    fixed = list(parts[:-1])
    if not os.path.exists(pattern):
        fixed = list(parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])
    place = source.relative_to(Path(*fixed))
    is_kept = source.is_dir() or source.suffix.lower() in VIDEO_SUFFIXES
    if place == Path():  # the folder itself, which `**` finds, too
        return Path(source.name)
    return place if is_kept else place.with_name(f"{place.name}.mp4")
