"""HIDE (Shen et al., ICCV 2019): blurred pictures by split, the sharp ones of all splits in one folder."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.data.pair_set import Group, Layout, Pair, by_name, checked_variant, pictures_by_name
from training.data.pictures import subfolders

_DISTANCES = ("test-close-ups", "test-long-shot")


def hide(folder: Path) -> Layout | None:
    """GT/ with train/ and test/{test-close-ups,test-long-shot}/, one split of them, or one part of test; or None."""
    parts = {split: folder / split for split in ("train", "test") if os.path.isdir(folder / split)}
    if parts and (os.path.isdir(folder / "GT") or any(os.path.isdir(folder / "test" / name) for name in _DISTANCES)):
        return Layout("HIDE", {split: partial(_pairs, part, folder / "GT") for split, part in parts.items()})
    up = {"train": 1, "test": 1, **dict.fromkeys(_DISTANCES, 2)}.get(folder.name)
    sharp = folder.parents[up - 1] / "GT" if up and up <= len(folder.parents) else None
    return Layout("HIDE", {"": partial(_pairs, folder, sharp)}) if sharp and os.path.isdir(sharp) else None


def _pairs(part: Path, sharp: Path, variant: str) -> list[Pair]:
    checked_variant(variant, "HIDE")
    if not os.path.isdir(sharp):
        raise Failure(
            f"{part.parent}: found {part.name}/, but no GT/; HIDE keeps its sharp pictures there: unpack it again",
            ExitCode.SOURCE,
        )
    folders = (part, *subfolders(part).values())
    blurred = by_name(named for folder in folders for named in pictures_by_name(folder).items())
    named = pictures_by_name(sharp)
    # GT holds the other split's pictures, too: only the blurred ones must all have a partner.
    return Group(part, f"{sharp}/NAME for each").matched(
        blurred, {name: named[name] for name in blurred if name in named}
    )
