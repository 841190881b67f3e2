"""RealBlur (Rim et al., ECCV 2020): scenes in folders, divided by the authors' lists beside them."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.data.pair_set import Group, Layout, Pair, checked_variant
from training.data.pictures import subfolders
from training.data.side_by_side import side_by_side


def realblur(folder: Path) -> Layout | None:
    """RealBlur-{J,R}…/sceneNNN/{gt,blur}, or the folder above it where the lists lie, or None.

    Raises Failure (SOURCE) when there are two to choose from.
    """
    inside = {name: path for name, path in subfolders(folder).items() if name.startswith("RealBlur")}
    if len(inside) > 1:
        raise Failure(f"{folder} holds {' and '.join(inside)}; give one of them", ExitCode.SOURCE)
    scenes = next(iter(inside.values()), folder)
    letter = re.match("RealBlur[-_]([JR])", scenes.name)
    if letter is None:
        return None
    lists = {
        split: path
        for split in ("train", "test")
        for home in (scenes.parent, scenes)
        if os.path.isfile(path := home / f"RealBlur_{letter[1]}_{split}_list.txt")
    }
    if not lists:
        return side_by_side(scenes)
    return Layout(f"RealBlur-{letter[1]}", {split: partial(_pairs, scenes, path) for split, path in lists.items()})


def _pairs(scenes: Path, path: Path, variant: str) -> list[Pair]:
    checked_variant(variant, "RealBlur")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; check its permissions", ExitCode.SOURCE) from error
    pairs = [_pair(scenes, line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    absent = [file for pair in pairs for file in (pair.blurred, pair.sharp) if not os.path.isfile(file)]
    if not pairs:
        raise Failure(f"{path}: found no pictures; expected a pair of paths in each line", ExitCode.SOURCE)
    if absent:
        raise Failure(
            f"{path}: {len(absent)} of its {2 * len(pairs)} pictures are absent, first {absent[0]}; "
            "unpack the whole set again, or correct the list",
            ExitCode.SOURCE,
        )
    return list(dict.fromkeys(pairs))


def _pair(scenes: Path, line: str, where: str) -> Pair:
    """A line names the sharp and the blurred picture; only three parts of each count, since people rename the rest."""
    sharp, blurred = (Path(word).parts[-3:] for word in [*line.split(), "", ""][:2])
    if not (len(sharp) == len(blurred) == 3 and (sharp[1], blurred[1]) == ("gt", "blur")):
        raise Failure(
            f"{where}: found '{line[:80]}'; expected …/sceneN/gt/gt_N.png …/sceneN/blur/blur_N.png", ExitCode.SOURCE
        )
    name = Path(blurred[2]).stem.removeprefix("blur_")
    return Group(scenes, "", blurred[0]).pair(name, scenes.joinpath(*blurred), scenes.joinpath(*sharp))
