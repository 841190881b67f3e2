"""Sets with blurred and sharp pictures side by side in each sequence: GoPro, BSD, RealBlur's scenes, plain pairs."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.data.pair_set import SPLITS, Group, Layout, Pair, checked_variant, pictures_by_name
from training.data.pictures import subfolders

_PLAIN = "blur/NAME.png with sharp/NAME.png, or NAME_blur.png with NAME_sharp.png"


@dataclasses.dataclass(frozen=True)
class Sides:
    """Folders of one sequence. blurred: one for each variant, the usual one first; starts: what names begin with."""

    owner: str
    blurred: tuple[str, ...]
    sharp: str
    ordered: bool = False  # shots of a scene, and what users put side by side, are not consecutive frames
    starts: tuple[str, str] = ("", "")  # of blurred and of sharp names

    def begun(self, folder: Path) -> bool:
        """Whether the folder has blurred pictures of this kind."""
        return any(os.path.isdir(folder / blurred) for blurred in self.blurred)

    def whole(self, folder: Path) -> bool:
        """Whether the folder has blurred and sharp pictures of this kind."""
        return self.begun(folder) and os.path.isdir(folder / self.sharp)


_SIDES = (
    Sides("GoPro", ("blur", "blur_gamma"), "sharp", ordered=True),  # Nah et al., CVPR 2017
    Sides("BSD", ("Blur/RGB",), "Sharp/RGB", ordered=True),  # Zhong et al., ECCV 2020
    Sides("RealBlur", ("blur",), "gt", starts=("blur_", "gt_")),  # Rim et al., ECCV 2020
    Sides("pairs", ("input",), "target"),
)


def side_by_side(folder: Path) -> Layout | None:
    """[SPLIT/][SEQUENCE/]SIDE/NAME, or None. Raises Failure (SOURCE) for the blurred side alone."""
    _refuse_one_side(folder)
    parts = {name: path for name, path in subfolders(folder).items() if name in SPLITS} or {"": folder}
    sides = next(filter(None, map(_sides, parts.values())), None)
    if sides is None:
        return None
    plain = all(sides.begun(part) and not _sequence_name(part, sides) for part in parts.values())
    splits = {split: partial(_pairs, part, sides) for split, part in parts.items()}
    unread = (*_unread_above(folder, parts), *_unread_below(parts, sides))
    return Layout("pairs" if plain else sides.owner, splits, unread)


def suffixed(folder: Path) -> Layout | None:
    """`NAME_blur.*` beside `NAME_sharp.*`, or None."""
    blurred, sharp = (pictures_by_name(folder, end=end) for end in ("_blur", "_sharp"))
    return Layout("pairs", {"": partial(_suffixed_pairs, folder, blurred, sharp)}) if blurred else None


def _suffixed_pairs(folder: Path, blurred: dict[str, Path], sharp: dict[str, Path], variant: str) -> list[Pair]:
    checked_variant(variant, "a folder of NAME_blur.* pictures")
    return Group(folder, _PLAIN).matched(blurred, sharp)


def _refuse_one_side(folder: Path) -> None:
    """A folder of blurred pictures would be taken for sharp photographs."""
    for blurred, sharp in ((blurred, sides.sharp) for sides in _SIDES for blurred in sides.blurred):
        root = folder.parents[blurred.count("/")] if folder.as_posix().endswith(f"/{blurred}") else None
        if root and os.path.isdir(root / sharp):
            raise Failure(f"{folder} holds the blurred pictures of pairs only; give {root}", ExitCode.SOURCE)


def _sides(part: Path) -> Sides | None:
    """Those of a split: of the folder itself or of its first sequence. What a half one lacks is told on reading."""
    folders = (part, *subfolders(part).values())
    whole = (sides for folder, sides in itertools.product(folders, _SIDES) if sides.whole(folder))
    half = (sides for folder, sides in itertools.product(folders, _SIDES[:2]) if sides.begun(folder))
    return next(itertools.chain(whole, half), None)


def _unread_above(folder: Path, parts: dict[str, Path]) -> Iterator[str]:
    """Of sides beside the splits."""
    for sides in _SIDES if "" not in parts else ():
        if sides.whole(folder):
            yield (
                f"{folder}: {sides.blurred[0]}/ and {sides.sharp}/ are not read, but {'/, '.join(parts)}/; "
                "move them into a split like train/ to use them"
            )


def _unread_below(parts: dict[str, Path], sides: Sides) -> Iterator[str]:
    """Of sequences beside the sides of a folder that is taken for one itself."""
    for part in filter(sides.begun, parts.values()):
        for folder in subfolders(part).values():
            if any(other.whole(folder) for other in _SIDES):
                yield f"{folder}: its pairs are not read, but those of {part} itself; move one of them away"


def _pairs(part: Path, sides: Sides, variant: str) -> list[Pair]:
    sequences = {_sequence_name(part, sides): part} if sides.begun(part) else subfolders(part)
    if not sequences:
        raise Failure(
            f"{part} holds no folders; {sides.owner} has one for each sequence there: unpack it again", ExitCode.SOURCE
        )
    blurred = sides.blurred[0] if variant == "blur" else checked_variant(variant, sides.owner, sides.blurred)
    return [pair for name, folder in sequences.items() for pair in _sequence(folder, name, sides, blurred)]


def _sequence_name(folder: Path, sides: Sides) -> str:
    """The name of a folder that is surely one sequence of a set; "" for plain pairs."""
    return folder.name if sides.owner == "BSD" or os.path.isdir(folder / "blur_gamma") else ""


def _sequence(folder: Path, name: str, sides: Sides, blurred: str) -> list[Pair]:
    for side in (blurred, sides.sharp):
        if not os.path.isdir(folder / side):
            raise Failure(
                f"{folder}: found {', '.join(subfolders(folder)) or 'no folders'}, but no {side}; expected "
                f"{blurred}/NAME with {sides.sharp}/NAME: copy what is missing, or move the folder away",
                ExitCode.SOURCE,
            )
    expected = _PLAIN if blurred == "blur" and sides.sharp == "sharp" else f"{blurred}/NAME with {sides.sharp}/NAME"
    both = zip((blurred, sides.sharp), sides.starts, strict=True)
    named = (pictures_by_name(folder / side, start) for side, start in both)
    return Group(folder, expected, name, sides.ordered).matched(*named)
