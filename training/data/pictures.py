"""Reading pictures and folders of them, with errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure

Image = NDArray[np.uint8]
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def picture_paths(folder: Path) -> list[Path]:
    """Pictures directly in a folder, sorted by name. Raises Failure (SOURCE) when there are none."""
    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder; expected a folder of pictures", ExitCode.SOURCE)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise Failure(f"{folder} cannot be read: {error.strerror}; check its permissions", ExitCode.SOURCE) from error
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


def pair_paths(folder: Path) -> list[tuple[Path, Path]]:
    """(blurred, sharp) paths with equal names, from `blur/` and `sharp/`, or from `*_blur.*` beside `*_sharp.*`.

    Raises Failure (SOURCE) when the folder has neither shape, or names that have no partner.
    """
    if (folder / "blur").is_dir() and (folder / "sharp").is_dir():
        blurred, sharp = (_by_name(picture_paths(folder / side), "") for side in ("blur", "sharp"))
    else:
        blurred, sharp = (_by_name(picture_paths(folder), ending) for ending in ("_blur", "_sharp"))
    alone = sorted(blurred.keys() ^ sharp.keys())
    if alone or not blurred:
        found = f"{len(alone)} names without a partner, first '{alone[0]}'" if alone else "no pairs"
        raise Failure(
            f"{folder}: found {found}; expected blur/NAME.png with sharp/NAME.png, "
            "or NAME_blur.png with NAME_sharp.png",
            ExitCode.SOURCE,
        )
    return [(blurred[name], sharp[name]) for name in sorted(blurred)]


def _by_name(paths: list[Path], ending: str) -> dict[str, Path]:
    """Pictures whose name ends so, by the rest of the name."""
    named = [(path.stem.removesuffix(ending), path) for path in paths if path.stem.endswith(ending)]
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            raise Failure(f"{found[name]} and {path} have one name; keep one of them", ExitCode.SOURCE)
        found[name] = path
    return found


def has_pairs(folder: Path) -> bool:
    """Whether the folder looks like a set of pairs (rather than a set of sharp photographs)."""
    return (folder / "blur").is_dir() or any(folder.glob("*_blur.*"))


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
