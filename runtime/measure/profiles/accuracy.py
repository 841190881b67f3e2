"""Accuracy: what the network gains on pictures whose sharp originals are known; no time is measured meanwhile."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image
from runtime.measure.quality import MOST_DB, psnr
from runtime.reaching import reaching
from runtime.sessions.session import Session, check_size
from runtime.sources.image_source import natural_order, read_image
from runtime.sources.source import IMAGE_SUFFIXES
from runtime.stop import Stop

FOLDERS = (("blur", "sharp"), ("input", "target"))
ENDS = ("_blur", "_sharp")
SHAPE = "blur/NAME.png with sharp/NAME.png, input/ with target/, or NAME_blur.png beside NAME_sharp.png"
Pair = tuple[str, Image, Image]  # name, blurred, sharp


def pairs_of_frames(frames: Iterable[Frame]) -> Iterator[Pair]:
    """Those frames that carry their sharp original."""
    for frame in frames:
        if frame.reference is not None:
            yield frame.name or str(frame.index), frame.image, frame.reference


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(blurred, sharp) files of a folder, in the order people count.

    Raises: Failure (SOURCE) where there are none, or a blurred one has no sharp one.
    """
    with reaching(str(folder)):
        if not folder.is_dir():
            raise Failure(f"--pairs '{folder}' is no folder; expected {SHAPE}", ExitCode.SOURCE)
        found = _by_folders(folder) or _by_ends(folder)
    if not found:
        raise Failure(f"no pairs in '{folder}'; expected {SHAPE}", ExitCode.SOURCE)
    for blurred, sharp in found:
        if not sharp.is_file():
            raise Failure(f"'{blurred}' has no sharp one: '{sharp}' is missing", ExitCode.SOURCE)
    return found


def read_pairs(files: Iterable[tuple[Path, Path]]) -> Iterator[Pair]:
    """Raises: Failure (SOURCE) for a picture that cannot be read, or two of one pair that differ in size."""
    for blurred, sharp in files:
        before, reference = read_image(blurred), read_image(sharp)
        if before.shape != reference.shape:
            raise Failure(
                f"'{blurred}' is {before.shape[1]}x{before.shape[0]} and '{sharp}' is "
                f"{reference.shape[1]}x{reference.shape[0]}; a pair has one size",
                ExitCode.SOURCE,
            )
        yield blurred.name, before, reference


def accuracy(session: Session, pairs: Iterable[Pair], of: str, stop: Stop) -> dict[str, Any] | None:
    """PSNR in dB before and after, in the mean and of each pair; None without pairs. of: in words.

    Raises: Failure as the session does for a picture that it does not take.
    """
    rows: list[dict[str, Any]] = []
    for name, before, reference in pairs:
        if stop.is_set():
            break
        check_size((before.shape[0], before.shape[1]), session)
        after = session.infer(before)
        rows.append(
            {
                "name": name,
                "before_db": min(psnr(before, reference), MOST_DB),
                "after_db": min(psnr(after, reference), MOST_DB),
            }
        )
    if not rows:
        return None
    means = {key: statistics.fmean(row[key] for row in rows) for key in ("before_db", "after_db")}
    return {"of": of, "frames": len(rows), **means, "pairs": rows}


def _by_folders(folder: Path) -> list[tuple[Path, Path]]:
    for blurred, sharp in FOLDERS:
        if (folder / blurred).is_dir():
            return [(path, folder / sharp / path.name) for path in _pictures(folder / blurred)]
    return []


def _by_ends(folder: Path) -> list[tuple[Path, Path]]:
    blurred = [path for path in _pictures(folder) if path.stem.endswith(ENDS[0])]
    return [(path, path.with_name(path.stem.removesuffix(ENDS[0]) + ENDS[1] + path.suffix)) for path in blurred]


def _pictures(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_order)
