"""Training samples: sample i is a function of (seed, i) alone, so that a resumed run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from edgedeblur import ExitCode, Failure
from training.deadleaves import dead_leaves
from training.pictures import check_size, has_pairs, pair_paths, picture_paths, read_pair, read_picture
from training.synth import SynthConfig, synthesise

Image = NDArray[np.uint8]
Item = TypeVar("Item")
_DEFAULT = SynthConfig()
# Validation is about blur: one crop that was sharp before would outweigh ten blurred ones in a mean of decibels.
_BLURRED = SynthConfig(sharp_share=0.0)
_VALIDATION = 2**31  # indices from here on are the validation stream: never drawn in training
_PHOTO_MEMORY = 4 * 2**30  # bytes of decoded photographs kept


class SyntheticPairs:
    """Pairs made on the fly from sharp photographs."""

    def __init__(self, photos: dict[str, Image], patch: int, config: SynthConfig = _DEFAULT) -> None:
        """photos: by name."""
        self.photos, self.names = list(photos.values()), list(photos)
        self.config = dataclasses.replace(config, size=(patch, patch))

    def sample(self, rng: np.random.Generator) -> tuple[Image, Image]:
        """A new (blurred, sharp) pair, (patch, patch, 3) uint8 BGR."""
        return synthesise(self.photos, rng, self.config)


class FolderPairs:
    """Random crops, flips and quarter turns of pairs on disk."""

    def __init__(self, paths: list[tuple[Path, Path]], patch: int) -> None:
        self.paths, self.patch = paths, patch
        self.names = [blurred.name for blurred, _ in paths]

    def sample(self, rng: np.random.Generator) -> tuple[Image, Image]:
        """A random crop of a random pair, (patch, patch, 3) uint8 BGR."""
        images = read_pair(self.paths[rng.integers(len(self.paths))], (self.patch, self.patch))
        top, left = (int(rng.integers(length - self.patch + 1)) for length in images[0].shape[:2])
        turns, flip = int(rng.integers(4)), rng.random() < 0.5
        crops = (image[top : top + self.patch, left : left + self.patch] for image in images)
        turned = (np.rot90(crop[:, ::-1] if flip else crop, turns) for crop in crops)
        blurred, sharp = (np.ascontiguousarray(crop) for crop in turned)
        return blurred, sharp


Pairs = SyntheticPairs | FolderPairs
Crop = tuple[Image, Image]  # (blurred, sharp)
Sample = tuple[Tensor, Tensor] | Failure


@dataclasses.dataclass(frozen=True)
class Samples(Dataset[Sample]):
    """Samples start … stop of one seed as tensors: (blurred, sharp), each (3, patch, patch) float32 RGB in [0, 1]."""

    pairs: Pairs
    seed: int
    start: int
    stop: int

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __getitem__(self, index: int) -> Sample:
        cv2.setNumThreads(0)  # a worker process is one thread; its neighbours have the other cores
        try:
            blurred, sharp = self.pairs.sample(np.random.default_rng((self.seed, self.start + index)))
        except Failure as failure:
            return failure
        return _tensor(blurred), _tensor(sharp)


def collate(samples: list[Sample]) -> Sample:
    """A batch: (blurred, sharp), each (B, 3, patch, patch); or the first failure among the samples.

    Failures travel as values: raised in a worker process they would arrive wrapped in its traceback.
    """
    for sample in samples:
        if isinstance(sample, Failure):
            return sample
    blurred, sharp = default_collate(samples)
    return blurred, sharp


def validation_crops(pairs: Pairs, seed: int, count: int) -> list[Crop]:
    """The same (blurred, sharp) crops for a seed, at every call."""
    return [pairs.sample(np.random.default_rng((seed, _VALIDATION + index))) for index in range(count)]


def identity(pairs: Pairs) -> str:
    """A short hash of the names of what is trained on: a resumed run must see the same samples."""
    return hashlib.sha256("\n".join(pairs.names).encode()).hexdigest()[:16]


def open_pairs(folder: Path | None, patch: int, validation: Path | None = None) -> tuple[Pairs, Pairs]:
    """Training and validation pairs of a folder: `blur/`+`sharp/` pairs, or sharp photographs; dead leaves without one.

    Where `validation` is not given, every 20th picture (at least one) is held out for it.
    Raises Failure (SOURCE) when a folder has nothing to train on.
    """
    if folder is None:
        leaves = {str(index): dead_leaves(np.random.default_rng(index)) for index in range(24)}
        return _split_photos(leaves, patch)
    if has_pairs(folder):
        paths = pair_paths(folder)
        if validation:
            return FolderPairs(paths, patch), FolderPairs(pair_paths(validation), patch)
        kept, held_out = _hold_out(paths)
        return FolderPairs(kept, patch), FolderPairs(held_out, patch)
    photos = _read_photos(picture_paths(folder), patch)
    if validation is None:
        return _split_photos(photos, patch)
    if has_pairs(validation):
        return SyntheticPairs(photos, patch), FolderPairs(pair_paths(validation), patch)
    return SyntheticPairs(photos, patch), SyntheticPairs(
        _read_photos(picture_paths(validation), patch), patch, _BLURRED
    )


def _split_photos(photos: dict[str, Image], patch: int) -> tuple[Pairs, Pairs]:
    kept, held_out = _hold_out(list(photos))
    training, validation = ({name: photos[name] for name in names} for names in (kept, held_out))
    return SyntheticPairs(training, patch), SyntheticPairs(validation, patch, _BLURRED)


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


def _tensor(image: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1))).float() / 255
