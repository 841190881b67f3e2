"""Pairs as a source: DIR/blur with DIR/sharp, DIR/input with DIR/target, or DIR/NAME_blur.* with DIR/NAME_sharp.*."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image
from runtime.reaching import reaching
from runtime.sources.image_source import DEFAULT_RATE, ImageSource, natural_order, read_image
from runtime.sources.source import IMAGE_SUFFIXES, Source, open_source
from runtime.stop import Stop

FOLDERS = (("blur", "sharp"), ("input", "target"))
BLURRED, SHARP = "_blur", "_sharp"


class PairSource(ImageSource):
    """Blurred pictures, each with its sharp one as the frame's `reference`; a damaged one costs the pair."""

    def __init__(self, name: str, sharp: dict[Path, Path]) -> None:
        """sharp: the sharp picture of each blurred one; these lie in one folder."""
        super().__init__(name, list(sharp), DEFAULT_RATE)
        self.inputs = (*self.inputs, *sharp.values())
        self._sharp = {blurred.name: path for blurred, path in sharp.items()}

    def read(self, stop: Stop) -> Frame | None:
        """The next pair that can be decoded; None at the end or once `stop` is set.

        Raises: Failure (SOURCE) when no pair at all can be decoded, or one is of two sizes.
        """
        while (frame := super().read(stop)) is not None:
            path = self._sharp[frame.name]
            try:
                sharp = read_image(path)
            except Failure as failure:
                self.corrupt += 1
                self.notes.append(str(failure))
                continue
            return replace(frame, reference=_of_one_size(sharp, path, frame))
        return None


def open_frames(uri: str) -> Source:
    """What the runtime's `open_source` opens, and folders of pairs: there, frames have their `reference`.

    Raises: Failure (SOURCE) when a picture of a folder of pairs lacks its partner, and what `open_source` raises.
    """
    path = uri.removeprefix("file://")
    with reaching(path):
        pairs = _pairs(Path(path)) if os.path.isdir(path) else {}
    return PairSource(path, pairs) if pairs else open_source(uri)


def _pairs(folder: Path) -> dict[Path, Path]:
    """The sharp picture of each blurred one, sorted; nothing where the folder is not made of pairs."""
    for blurred, sharp in FOLDERS:
        if (folder / blurred).is_dir() and (folder / sharp).is_dir():
            return _matched(folder, _by_name(_pictures(folder / blurred)), _by_name(_pictures(folder / sharp)))
    pictures = _pictures(folder)
    if not all(any(path.stem.endswith(ending) for path in pictures) for ending in (BLURRED, SHARP)):
        return {}
    # A picture that is neither is looked at as a blurred one, so that it is told of as lacking its partner.
    sharp_ones = [path for path in pictures if path.stem.endswith(SHARP)]
    blurred_ones = [path for path in pictures if not path.stem.endswith(SHARP)]
    return _matched(folder, _by_name(blurred_ones, BLURRED), _by_name(sharp_ones, SHARP))


def _matched(folder: Path, blurred: dict[str, Path], sharp: dict[str, Path]) -> dict[Path, Path]:
    if lone := blurred.keys() ^ sharp.keys():
        name = min(lone)
        path, partner = (blurred[name], "sharp") if name in blurred else (sharp[name], "blurred")
        raise Failure(
            f"'{path}' has no {partner} partner in '{folder}'; copy that one, too, or remove this one "
            f"(to take pictures without their partners, write '{path.parent}/*{path.suffix}')",
            ExitCode.SOURCE,
        )
    return {path: sharp[name] for name, path in blurred.items()}


def _by_name(paths: Iterable[Path], ending: str = "") -> dict[str, Path]:
    """Pictures by what blurred and sharp ones have in common. Raises Failure (SOURCE) when two have one name."""
    found: dict[str, Path] = {}
    for path in paths:
        name = path.stem.removesuffix(ending)
        if name in found:
            raise Failure(f"'{found[name]}' and '{path}' have one name; keep one of them", ExitCode.SOURCE)
        found[name] = path
    return found


def _pictures(folder: Path) -> list[Path]:
    paths = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    return sorted(paths, key=natural_order)


def _of_one_size(sharp: Image, path: Path, blurred: Frame) -> Image:
    if sharp.shape != blurred.image.shape:
        sizes = ["{}x{}".format(*image.shape) for image in (sharp, blurred.image)]
        raise Failure(
            f"'{path}' is {sizes[0]} (height x width) and its blurred partner '{blurred.name}' {sizes[1]}; "
            "expected one size: replace or remove the pair",
            ExitCode.SOURCE,
        )
    return sharp
