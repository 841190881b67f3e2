"""Drawn scenes: determinism, lengths of motion, shares, and shapes that batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils.data import default_collate

from training.evaluation.metrics import psnr
from training.synthesis.deadleaves import dead_leaves
from training.synthesis.motions import random_camera, random_object_motion
from training.synthesis.scene import KNOTS, Scene
from training.synthesis.synth import SynthConfig, draw_scene, pictures, render, rendered
from training.synthesis.trajectory import (
    View,
    corners,
    homographies,
    moved,
    path_length,
    poses_of_length,
    random_poses,
)

PHOTOS = [dead_leaves(np.random.default_rng(seed), (150, 190), leaves=200) for seed in range(2)]
SMALL = SynthConfig(size=(48, 80), camera_blur=(0.0, 16.0), object_blur=(0.0, 12.0))
QUIET = dataclasses.replace(
    SMALL, noise=(0.0, 0.0), softness=(0.0, 0.0), sharp_share=0.0, bayer_share=0.0, compressed_share=0.0
)


def synthesise(
    photos: list[NDArray[np.uint8]], rng: np.random.Generator, config: SynthConfig = QUIET
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A random pair, (blurred, sharp)."""
    return rendered(draw_scene(photos, rng, config))


def drawn(config: SynthConfig, count: int) -> list[Scene]:
    return [draw_scene(PHOTOS, np.random.default_rng((7, index)), config) for index in range(count)]


def background_path(scene: Scene) -> float:
    """Pixels during one exposure."""
    height, width = scene.size.tolist()
    frame = corners(0, 0, height - 1, width - 1)
    return path_length(scene.motions[0].double().numpy(), frame) / (1 + float(scene.readout))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(length=st.floats(0.1, 60), seed=st.integers(0, 10_000))
def test_trajectories_have_their_length_and_rest_in_the_middle(length: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    view, frame = View(1100.0, (500.0, -90.0), (0.3, -0.4)), corners(0, 0, 255, 319)
    seconds = np.linspace(-0.5, 0.5, KNOTS) * rng.uniform(1 / 200, 1 / 8)
    motion = homographies(poses_of_length(random_poses(rng, seconds), view, frame, length), view)
    assert motion[KNOTS // 2] == pytest.approx(np.eye(3), abs=1e-9)
    assert path_length(motion, frame) == pytest.approx(length, rel=0.1)


def test_homographies_are_those_of_a_camera_before_a_plane() -> None:
    # A camera that sees the plane z = 1 through f = 100 and moves 0.1 to the right and 0.2 towards it.
    motion = homographies(np.array([[0, 0, 0, -0.1, 0, -0.2]]), View(100.0, (0.0, 0.0)))[0]
    x, y, w = motion @ (30, 40, 1)
    assert (x / w, y / w) == pytest.approx(((30 - 10) / 0.8, 40 / 0.8))
    quarter = homographies(np.array([[0, 0, 0.02, 0, 0, 0]]), View(100.0, (7.0, 9.0)))[0]
    x, y, w = quarter @ (107, 9, 1)
    assert (x / w, y / w) == pytest.approx((7 + 100 * np.cos(0.02), 9 + 100 * np.sin(0.02)), abs=1e-9)
    radian = homographies(np.array([[0, 0, 1.0, 0, 0, 0]]), View(100.0, (7.0, 9.0)))[0]  # things may turn that far
    x, y, w = radian @ (107, 9, 1)
    assert (x / w, y / w) == pytest.approx((7 + 100 * np.cos(1), 9 + 100 * np.sin(1)), abs=1e-9)


def test_things_of_any_size_move_as_far_as_asked() -> None:
    config = SynthConfig(object_blur=(24.0, 24.0), camera_blur=(0.0, 1000.0))  # nothing is too long
    lengths = []
    for seed in range(800):
        rng = np.random.default_rng(seed)
        camera = random_camera(rng, config, standing=True)
        height, width = np.exp(rng.uniform(np.log(8), np.log(256), 2))
        box = corners(40, 90, 40 + height, 90 + width)
        lengths.append(path_length(random_object_motion(rng, config, camera, box), box) / camera.exposures)
    moving = np.array([length for length in lengths if length])
    assert len(moving) > 400
    assert 24 * 0.8 < np.quantile(moving, 0.01) < np.quantile(moving, 0.99) < 24 * 1.25


def test_the_same_seed_gives_the_same_pair_whatever_the_global_state() -> None:
    first = synthesise(PHOTOS, np.random.default_rng(4), SMALL)
    torch.manual_seed(99)
    again = synthesise(PHOTOS, np.random.default_rng(4), SMALL)
    other = synthesise(PHOTOS, np.random.default_rng(5), SMALL)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (48, 80, 3)
    assert first[0].dtype == np.uint8


def test_any_scenes_make_a_batch_of_whole_grey_levels() -> None:
    scenes = drawn(SMALL, 6)
    batch = default_collate(scenes)
    for frames in render(batch):
        assert frames.shape == (6, 3, 48, 80)
        assert frames.dtype == torch.float32
        assert 0 <= float(frames.min()) < float(frames.max()) <= 1
        assert torch.equal((frames * 255).round() / 255, frames)


def test_scenes_of_a_batch_are_the_scenes_alone_at_the_same_instants() -> None:
    scenes = [scene._replace(instants=torch.tensor(9)) for scene in drawn(SMALL, 5)]
    batch = render(default_collate(scenes))
    for index, scene in enumerate(scenes):
        for together, alone in zip(batch, render(default_collate([scene])), strict=True):
            # Rounding to grey levels and to compression's steps may fall either way, rarely.
            assert (together[index] != alone[0]).float().mean() < 0.02


def test_photographs_are_bgr_and_scenes_rgb() -> None:
    blue = np.zeros((90, 120, 3), np.uint8)
    blue[..., 0] = 200
    config = dataclasses.replace(QUIET, max_objects=0, light_share=0.0, exposure=(0.0, 0.0), tint=0.0)
    scene = draw_scene([blue], np.random.default_rng(0), config)
    assert scene.photo[2].min() == 200
    assert not scene.photo[:2].any()
    for picture in pictures(*render(default_collate([scene]))):
        assert np.abs(picture.astype(int) - (200, 0, 0)).max() <= 1


def test_longer_motion_blurs_more() -> None:
    def blurred_psnr(length: float) -> float:
        config = dataclasses.replace(QUIET, camera_blur=(length, length), max_objects=0)
        return float(np.mean([psnr(*synthesise(PHOTOS, np.random.default_rng(seed), config)) for seed in range(6)]))

    assert blurred_psnr(2) > blurred_psnr(8) + 1 > blurred_psnr(24) + 2


@pytest.mark.parametrize("rolling", [0.0, 1.0])
def test_the_camera_moves_as_far_as_asked(rolling: float) -> None:
    roomy = dataclasses.replace(SMALL, object_blur=(0, 24), max_objects=0, sharp_share=0.0)
    scenes = drawn(dataclasses.replace(roomy, camera_blur=(10, 10), rolling_share=rolling), 12)
    assert np.mean([background_path(scene) for scene in scenes]) == pytest.approx(10, rel=0.05)
    assert all((float(scene.readout) > 0) == bool(rolling) for scene in scenes)


def test_the_view_stays_inside_the_photograph() -> None:
    config = SynthConfig(size=(48, 80), max_objects=0, sharp_share=0.0, light_share=0.0, rolling_share=0.8)
    frame = corners(0, 0, 47, 79)
    for scene in drawn(config, 1500):
        seen = moved(scene.motions[0].double().numpy(), frame)
        assert seen.min() >= -0.01
        assert (seen.max(axis=(0, 1)) <= np.array(scene.photo.shape[:0:-1]) - 0.99).all()


def test_short_paths_are_likelier_and_the_mean_is_at_a_third_of_the_range() -> None:
    lengths = [
        background_path(scene) for scene in drawn(dataclasses.replace(SMALL, max_objects=0, sharp_share=0.0), 200)
    ]
    assert 0 <= min(lengths) < 0.5
    assert 10 < max(lengths) < 18
    assert np.mean(lengths) == pytest.approx(0.33 * 16, rel=0.15)


def test_a_still_camera_and_still_things_leave_the_frame_sharp() -> None:
    still = dataclasses.replace(QUIET, sharp_share=1.0)
    for seed in range(5):
        blurred, sharp = synthesise(PHOTOS, np.random.default_rng(seed), still)
        assert np.array_equal(blurred, sharp)


def test_nothing_moves_when_asked() -> None:
    blurred, sharp = synthesise(
        PHOTOS, np.random.default_rng(1), dataclasses.replace(QUIET, camera_blur=(0, 0), object_blur=(0, 0))
    )
    assert np.array_equal(blurred, sharp)


def test_something_moves_in_every_scene_that_is_not_to_be_sharp() -> None:
    config = dataclasses.replace(SMALL, sharp_share=0.0)
    for scene in drawn(config, 500):
        moves = ((scene.motions - scene.motions[:, :1]).abs().amax(dim=(1, 2, 3)) > 0).tolist()
        top, left, bottom, right = scene.windows.unbind(dim=1)
        seen = ((bottom > top) & (right > left)).tolist()
        assert moves[0] or any(moving and inside for moving, inside in zip(moves[1:], seen, strict=True))


def test_a_tripod_leaves_the_motion_to_the_things() -> None:
    scenes = drawn(dataclasses.replace(SMALL, sharp_share=0.0), 300)
    standing = [scene for scene in scenes if torch.equal(scene.motions[0, 0], scene.motions[0, -1])]
    assert 0.03 < len(standing) / len(scenes) < 0.13


def test_the_shares_are_kept() -> None:
    config = dataclasses.replace(SMALL, sharp_share=0.2, display_space_share=0.7, bayer_share=0.4)
    scenes = drawn(config, 200)
    assert np.mean([int(scene.instants) == 1 for scene in scenes]) == pytest.approx(0.2, abs=0.08)
    assert np.mean([bool(scene.in_display_space) for scene in scenes]) == pytest.approx(0.7, abs=0.09)
    assert np.mean([bool(scene.bayer) for scene in scenes]) == pytest.approx(0.4, abs=0.09)


def test_objects_stay_within_what_is_rendered_of_them() -> None:
    moving = [scene for scene in drawn(dataclasses.replace(SMALL, sharp_share=0.0), 14) if scene.extents.any()]
    assert len(moving) > 6
    for scene in moving:
        everywhere = scene.windows.clone()
        everywhere[scene.extents[:, 0] > 0] = torch.tensor((0, 0, 48, 80))
        whole = render(default_collate([scene._replace(windows=everywhere)]))
        assert torch.equal(render(default_collate([scene]))[0], whole[0])


def test_photographs_smaller_than_the_frame_are_enlarged() -> None:
    blurred, sharp = synthesise([PHOTOS[0][:40, :60]], np.random.default_rng(2), SMALL)
    assert blurred.shape == sharp.shape == (48, 80, 3)


def test_no_photographs_are_refused() -> None:
    with pytest.raises(ValueError, match="no photographs"):
        synthesise([], np.random.default_rng(0))


@pytest.mark.gpu
def test_a_gpu_renders_what_the_cpu_renders() -> None:
    scenes = drawn(QUIET, 4)
    batch = default_collate([scene._replace(instants=torch.tensor(9)) for scene in scenes])
    on_gpu = render(Scene(*(field.cuda() for field in batch)))
    for there, here in zip(on_gpu, render(batch), strict=True):
        assert there.is_cuda
        assert (there.cpu() - here).abs().max() < 1.01 / 255
        assert (there.cpu() != here).float().mean() < 0.01
