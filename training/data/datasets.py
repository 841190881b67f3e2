"""Blurred/sharp pairs of a folder, in the layouts of the public deblurring sets' authors.

A layout is recognised by the shape of its folders alone; nothing deeper than SPLIT/SEQUENCE/SIDE/RGB is looked at, and
no picture is opened.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.data.hide import hide
from training.data.pair_set import SPLITS, Layout, Pair
from training.data.pictures import subfolders
from training.data.realblur import realblur
from training.data.reds import reds
from training.data.side_by_side import side_by_side, suffixed

__all__ = ["SHAPES", "Pair", "PairSet", "find_pairs", "is_pairs"]

SHAPES = """
  pairs     blur/NAME.png with sharp/NAME.png (or input/ with target/), or NAME_blur.png beside NAME_sharp.png
  GoPro     {train,test}/SEQUENCE/{blur,blur_gamma,sharp}/NNNNNN.png
  HIDE      train/*.png, test/{test-close-ups,test-long-shot}/*.png, the sharp ones of both in GT/*.png
  RealBlur  sceneN/{blur,gt}/{blur,gt}_N.png, beside that folder RealBlur_{J,R}_{train,test}_list.txt
  REDS      {train,val}/{train,val}_{blur,blur_comp,blur_jpeg,sharp}/NNN/NNNNNNNN.png
  BSD       {train,valid,test}/NNN/{Blur,Sharp}/RGB/NNNNNNNN.png"""
_SHAPES = (hide, reds, realblur, side_by_side, suffixed)
# A set without the wanted split has one that serves: GoPro has no val, and REDS publishes no test.
_SERVES = {"train": ("train",), "val": ("val", "valid", "test"), "test": ("test", "val", "valid")}


@dataclasses.dataclass(frozen=True)
class PairSet:
    """Pairs of a folder. layout: for people, like `GoPro, test split`; splits: those the folder is divided into."""

    layout: str
    pairs: tuple[Pair, ...]
    splits: tuple[str, ...] = ()

    def serves(self, split: str) -> bool:
        """Whether `find_pairs` finds this split in the folder."""
        return any(name in self.splits for name in _SERVES[split])


def is_pairs(folder: Path) -> bool:
    """Whether the folder has the shape of a set of pairs, complete or not. Raises Failure (SOURCE) when unreadable."""
    return _layout(folder) is not None


def find_pairs(folder: Path, split: str | None = None, variant: str = "blur") -> PairSet:
    """The pairs of a public set or of a user's own, sorted: all, or those of one split where the folder has splits.

    folder: the whole set, one split of it or one sequence. split: `train`, `val` or `test`; val and test serve for each
    other where the set has one only. variant: which blurred pictures (GoPro: blur, blur_gamma; REDS: blur, blur_comp,
    blur_jpeg). Raises Failure: (SOURCE) for a folder of another shape and for whatever is missing in it, (USAGE) for a
    variant that the set does not have. Says on stderr which pairs of the folder are not looked at.
    """
    layout = _layout(folder)
    if layout is None:
        raise Failure(f"{folder} holds no pairs that are understood; expected one of:{SHAPES}", ExitCode.SOURCE)
    for line in layout.unread:
        _tell(line)
    splits = tuple(name for name in layout.splits if name)
    chosen = _chosen(folder, layout.name, splits, split)
    pairs = tuple(
        pair for name in chosen for pair in _under(name if len(chosen) > 1 else "", layout.splits[name](variant))
    )
    kind = layout.name if variant == "blur" else f"{layout.name} ({variant})"
    label = chosen[0] or (folder.name if folder.name in SPLITS else "")
    return PairSet(f"{kind}, {label} split" if label and len(chosen) == 1 else kind, pairs, splits)


@functools.cache  # training and validation look at one folder: it is said once
def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _layout(folder: Path) -> Layout | None:
    folder = Path(os.path.abspath(folder))  # some shapes are known by what lies beside and above
    subfolders(folder)  # says what is wrong with one that cannot be listed
    return next(filter(None, (shape(folder) for shape in _SHAPES)), None)


def _chosen(folder: Path, name: str, splits: tuple[str, ...], split: str | None) -> tuple[str, ...]:
    """Names of the splits to read; ("",) where there are none."""
    if split is None or not splits:
        return splits or ("",)
    serving = [name for name in _SERVES[split] if name in splits]
    if not serving:
        raise Failure(
            f"{folder} ({name}): found {', '.join(splits)}, but no {split} split; unpack it too, "
            f"or give {folder / splits[0]} to use that one's pairs",
            ExitCode.SOURCE,
        )
    return (serving[0],)


def _under(split: str, pairs: list[Pair]) -> list[Pair]:
    """With the split before the names: those of REDS and BSD come again in each."""
    if not split:
        return pairs
    return [
        dataclasses.replace(pair, name=f"{split}/{pair.name}", sequence=pair.sequence and f"{split}/{pair.sequence}")
        for pair in pairs
    ]
