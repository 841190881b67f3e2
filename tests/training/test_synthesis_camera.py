"""The camera behind the shutter: lens, noise, colour filter array, response and compression as they are defined."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tests.training.hand_made_scenes import scene, straight, texture
from training.synthesis.camera import demosaic, sensed, soften
from training.synthesis.compression import compress, h264_steps, jpeg_steps
from training.synthesis.response import displayed, light_of, random_response
from training.synthesis.scene import STOPS
from training.synthesis.synth import render


def planes(height: int, width: int, smooth: float = 1.5) -> Tensor:
    """(1, 3, height, width) in [0, 1]."""
    return torch.from_numpy(texture(height, width, smooth=smooth).transpose(2, 0, 1) / 255).float().unsqueeze(0)


def decibels(image: Tensor, other: Tensor) -> float:
    return float(-10 * torch.log10(((image - other) ** 2).mean()))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_responses_rise_from_black_to_white_and_can_be_undone(seed: int) -> None:
    response = torch.from_numpy(random_response(np.random.default_rng(seed))).unsqueeze(0)
    light = torch.linspace(0, 1, 257).reshape(1, 1, -1)
    shown = displayed(light, response)
    assert shown[0, 0, 0] == 0
    assert float(shown[0, 0, -1]) == pytest.approx(1, abs=1e-6)
    assert bool((shown.diff() > 0).all())
    assert float(displayed(torch.full((1, 1, 1), 0.18), response)) > 0.22  # middle grey is not dark on a display
    assert light_of(shown, response).numpy() == pytest.approx(light.numpy(), abs=1e-5)


def test_the_sigmoid_is_the_published_one() -> None:
    light, exponent, sigma = torch.tensor([[[0.1, 0.5]]]), 0.9, 0.6
    expected = (1 + sigma) * light**exponent / (light**exponent + sigma)
    assert displayed(light, torch.tensor([[exponent, 1 / sigma]])).numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_noise_is_shot_and_read_noise_of_the_light() -> None:
    flat = scene(np.zeros((80, 90, 3), np.uint8), straight(0, 0), noise=torch.tensor((0.004, 0.0003)))
    levels = torch.tensor((0.0, 0.1, 0.7)).reshape(1, 3, 1, 1)
    noisy = sensed(flat, levels.expand(1, 3, 200, 210))
    assert noisy.mean(dim=(0, 2, 3)).numpy() == pytest.approx(levels.flatten().numpy(), abs=1e-3)
    expected = 0.004 * levels.flatten() + 0.0003
    assert noisy.var(dim=(0, 2, 3)).numpy() == pytest.approx(expected.numpy(), rel=0.05)
    again, other = (
        sensed(flat, levels.expand(1, 3, 200, 210)),
        sensed(flat._replace(seed=torch.tensor([4])), levels.expand(1, 3, 200, 210)),
    )
    assert torch.equal(noisy, again)
    assert (
        abs(float(torch.corrcoef(torch.stack(((noisy - levels).flatten(), (other - levels).flatten())))[0, 1])) < 0.02
    )


def test_noise_filter_array_and_compression_are_not_in_the_sharp_frame() -> None:
    photo = texture(80, 90)
    clean = scene(photo, straight(6, 2))
    quantiser = torch.from_numpy(jpeg_steps(30)).unsqueeze(0)
    spoilt = clean._replace(noise=torch.tensor([[0.002, 1e-5]]), bayer=torch.tensor([True]), quantiser=quantiser)
    (blurred, sharp), (spoilt_blurred, spoilt_sharp) = render(clean), render(spoilt)
    assert torch.equal(sharp, spoilt_sharp)
    assert 20 < decibels(blurred, spoilt_blurred) < 40


def test_exposure_and_white_balance_are_in_both_frames() -> None:
    photo = np.full((80, 90, 3), 64, np.uint8)
    for frame in render(scene(photo, straight(5, 0), gain=torch.tensor((2.0, 1.0, 0.5)))):
        assert (frame[0, :, 20, 20] * 255).tolist() == pytest.approx([128, 64, 32])


def test_the_lens_softens_both_frames_alike() -> None:
    photo = texture(80, 90, smooth=0.5)
    frames = render(scene(photo, straight(0, 0), softness=torch.tensor(0.8)))
    assert torch.equal(*frames)
    crisp = render(scene(photo, straight(0, 0)))[1]
    expected = cv2.GaussianBlur(crisp[0].permute(1, 2, 0).numpy(), (5, 5), 0.8, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(frames[1][0].permute(1, 2, 0).numpy() - expected).max() < 1.01 / 255


def test_each_scene_has_its_own_lens() -> None:
    image = planes(20, 30).expand(2, 3, 20, 30)
    softened = soften(image, torch.tensor((0.0, 0.7)))
    assert torch.equal(softened[0], image[0])
    assert torch.equal(softened[1:], soften(image[1:], torch.tensor((0.7,))))


def test_demosaicing_keeps_what_was_seen_and_flat_colour() -> None:
    image = planes(24, 34)
    done = demosaic(image)
    seen = ((done - image).abs() < 1e-6).float()
    assert seen[0, 0, ::2, ::2].min() == seen[0, 2, 1::2, 1::2].min() == seen[0, 1, ::2, 1::2].min() == 1
    assert 20 < decibels(done, image) < 50
    flat = torch.tensor((0.2, 0.5, 0.9)).reshape(1, 3, 1, 1).expand(1, 3, 24, 34)
    assert demosaic(flat).numpy() == pytest.approx(flat.numpy(), abs=1e-6)


def test_a_photosite_is_full_before_colours_are_interpolated() -> None:
    photo = np.zeros((80, 90, 4), np.uint8)
    photo[40:44, 40:44] = (255, 255, 255, 6 / STOPS)  # 64 times white
    blurred, sharp = render(scene(photo, straight(0, 0), bayer=torch.tensor(True)))
    assert float((blurred == 1).sum()) <= float((sharp == 1).sum())
    assert float(blurred[..., :22, :].max()) == 0  # from row 24 on is the lamp; interpolation reaches one row


def coded(image: Tensor, steps: NDArray[np.float32]) -> float:
    return decibels(compress(image, torch.from_numpy(steps).unsqueeze(0)), image)


def test_jpeg_is_nearly_lossless_at_its_best_and_worse_below() -> None:
    image = planes(53, 91, smooth=4)
    quality = [coded(image, jpeg_steps(quality)) for quality in (100, 90, 70, 40, 10)]
    assert quality[0] > 45
    assert quality == sorted(quality, reverse=True)
    flat = [coded(image, h264_steps(parameter)) for parameter in (10, 22, 34)]
    assert flat == sorted(flat, reverse=True)


def tables_of(file: bytes) -> list[NDArray[np.int64]]:
    """The (8, 8) quantisation tables of a JPEG file: segments FF DB, each a list of 65 bytes in zigzag order."""
    zigzag = sorted(np.ndindex(8, 8), key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]))
    tables, at = [], 2
    while file[at + 1] != 0xDA:  # the picture begins
        end = at + 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        for start in range(at + 4, end, 65) if file[at + 1] == 0xDB else ():
            table = np.zeros((8, 8), np.int64)
            table[tuple(np.transpose(zigzag))] = list(file[start + 1 : start + 65])
            tables.append(table)
        at = end
    return tables


@pytest.mark.parametrize("quality", [1, 3, 7, 30, 43, 47, 49, 50, 51, 75, 95, 100])
def test_steps_are_those_of_a_jpeg_file(quality: int) -> None:
    file = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8), (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()
    assert np.array_equal(jpeg_steps(quality), tables_of(file))


@pytest.mark.parametrize("quality", [35, 60, 90])
def test_jpeg_loses_what_a_jpeg_file_loses(quality: int) -> None:
    image = planes(53, 91, smooth=1)
    levels = (image[0].flip(0).permute(1, 2, 0) * 255).round().byte().numpy()
    file = cv2.imencode(".jpg", levels, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    read = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
    decoded = torch.from_numpy(read.transpose(2, 0, 1) / 255).flip(0).float()
    assert coded(image, jpeg_steps(quality)) == pytest.approx(decibels(decoded, image[0]), abs=0.5)


def test_the_step_doubles_every_six_parameters() -> None:
    assert h264_steps(28)[0, 3, 3] == pytest.approx(16)
    assert h264_steps(34) == pytest.approx(2 * h264_steps(28))
