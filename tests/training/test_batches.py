"""Batches: the same pairs whether a worker renders them or the training process does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from training.data.batches import batches_of, on_device
from training.data.pairs import SyntheticPairs
from training.data.samples import Samples
from training.synthesis.deadleaves import dead_leaves
from training.synthesis.scene import Scene

PHOTOS = {"a": dead_leaves(np.random.default_rng(0), (150, 190), leaves=200)}


@pytest.mark.parametrize("workers", [0, 1])
def test_rendering_waits_for_the_device_and_gives_the_same_pairs(workers: int) -> None:
    pairs, sizes = SyntheticPairs(PHOTOS), []
    for unrendered in (False, True):
        batches = batches_of(Samples(pairs, 32, seed=5, unrendered=unrendered), 3, 1, workers, pin=False)
        made = list(itertools.islice(batches, 4))
        batches.close()
        assert all(isinstance(batch, Scene) == unrendered for batch in made)
        sizes.append([on_device(batch, "cpu") for batch in made])
    for rendered, later in zip(*sizes, strict=True):
        for image, same in zip(rendered, later, strict=True):
            assert image.shape == (1, 3, 32, 32)
            assert torch.equal(image, same)


def test_scenes_of_a_batch_are_rendered_together() -> None:
    batches = batches_of(Samples(SyntheticPairs(PHOTOS), 32, seed=5, unrendered=True), 0, 3, 0, pin=False)
    blurred, sharp = on_device(next(batches), "cpu")
    assert blurred.shape == sharp.shape == (3, 3, 32, 32)
    assert blurred.min() >= 0
    assert blurred.max() <= 1
