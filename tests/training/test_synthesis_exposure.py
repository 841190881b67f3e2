"""The exposure against what physics says: line kernels, coverage, energy, highlights, rows exposed one by one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from tests.training.hand_made_scenes import MARGIN, scene, shift, straight, texture, with_object
from training.synthesis.exposure import expose
from training.synthesis.scene import KNOTS, STOPS, Scene
from training.synthesis.synth import render


def line_kernel(x: float, y: float) -> NDArray[np.float64]:
    """A line through the middle, densely sampled and split between neighbouring pixels."""
    reach = int(max(abs(x), abs(y)) / 2) + 2
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for when in np.linspace(-0.5, 0.5, 4001):
        column, row = reach + x * when, reach + y * when
        for j, i in np.ndindex(2, 2):
            place = int(row) + j, int(column) + i
            kernel[place] += (1 - abs(place[0] - row)) * (1 - abs(place[1] - column))
    return np.asarray(kernel / kernel.sum())


@pytest.mark.parametrize(("x", "y"), [(9.0, 0.0), (0.0, 7.3), (8.6, -5.2)])
def test_a_translation_is_a_convolution_with_its_line(x: float, y: float) -> None:
    photo = texture(70, 98)
    averaged, _ = expose(scene(photo, straight(x, y)))
    light = cv2.filter2D(photo.astype(np.float64) / 255, -1, line_kernel(x, y))
    expected = light[MARGIN:-MARGIN, MARGIN:-MARGIN].transpose(2, 0, 1)
    assert np.abs(averaged[0].numpy() - expected).max() < 1e-3
    assert np.abs(expected - photo[MARGIN:-MARGIN, MARGIN:-MARGIN].transpose(2, 0, 1) / 255).max() > 0.1


@pytest.mark.parametrize("instants", [1, 5, 33])
def test_nothing_moves_nothing_blurs(instants: int) -> None:
    photo = texture(60, 90)
    blurred, sharp = render(scene(photo, straight(0, 0), instants=torch.tensor(instants)))
    assert torch.equal(blurred, sharp)
    seen = torch.from_numpy(photo[MARGIN:-MARGIN, MARGIN:-MARGIN].transpose(2, 0, 1) / 255).float()
    assert torch.equal(blurred[0], seen)


def test_the_sharp_frame_is_the_middle_of_the_exposure() -> None:
    photo = texture(60, 90)
    moving = straight(12, 5)
    moving[KNOTS // 2 + 1 :] = straight(30, -20)[KNOTS // 2 + 1 :]  # another way out than in
    _, sharp = render(scene(photo, moving))
    assert torch.equal(sharp, render(scene(photo, straight(0, 0)))[1])


def test_blur_keeps_the_energy_of_a_light() -> None:
    photo = np.zeros((90, 110, 4), np.uint8)
    photo[40:44, 50:53] = (255, 128, 64, 3 / STOPS)  # eight times white: it must not clip while it is averaged
    turn = np.linspace(-0.2, 0.2, KNOTS)
    middle = shift(39, 29)
    turning = [
        middle
        @ torch.tensor([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]).float()
        @ shift(-39, -29)
        for a in turn
    ]
    averaged, instant = expose(scene(photo, torch.stack(turning) @ straight(9, -6)))
    assert instant[0, 0].max() == pytest.approx(8)
    assert averaged.max() < 4
    assert averaged.sum(dim=(2, 3)).numpy() == pytest.approx(instant.sum(dim=(2, 3)).numpy(), rel=5e-3)


def moving_square() -> tuple[Scene, Scene]:
    """A textured square 20 wide that moves 8 pixels to the right over a textured background that stands still."""
    background = scene(texture(72, 96, seed=1), straight(0, 0))
    square = np.dstack((texture(20, 20, seed=2) // 4 + 150, np.full((20, 20), 255, np.uint8)))
    return background, with_object(background, square, (10, 24), straight(8, 0))


def test_what_an_object_never_covers_is_background() -> None:
    background, both = moving_square()
    averaged, _ = expose(both)
    still, _ = expose(background)
    for untouched in (np.s_[:, :, :9], np.s_[:, :, 31:], np.s_[..., :19], np.s_[..., 49:]):
        assert torch.equal(averaged[untouched], still[untouched])


def test_what_an_object_always_covers_holds_nothing_of_the_background() -> None:
    background, both = moving_square()
    black = background._replace(photo=torch.zeros_like(background.photo))
    on_black = expose(both._replace(photo=black.photo))[0]
    always = np.s_[:, :, 11:29, 29:39]  # covered from -4 to +4
    assert torch.equal(expose(both)[0][always], on_black[always])


def test_opacity_averages_to_the_time_that_a_pixel_is_covered() -> None:
    background = scene(np.zeros((72, 96, 3), np.uint8), straight(0, 0))
    white = np.full((20, 20, 4), 255, np.uint8)
    averaged, _ = expose(with_object(background, white, (10, 24), straight(8, 0)))
    columns = np.arange(64)
    covered = np.clip((columns - 19.5) / 8, 0, 1) * np.clip((47.5 - columns) / 8, 0, 1)
    assert averaged[0, 0, 20].numpy() == pytest.approx(covered, abs=0.02)
    assert float(averaged[0, 0, 20].sum()) == pytest.approx(20, rel=1e-3)


def lamp() -> NDArray[np.uint8]:
    photo = np.zeros((64, 96, 4), np.uint8)
    photo[30:33, 40:43] = (255, 255, 255, 6 / STOPS)
    return photo


def test_highlights_clip_after_the_averaging() -> None:
    blurred, sharp = render(scene(lamp(), straight(16, 0)))
    assert sharp.max() == 1
    saturated = (blurred[0, 0] == 1).sum(dim=1)
    assert saturated.max() >= 16  # the whole streak: 64 times white for 3 of 16 pixels is far above white


def test_a_camera_that_averages_what_it_displays_has_clipped_before() -> None:
    blurred, sharp = render(scene(lamp(), straight(16, 0), in_display_space=torch.tensor(True)))
    assert sharp.max() == 1
    assert float(blurred.max()) == pytest.approx(3 / 16, abs=0.03)


def test_displayed_and_light_averages_differ_by_the_response() -> None:
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255  # half the light is grey level 186 of 255, half the grey levels is 128
    gamma = torch.tensor((1 / 2.2, 0.0))
    levels = [
        float(render(scene(stripes, straight(16, 0), response=gamma, in_display_space=torch.tensor(shown)))[0].mean())
        for shown in (False, True)
    ]
    assert levels == pytest.approx([0.5 ** (1 / 2.2), 0.5], abs=0.02)


def test_a_rolling_shutter_shifts_rows_by_their_delay() -> None:
    photo = np.zeros((72, 132, 3), np.uint8)
    photo[:, 64:67] = 255
    readout, velocity = 0.8, 10.0  # pixels an exposure; the motion spans 1 + readout of them
    rolling = scene(photo, straight(velocity * (1 + readout), 0), readout=torch.tensor(readout))
    averaged, instant = expose(rolling)
    columns, rows = torch.arange(100.0), (torch.arange(40.0) + 0.5) / 40 - 0.5
    expected = 65 - MARGIN - velocity * readout * rows  # the scene moves against the frame's path through it
    for frame, width in ((instant, 3), (averaged, 3 + velocity)):
        light = frame[0, 0]
        centres = (light * columns).sum(dim=1) / light.sum(dim=1)
        assert centres.numpy() == pytest.approx(expected.numpy(), abs=0.05)
        assert float((light > 0.01).sum(dim=1).float().mean()) == pytest.approx(width, abs=2)


def test_a_batch_is_its_scenes() -> None:
    photo = texture(72, 96, seed=4)
    empty = scene(photo, straight(3, 9), readout=torch.tensor(0.5))
    still = with_object(empty, np.zeros((5, 9, 4), np.uint8), (0, 0), straight(0, 0))
    _, moving = moving_square()
    singles = [still._replace(windows=torch.zeros_like(still.windows)), moving]
    batch = default_collate([Scene(*(field[0] for field in single)) for single in singles])
    for together, alone in zip(render(batch), zip(*map(render, singles), strict=True), strict=True):
        assert (together - torch.cat(alone)).abs().max() < 1.01 / 255
        assert (together != torch.cat(alone)).float().mean() < 1e-3
