"""Synthetic blur: physics, determinism, and the sharp frame in the middle of the exposure."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.metrics import psnr
from training.synthesis.deadleaves import dead_leaves
from training.synthesis.synth import SynthConfig, synthesise
from training.synthesis.trajectory import random_trajectory

PHOTOS = [dead_leaves(np.random.default_rng(seed), (150, 190), leaves=200) for seed in range(2)]
QUIET = SynthConfig(size=(48, 80), noise=(0.0, 0.0), softness=(0.0, 0.0), sharp_share=0.0)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(length=st.floats(0, 60), seed=st.integers(0, 10_000))
def test_trajectories_have_their_length_and_rest_in_the_middle(length: float, seed: int) -> None:
    path = random_trajectory(np.random.default_rng(seed), length, max_angle=0.1)
    middle = len(path.angles) // 2
    assert len(path.angles) % 2 == 1
    assert path.shifts[middle] == pytest.approx([0, 0], abs=1e-12)
    assert path.angles[middle] == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(np.diff(path.shifts, axis=0), axis=1).sum() == pytest.approx(length, abs=1e-6)
    identity = path.matrix(middle, (10.0, 20.0))
    assert identity == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]), abs=1e-9)


def test_the_same_seed_gives_the_same_pair() -> None:
    first, again = (synthesise(PHOTOS, np.random.default_rng(4), QUIET) for _ in range(2))
    other = synthesise(PHOTOS, np.random.default_rng(5), QUIET)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (48, 80, 3)


def test_longer_motion_blurs_more() -> None:
    def blurred_psnr(length: float) -> float:
        config = dataclasses.replace(QUIET, camera_blur=(length, length), max_objects=0, max_rotation=0.0)
        return float(np.mean([psnr(*synthesise(PHOTOS, np.random.default_rng(seed), config)) for seed in range(6)]))

    assert blurred_psnr(2) > blurred_psnr(8) + 1 > blurred_psnr(24) + 2


def test_a_still_camera_leaves_the_frame_sharp() -> None:
    still = dataclasses.replace(QUIET, sharp_share=1.0)
    blurred, sharp = synthesise(PHOTOS, np.random.default_rng(0), still)
    assert np.abs(blurred.astype(int) - sharp).max() <= 1


def test_light_is_averaged_not_grey_levels() -> None:
    # Black and white stripes, moved far: half the light is grey level 186, half the grey levels is 128.
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    config = dataclasses.replace(
        QUIET, camera_blur=(24, 24), max_objects=0, max_rotation=0.0, photo_scale=(1.0, 1.0), display_space_share=0.0
    )
    light = np.mean([synthesise([stripes], np.random.default_rng(seed), config)[0].mean() for seed in range(6)])
    shown = dataclasses.replace(config, display_space_share=1.0)
    levels = np.mean([synthesise([stripes], np.random.default_rng(seed), shown)[0].mean() for seed in range(6)])
    assert light > levels + 30


def test_no_photographs_are_refused() -> None:
    with pytest.raises(ValueError, match="no photographs"):
        synthesise([], np.random.default_rng(0))
