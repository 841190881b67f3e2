"""Pairs and pictures on disk: whole or not there, and never over others unasked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import Failure
from training.whole_files import replacing

Image = NDArray[np.uint8]


def check_folder(folder: Path, names: list[str], force: bool) -> None:
    """Raises Failure where `folder`/blur or `folder`/sharp hold pictures that this would overwrite or mix with."""
    found = {path.name for side in ("blur", "sharp") if (folder / side).is_dir() for path in (folder / side).iterdir()}
    if found - set(names):
        raise Failure(
            f"{folder} holds other files ('{min(found - set(names))}'); a set of pairs is one set: choose a new folder"
        )
    if found and not force:
        raise Failure(f"{folder} holds pairs; choose a new folder, or --force to write over them")


def check_file(path: Path, force: bool) -> None:
    """Raises Failure where `path` is no place for a PNG or holds something."""
    if path.suffix.lower() != ".png":
        raise Failure(f"'{path}' is not a PNG's name; expected one such as sheet.png")
    if path.exists() and (path.is_dir() or not force):
        raise Failure(f"'{path}' exists; choose another name" + ("" if path.is_dir() else ", or --force"))


def write_picture(path: Path, image: Image) -> None:
    """Write a PNG, and the folders it lies in. Raises Failure (ENVIRONMENT); what was there is then untouched."""
    with replacing(path) as partial:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(cv2.imencode(".png", image)[1].tobytes())
