"""Pairs and pictures on disk: whole or not there, and never over others unasked."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.whole_files import replacing

Image = NDArray[np.uint8]
_SIDES = ("blur", "sharp")
_OURS = re.compile(r"\d{6}\.png(\.partial)?")


def check_folder(folder: Path, force: bool) -> None:
    """Raises Failure where `folder`/blur or `folder`/sharp hold pictures that this would replace or mix with."""
    found = _found(folder)
    if others := {path.name for path in found if not _OURS.fullmatch(path.name)}:
        raise Failure(f"{folder} holds other files ('{min(others)}'); a set of pairs is one set: choose a new folder")
    if found and not force:
        raise Failure(f"{folder} holds pairs; choose a new folder, or --force to replace them")


def clear_folder(folder: Path) -> None:
    """Remove an older set, and what a crash left of one: pairs of two sets are no set. Raises Failure (ENVIRONMENT)."""
    for path in _found(folder):
        try:
            path.unlink()
        except OSError as error:
            raise Failure(
                f"cannot remove {path}: {error.strerror or error}; remove it by hand or choose a new folder",
                ExitCode.ENVIRONMENT,
            ) from error


def _found(folder: Path) -> list[Path]:
    return [path for side in _SIDES if (folder / side).is_dir() for path in (folder / side).iterdir()]


def check_file(path: Path, force: bool) -> None:
    """Raises Failure where `path` is no place for a PNG or holds something."""
    if path.suffix.lower() != ".png":
        raise Failure(f"'{path}' is not a PNG's name; expected one such as sheet.png")
    if path.exists() and (path.is_dir() or not force):
        raise Failure(f"'{path}' exists; choose another name" + ("" if path.is_dir() else ", or --force"))


def write_pair(folder: Path, name: str, pair: tuple[Image, Image]) -> None:
    """Write (blurred, sharp) as `folder`/blur/`name` and `folder`/sharp/`name`, which are not there yet.

    Both or neither, in an interrupted run too. Raises Failure (ENVIRONMENT).
    """
    paths = [folder / side / name for side in _SIDES]
    try:
        with replacing(paths[0]) as first, replacing(paths[1]) as second:
            for partial, image in zip((first, second), pair, strict=True):
                _encode(partial, image)
    except BaseException:
        for path in paths:
            with contextlib.suppress(OSError):  # never made
                path.unlink()
        raise


def write_picture(path: Path, image: Image) -> None:
    """Write a PNG, and the folders it lies in. Raises Failure (ENVIRONMENT); what was there is then untouched."""
    with replacing(path) as partial:
        _encode(partial, image)


def _encode(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
