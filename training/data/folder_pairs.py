"""Pairs on disk: which of them can be trained on, and random crops of them."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.datasets import PairSet
from training.data.pictures import check_pair, file_size, read_pair

Image = NDArray[np.uint8]
_TRIES = 32  # so many bad pairs in a row are a set that is gone or broken, even where half of it is good


class FolderPairs:
    """Random crops, flips and quarter turns of pairs on disk."""

    def __init__(self, found: PairSet) -> None:
        self.paths = [(pair.blurred, pair.sharp) for pair in found.pairs]
        # With the layout, which says the split and the variant: GoPro's frames have the same names in all variants.
        self.names = [f"{found.layout}: {pair.name}" for pair in found.pairs]
        self._told = False

    @property
    def marks(self) -> list[str]:
        """What tells these pairs from others of the same names. Raises Failure (SOURCE) where a file is gone."""
        sizes = (map(file_size, paths) for paths in self.paths)
        return [f"{name} {blurred} {sharp}" for name, (blurred, sharp) in zip(self.names, sizes, strict=True)]

    def sample(self, rng: np.random.Generator, patch: int) -> tuple[Image, Image]:
        """A random crop of a random pair, (patch, patch, 3) uint8 BGR.

        Raises Failure (SOURCE) when no pair can be read.
        """
        images = self._drawn(rng, patch)
        top, left = (int(rng.integers(length - patch + 1)) for length in images[0].shape[:2])
        turns, flip = int(rng.integers(4)), rng.random() < 0.5
        crops = (image[top : top + patch, left : left + patch] for image in images)
        turned = (np.rot90(crop[:, ::-1] if flip else crop, turns) for crop in crops)
        blurred, sharp = (np.ascontiguousarray(crop) for crop in turned)
        return blurred, sharp

    def _drawn(self, rng: np.random.Generator, patch: int) -> tuple[Image, Image]:
        """A random pair; where it is bad, the next that the same generator draws: one file must not end a long run."""
        failures = 0
        while True:
            try:
                return read_pair(self.paths[rng.integers(len(self.paths))], (patch, patch))
            except Failure as failure:
                failures += 1
                if failures == _TRIES:
                    raise
                self._tell(failure)

    def _tell(self, failure: Failure) -> None:
        if not self._told:
            print(f"a pair is stepped over, as others like it will be: {failure}", file=sys.stderr)
        self._told = True


def usable(found: PairSet, patch: int) -> PairSet:
    """The pairs that crops of (patch, patch) can be taken of, as far as headers tell; says how many are left out.

    Raises Failure (SOURCE) when none is left.
    """
    kept, failures = [], []
    for pair in found.pairs:
        try:
            check_pair((pair.blurred, pair.sharp), (patch, patch))
            kept.append(pair)
        except Failure as failure:
            failures.append(failure)
    if not kept:
        raise Failure(f"none of the {len(failures)} pairs can be used; the first: {failures[0]}", ExitCode.SOURCE)
    if failures:
        print(
            f"{found.layout}: skipped {len(failures)} of {len(found.pairs)} pairs; the first: {failures[0]}",
            file=sys.stderr,
        )
    return dataclasses.replace(found, pairs=tuple(kept))
