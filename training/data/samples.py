"""Training samples: sample i is a function of (seed, i) alone, so that a resumed run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from edgedeblur import Failure
from training.data.pairs import Pairs

Image = NDArray[np.uint8]
_VALIDATION = 2**31  # indices from here on are the validation stream: never drawn in training


Crop = tuple[Image, Image]  # (blurred, sharp)
Sample = tuple[Tensor, Tensor] | Failure


@dataclasses.dataclass(frozen=True)
class Samples(Dataset[Sample]):
    """Samples start … stop of one seed as tensors: (blurred, sharp), each (3, patch, patch) float32 RGB in [0, 1]."""

    pairs: Pairs
    patch: int
    seed: int
    start: int
    stop: int

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __getitem__(self, index: int) -> Sample:
        cv2.setNumThreads(0)  # a worker process is one thread; its neighbours have the other cores
        try:
            blurred, sharp = self.pairs.sample(np.random.default_rng((self.seed, self.start + index)), self.patch)
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


def validation_crops(pairs: Pairs, patch: int, seed: int, count: int) -> list[Crop]:
    """The same (blurred, sharp) crops for a seed, at every call."""
    return [pairs.sample(np.random.default_rng((seed, _VALIDATION + index)), patch) for index in range(count)]


def identity(pairs: Pairs) -> str:
    """A short hash of the names of what is trained on: a resumed run must see the same samples."""
    return hashlib.sha256("\n".join(pairs.names).encode()).hexdigest()[:16]


def _tensor(image: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1))).float() / 255
