"""Batches: each sample by its number, the same whether a worker renders it or the training process does."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.data.batches import batches_of, on_device
from training.data.pairs import Pairs, SyntheticPairs, open_pairs
from training.data.samples import Samples
from training.synthesis.deadleaves import dead_leaves
from training.synthesis.scene import Scene

PHOTOS = {"a": dead_leaves(np.random.default_rng(0), (150, 190), leaves=200)}


def pairs_on_disk(folder: Path) -> Pairs:
    for side in ("blur", "sharp"):
        (folder / side).mkdir()
        for index in range(3):
            cv2.imwrite(str(folder / side / f"{index}.png"), PHOTOS["a"][index:, index:])
    return open_pairs(folder, 32)[0]


@pytest.mark.parametrize("kind", ["photographs", "pairs"])
def test_a_sample_depends_on_seed_and_number_alone(kind: str, tmp_path: Path) -> None:
    pairs = pairs_on_disk(tmp_path) if kind == "pairs" else SyntheticPairs(PHOTOS)
    samples, other = (Samples(pairs, 32, seed) for seed in (1, 2))
    first = np.asarray(samples[5])
    in_turn = [np.asarray(samples[index]) for index in range(6)]
    assert first.shape == (2, 32, 32, 3)
    assert np.array_equal(in_turn[5], first)
    assert not any(np.array_equal(sample, first) for sample in (*in_turn[:5], np.asarray(other[5])))


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
