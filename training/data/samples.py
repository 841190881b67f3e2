"""Training samples: sample i is a function of (seed, i) and its size, so a resumed run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from edgedeblur import Failure
from training.data.pairs import Pairs, SyntheticPairs
from training.synthesis.scene import Scene

Image = NDArray[np.uint8]
_VALIDATION = 2**31  # indices from here on are the validation stream: never drawn in training


Crop = tuple[Image, Image]  # (blurred, sharp), each (patch, patch, 3) uint8 BGR


@dataclasses.dataclass(frozen=True)
class Samples(Dataset[Crop | Scene | Failure]):
    """Sample i of one seed: a (blurred, sharp) crop, or the Failure that it met.

    With `unrendered` synthetic pairs are given as scenes, for a GPU to render.
    Failures travel as values: raised in a worker process they would arrive wrapped in its traceback.
    """

    pairs: Pairs
    patch: int
    seed: int
    unrendered: bool = False

    def __getitem__(self, index: int) -> Crop | Scene | Failure:
        cv2.setNumThreads(0)  # a worker process is one thread; its neighbours have the other cores
        rng = np.random.default_rng((self.seed, index))
        try:
            if self.unrendered and isinstance(self.pairs, SyntheticPairs):
                return self.pairs.scene(rng, self.patch)
            return self.pairs.sample(rng, self.patch)
        except Failure as failure:
            return failure


def validation_crops(pairs: Pairs, patch: int, seed: int, count: int) -> list[Crop]:
    """The same (blurred, sharp) crops for a seed, at every call."""
    return [pairs.sample(np.random.default_rng((seed, _VALIDATION + index)), patch) for index in range(count)]


def identity(pairs: Pairs) -> str:
    """A short hash of names and sizes of what is trained on: a resumed run must see the same samples."""
    return hashlib.sha256("\n".join(pairs.marks).encode()).hexdigest()[:16]
