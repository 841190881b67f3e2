"""REDS (Nah et al., CVPRW 2019): each kind of picture of a split has its own folder of sequences."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.data.pair_set import SPLITS, Group, Layout, Pair, checked_variant, pictures_by_name
from training.data.pictures import subfolders

_BLURRED = re.compile("(train|val|test)_(blur|blur_comp|blur_jpeg)")  # not the reduced ones of super-resolution


def reds(folder: Path) -> Layout | None:
    """[SPLIT/]SPLIT_{blur,blur_comp,blur_jpeg,sharp}/NNN/NNNNNNNN.png, one split, blurred side or sequence; or None."""
    if named := _BLURRED.fullmatch(folder.name):
        return Layout("REDS", {"": partial(_pairs_of_side, folder, named[1])})
    if named := _BLURRED.fullmatch(folder.parent.name):
        return Layout("REDS", {"": partial(_pairs_of_sequence, folder, named[1])})
    homes = {}
    for home in (folder, *(path for name, path in subfolders(folder).items() if name in SPLITS)):
        for split in {named[1] for named in map(_BLURRED.fullmatch, subfolders(home)) if named}:
            if split != "test" or os.path.isdir(home / "test_sharp"):  # the authors keep the sharp frames of test
                homes[split] = home
    splits = {split: partial(_pairs_of_split, home, split) for split, home in sorted(homes.items())}
    one = [*splits] == [folder.name]
    return Layout("REDS", {"": splits[folder.name]} if one else {**splits}) if splits else None


def _pairs_of_split(home: Path, split: str, variant: str) -> list[Pair]:
    there = tuple(named[2] for named in map(_BLURRED.fullmatch, subfolders(home)) if named and named[1] == split)
    return _pairs_of_side(home / f"{split}_{checked_variant(variant, f'REDS in {home}', there)}", split, "blur")


def _pairs_of_side(blurred: Path, split: str, variant: str) -> list[Pair]:
    """The folder's own name says which variant it is, so that only the default may be asked for."""
    checked_variant(variant, f"{blurred} (give the folder above it to choose)")
    sharp = blurred.parent / f"{split}_sharp"
    if not os.path.isdir(sharp):
        raise Failure(
            f"{blurred.parent}: found {blurred.name}, but no {sharp.name} with the sharp frames: unpack it too",
            ExitCode.SOURCE,
        )
    sequences = sorted({*subfolders(blurred), *subfolders(sharp)})
    if not sequences:
        raise Failure(f"{blurred} is empty; expected NNN/NNNNNNNN.png: unpack it again", ExitCode.SOURCE)
    return [pair for name in sequences for pair in _pairs_of_sequence(blurred / name, split, "blur")]


def _pairs_of_sequence(blurred: Path, split: str, variant: str) -> list[Pair]:
    checked_variant(variant, f"{blurred} (give the folder above REDS's sides to choose)")
    sharp = blurred.parents[1] / f"{split}_sharp" / blurred.name
    group = Group(blurred, f"the frames of {sharp}", blurred.name, ordered=True)
    return group.matched(pictures_by_name(blurred), pictures_by_name(sharp))
