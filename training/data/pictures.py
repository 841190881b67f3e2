"""Reading pictures and listing folders, with errors that say what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure

Image = NDArray[np.uint8]
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def subfolders(folder: Path) -> dict[str, Path]:
    """Folders directly in a folder, by name, sorted. Raises Failure (SOURCE) when it cannot be listed."""
    return {entry.name: Path(entry.path) for entry in _entries(folder) if _is(entry, os.DirEntry.is_dir, os.path.isdir)}


def files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files of these (lower-case) suffixes directly in a folder, sorted. Raises Failure as `subfolders` does."""
    named = (entry for entry in _entries(folder) if os.path.splitext(entry.name)[1].lower() in suffixes)
    return [Path(entry.path) for entry in named if _is(entry, os.DirEntry.is_file, os.path.isfile)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not os.path.isdir(folder):  # unlike Path.is_dir, it answers for paths that cannot be asked about
        raise Failure(f"{folder} is not a folder; expected a folder of pictures", ExitCode.SOURCE)
    try:
        with os.scandir(folder) as entries:
            # Hidden files and `__MACOSX` are what archivers and notebooks leave, with suffixes like the real ones.
            seen = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise Failure(f"{folder} cannot be read: {error.strerror}; check its permissions", ExitCode.SOURCE) from error
    return sorted(seen, key=lambda entry: entry.name)


def _is(entry: os.DirEntry[str], told: Callable[[os.DirEntry[str]], bool], asked: Callable[[str], bool]) -> bool:
    """What the listing itself tells, instead of asking about each of a hundred thousand files; links are followed."""
    return asked(entry.path) if entry.is_symlink() else told(entry)


def picture_paths(folder: Path) -> list[Path]:
    """Pictures directly in a folder, sorted by name. Raises Failure (SOURCE) when there are none."""
    paths = files(folder, SUFFIXES)
    if not paths:
        raise Failure(f"{folder} holds no pictures; expected files like *.png or *.jpg", ExitCode.SOURCE)
    return paths


def read_picture(path: Path) -> Image:
    """(H, W, 3) uint8 BGR. Raises Failure (SOURCE) when the file is not a readable picture."""
    # Through a buffer: cv2.imread prints its own warnings and cannot tell a missing file from a broken one.
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error) as error:  # OpenCV refuses sides that no picture has
        raise Failure(f"{path} cannot be read: {str(error).splitlines()[0]}", ExitCode.SOURCE) from error
    if image is None:
        raise Failure(f"{path} is empty or not a picture that OpenCV can read; remove or replace it", ExitCode.SOURCE)
    return np.asarray(image, dtype=np.uint8)


def read_pair(paths: tuple[Path, Path], min_size: tuple[int, int] = (1, 1)) -> tuple[Image, Image]:
    """Blurred and sharp picture of one pair. Raises Failure (SOURCE) when sizes differ or are under (height, width)."""
    blurred, sharp = (read_picture(path) for path in paths)
    if blurred.shape != sharp.shape:
        raise Failure(
            f"{paths[0]} is {_size(blurred)} and {paths[1]} is {_size(sharp)}; expected one size", ExitCode.SOURCE
        )
    check_size(blurred, paths[0], min_size)
    return blurred, sharp


def check_size(image: Image, path: Path, min_size: tuple[int, int]) -> None:
    """Raises Failure (SOURCE) when a picture is under (height, width)."""
    if image.shape[0] < min_size[0] or image.shape[1] < min_size[1]:
        raise Failure(
            f"{path} is {_size(image)}; expected at least {min_size[0]}x{min_size[1]} (height x width): "
            "use larger pictures (in training, or a smaller --patch)",
            ExitCode.SOURCE,
        )


def _size(image: Image) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
