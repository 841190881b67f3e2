"""Where pairs come from: folders of blurred/sharp pictures, or sharp photographs that a virtual camera blurs."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.pictures import check_size, has_pairs, pair_paths, picture_paths, read_pair, read_picture
from training.synthesis.deadleaves import dead_leaves
from training.synthesis.synth import SynthConfig, synthesise

Image = NDArray[np.uint8]
Item = TypeVar("Item")
_DEFAULT = SynthConfig()
# Validation is about blur: one crop that was sharp before would outweigh ten blurred ones in a mean of decibels.
_BLURRED = SynthConfig(sharp_share=0.0)
_PHOTO_MEMORY = 4 * 2**30  # bytes of decoded photographs kept


class SyntheticPairs:
    """Pairs made on the fly from sharp photographs."""

    def __init__(self, photos: dict[str, Image], config: SynthConfig = _DEFAULT) -> None:
        """photos: by name."""
        self.photos, self.names = list(photos.values()), list(photos)
        self.config = config

    def sample(self, rng: np.random.Generator, patch: int) -> tuple[Image, Image]:
        """A new (blurred, sharp) pair, (patch, patch, 3) uint8 BGR."""
        return synthesise(self.photos, rng, dataclasses.replace(self.config, size=(patch, patch)))


class FolderPairs:
    """Random crops, flips and quarter turns of pairs on disk."""

    def __init__(self, paths: list[tuple[Path, Path]]) -> None:
        self.paths = paths
        self.names = [blurred.name for blurred, _ in paths]

    def sample(self, rng: np.random.Generator, patch: int) -> tuple[Image, Image]:
        """A random crop of a random pair, (patch, patch, 3) uint8 BGR."""
        images = read_pair(self.paths[rng.integers(len(self.paths))], (patch, patch))
        top, left = (int(rng.integers(length - patch + 1)) for length in images[0].shape[:2])
        turns, flip = int(rng.integers(4)), rng.random() < 0.5
        crops = (image[top : top + patch, left : left + patch] for image in images)
        turned = (np.rot90(crop[:, ::-1] if flip else crop, turns) for crop in crops)
        blurred, sharp = (np.ascontiguousarray(crop) for crop in turned)
        return blurred, sharp


Pairs = SyntheticPairs | FolderPairs


def open_pairs(folder: Path | None, patch: int, validation: Path | None = None) -> tuple[Pairs, Pairs]:
    """Training and validation pairs of a folder: `blur/`+`sharp/` pairs, or sharp photographs; dead leaves without one.

    Where `validation` is not given, every 20th picture (at least one) is held out for it.
    Raises Failure (SOURCE) when a folder has nothing to train on.
    """
    if folder is None:
        leaves = {str(index): dead_leaves(np.random.default_rng(index)) for index in range(24)}
        return _split_photos(leaves)
    if has_pairs(folder):
        paths = pair_paths(folder)
        if validation:
            return FolderPairs(paths), FolderPairs(pair_paths(validation))
        kept, held_out = _hold_out(paths)
        return FolderPairs(kept), FolderPairs(held_out)
    photos = _read_photos(picture_paths(folder), patch)
    if validation is None:
        return _split_photos(photos)
    if has_pairs(validation):
        return SyntheticPairs(photos), FolderPairs(pair_paths(validation))
    return SyntheticPairs(photos), SyntheticPairs(_read_photos(picture_paths(validation), patch), _BLURRED)


def _split_photos(photos: dict[str, Image]) -> tuple[Pairs, Pairs]:
    kept, held_out = _hold_out(list(photos))
    training, validation = ({name: photos[name] for name in names} for names in (kept, held_out))
    return SyntheticPairs(training), SyntheticPairs(validation, _BLURRED)


def _hold_out(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """(to train on, to validate on)."""
    if len(items) == 1:
        print("there is one picture only: it is trained and validated on, and the figures flatter", file=sys.stderr)
        return items, items
    return [item for index, item in enumerate(items) if index % 20], items[::20]


def _read_photos(paths: list[Path], patch: int) -> dict[str, Image]:
    photos: dict[str, Image] = {}
    used = 0
    for path in paths:
        try:
            photo = read_picture(path)
            check_size(photo, path, (patch // 2, patch // 2))  # below this, enlarged photographs are blurred themselves
        except Failure as failure:
            print(f"skipped: {failure}", file=sys.stderr)
            continue
        photos[path.name] = photo
        used += photo.nbytes
        if used > _PHOTO_MEMORY:
            print(f"kept the first {len(photos)} of {len(paths)} photographs: memory limit reached", file=sys.stderr)
            break
    if not photos:
        raise Failure(f"none of the {len(paths)} photographs in {paths[0].parent} can be used", ExitCode.SOURCE)
    return photos
