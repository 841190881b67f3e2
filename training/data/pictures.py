"""Reading pictures and listing folders, with errors that say what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure

Image = NDArray[np.uint8]
Size = tuple[int, int]  # (height, width)
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


def file_size(path: Path) -> int:
    """Bytes. Raises Failure (SOURCE) when there is no such file."""
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; copy it again", ExitCode.SOURCE) from error


def stored_size(path: Path) -> Size | None:
    """The size that the header of a PNG or a JPEG gives, at a thousandth of the cost of reading it; else None.

    Stored, not shown: `read_picture` also follows a camera's note that it was held upright.
    """
    try:
        with path.open("rb") as file:
            head = file.read(24)
            if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) == 24:
                return int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")
            return _jpeg_size(file) if head.startswith(b"\xff\xd8") else None
    except OSError:
        return None


def _jpeg_size(file: BinaryIO) -> Size | None:
    """Segment after segment up to the one that begins a frame; None for whatever is not plain."""
    file.seek(2)
    while len(head := file.read(9)) == 9 and head[0] == 0xFF:
        if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):  # those are tables
            return int.from_bytes(head[5:7], "big"), int.from_bytes(head[7:9], "big")
        file.seek(int.from_bytes(head[2:4], "big") - 7, os.SEEK_CUR)
    return None


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


def read_pair(paths: tuple[Path, Path], min_size: Size = (1, 1)) -> tuple[Image, Image]:
    """Blurred and sharp picture of one pair. Raises Failure (SOURCE) when sizes differ or are under (height, width)."""
    blurred, sharp = (read_picture(path) for path in paths)
    if blurred.shape != sharp.shape:
        raise Failure(
            f"{paths[0]} is {_size(blurred)} and {paths[1]} is {_size(sharp)}; expected one size", ExitCode.SOURCE
        )
    check_size(blurred, paths[0], min_size)
    return blurred, sharp


def check_pair(paths: tuple[Path, Path], min_size: Size) -> None:
    """Raises Failure as `read_pair` does, which is asked only where headers do not plainly tell that all is well."""
    sizes = {stored_size(path) for path in paths}
    first = sizes.pop()
    if sizes or first is None or min(first) < max(min_size):  # either side may be the height, once it is turned
        read_pair(paths, min_size)


def check_size(image: Image, path: Path, min_size: Size) -> None:
    """Raises Failure (SOURCE) when a picture is under (height, width)."""
    if image.shape[0] < min_size[0] or image.shape[1] < min_size[1]:
        raise Failure(
            f"{path} is {_size(image)}; expected at least {min_size[0]}x{min_size[1]} (height x width): "
            "use larger pictures (in training, or a smaller --patch)",
            ExitCode.SOURCE,
        )


def _size(image: Image) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
