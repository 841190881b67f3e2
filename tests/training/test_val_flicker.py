"""Flicker: what the formulas promise of errors that stay, alternate and move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.evaluation.flicker import MOTION_WINDOW, ChangeFlicker, ErrorFlicker, difference, motion, rms
from training.synthesis.deadleaves import dead_leaves

Image = NDArray[np.uint8]
SHAPE = (72, 104)


def scene(shift: int) -> Image:
    """A textured window of one wide picture, `shift` pixels further to the right."""
    wide = dead_leaves(np.random.default_rng(8), (SHAPE[0], SHAPE[1] + 40), leaves=400)
    return np.ascontiguousarray(wide[:, shift : shift + SHAPE[1]] // 2 + 60)


def plus(frame: Image, change: float | NDArray[np.floating] | NDArray[np.integer]) -> Image:
    return np.clip(np.rint(frame.astype(np.float64) + change), 0, 255).astype(np.uint8)


def flickers(outputs: list[Image], sharp: list[Image]) -> list[float]:
    method = ErrorFlicker()
    steps = [method.step("a", output, truth) for output, truth in zip(outputs, sharp, strict=True)]
    assert steps[0] == {}
    return [step["flicker"] for step in steps[1:]]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(error=st.integers(-60, 60), noise=st.integers(0, 20), seed=st.integers(0, 99))
def test_an_error_that_stays_is_no_flicker_however_the_scene_moves(error: int, noise: int, seed: int) -> None:
    fixed = error + np.random.default_rng(seed).integers(-noise, noise + 1, (*SHAPE, 3))
    sharp = [np.clip(scene(3 * index), 80, 175) for index in range(3)]  # so that no sum is clipped
    assert flickers([plus(frame, fixed) for frame in sharp], sharp) == [0, 0]


@pytest.mark.parametrize("level", [1, 7])
def test_an_error_that_alternates_flickers_by_twice_its_size(level: int) -> None:
    sharp = [scene(2 * index) for index in range(4)]
    outputs = [plus(frame, level * (-1) ** index) for index, frame in enumerate(sharp)]
    assert flickers(outputs, sharp) == pytest.approx([2 * level] * 3)


def test_an_error_of_a_part_counts_by_its_area() -> None:
    sharp = [scene(0), scene(0)]
    output = sharp[1].copy()
    output[:18] += 8  # a quarter of the frame
    assert flickers([sharp[0], output], sharp) == pytest.approx([4])


def test_frames_of_other_sequences_and_sizes_do_not_follow_each_other() -> None:
    method, frame = ErrorFlicker(), scene(0)
    steps = [
        method.step(sequence, picture, picture)
        for sequence, picture in (
            ("", frame),
            ("", frame),
            ("a", frame),
            ("b", frame),
            ("b", frame[4:]),
            ("b", frame[4:]),
        )
    ]
    assert steps == [{}, {}, {}, {}, {}, {"flicker": 0}]


def change_flicker(outputs: list[Image], frames: list[Image]) -> list[float]:
    steadiness = ChangeFlicker()
    steps = [
        steadiness.step(frame, {"model": difference(output, frame)})
        for frame, output in zip(frames, outputs, strict=True)
    ]
    assert steps[0] == {}
    return [step["model"]["flicker"] for step in steps[1:]]


def test_a_change_that_alternates_flickers_by_twice_its_size() -> None:
    frames = [scene(0)] * 3
    outputs = [plus(frame, 5 * (-1) ** index) for index, frame in enumerate(frames)]
    assert change_flicker(outputs, frames) == pytest.approx([10, 10])


def test_a_change_that_moves_with_the_scene_flickers_far_less_than_one_that_does_not() -> None:
    """The same pattern, painted on the scene and on the glass in front of it."""
    frames = [scene(3 * index) for index in range(4)]
    row = 10 * np.sin(np.arange(SHAPE[1] + 40) / 3)
    glass = row[None, : SHAPE[1], None]
    painted = [plus(frame, row[None, 3 * i : 3 * i + SHAPE[1], None]) for i, frame in enumerate(frames)]
    behind_glass = [plus(frame, glass) for frame in frames]
    steady, unsteady = (rms(change_flicker(outputs, frames)) for outputs in (painted, behind_glass))
    assert steady < 1
    assert unsteady > 5


def test_noise_is_drawn_anew_for_every_frame() -> None:
    rng = np.random.default_rng(0)
    frames = [scene(index) for index in range(4)]
    outputs = [plus(frame, rng.normal(0, 8, frame.shape)) for frame in frames]
    share = rms(change_flicker(outputs, frames)) / rms(difference(outputs[1], frames[1]))
    assert 1.1 < share < 1.5  # √2, less what interpolating between pixels takes away


def test_motion_is_where_a_pixel_was_and_what_came_in_is_not_known() -> None:
    flow, known = motion(scene(4), scene(0))
    middle = np.median(flow[8:-8, 8:-20], axis=(0, 1))
    assert middle == pytest.approx([4, 0], abs=0.3)  # (x, y): the window went right, so pixels were further right
    assert known[8:-8, 8:-20].mean() > 0.9
    assert not known[:, -3:].any()


def test_after_a_cut_there_is_no_flicker() -> None:
    """Unrelated pictures agree here and there by chance."""
    frames = [dead_leaves(np.random.default_rng(seed), (180, 320), leaves=400) for seed in (1, 2)]
    assert motion(frames[1], frames[0])[1].any()
    steadiness = ChangeFlicker()
    assert [steadiness.step(frame, {"model": difference(frame, frame)}) for frame in frames] == [{}, {}]


@pytest.mark.parametrize("size", [(MOTION_WINDOW, MOTION_WINDOW), (MOTION_WINDOW, 640), (640, MOTION_WINDOW)])
def test_the_smallest_frames_are_no_error(size: tuple[int, int]) -> None:
    frame = dead_leaves(np.random.default_rng(8), size, leaves=400)
    assert change_flicker([frame, frame], [frame, frame]) == [0]
