"""The camera behind the shutter: lens, sensor, colour filter array, response and compression."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.synthesis.compression import compress
from training.synthesis.response import displayed, light_of
from training.synthesis.scene import Scene


def develop(scenes: Scene, averaged: Tensor, instant: Tensor) -> tuple[Tensor, Tensor]:
    """(blurred, sharp) frames, both (B, 3, H, W) float32 RGB in [0, 1] in steps of 1/255.

    averaged, instant: (B, 3, H, W) float32, of the exposure and of its middle, in the space that was averaged. They go
    through the same lens, clipping and response; noise, colour filter array and compression are the blurred one's.
    """
    light = _light(scenes, soften(torch.cat((averaged, instant), dim=1), scenes.softness))
    sharp = displayed(light[:, 3:].clamp(0, 1), scenes.response)
    counted = sensed(scenes, light[:, :3]).clamp(max=1)  # a photosite is full before colours are interpolated
    blurred = displayed(mosaicked(scenes, counted).clamp(0, 1), scenes.response)
    compressed = scenes.quantiser[:, 0, 0, 0] > 0
    if compressed.any():
        blurred[compressed] = compress(blurred[compressed], scenes.quantiser[compressed])
    return _eight_bit(blurred), _eight_bit(sharp)


def soften(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (B, C, H, W) by (B,) sigmas of up to a pixel; 0 leaves a picture as it is."""
    taps = torch.arange(-2, 3, device=image.device)
    weights = torch.exp(-(taps**2) / (2 * sigma.clamp(min=1e-3)[:, None] ** 2))  # (B, 5)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return filtered(filtered(image, weights, 2), weights, 3)


def filtered(image: Tensor, weights: Tensor, axis: int) -> Tensor:
    """(B, C, H, W), filtered along an axis (2 or 3) by (B, odd) weights, reflected at the edges.

    A sum of shifted pictures: with one thread a fifteenth of the time of a grouped convolution.
    """
    reach, length = weights.shape[1] // 2, image.shape[axis]
    padding = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
    padded = F.pad(image, padding, mode="reflect")
    total = torch.zeros_like(image)
    for tap, weight in enumerate(weights.unbind(dim=1)):
        total.addcmul_(padded.narrow(axis, tap, length), weight.reshape(-1, 1, 1, 1))
    return total


def sensed(scenes: Scene, light: Tensor) -> Tensor:
    """Light as the sensor counts it: Poisson-Gaussian noise of variance a·I + b, by its normal approximation."""
    noise = torch.empty_like(light)
    for plane, seed in zip(noise, scenes.seed.tolist(), strict=True):  # its own generator: alone or in a batch alike
        plane.normal_(generator=torch.Generator(light.device).manual_seed(seed))
    shot, read = (value.reshape(-1, 1, 1, 1) for value in scenes.noise.unbind(dim=1))
    return light + noise * torch.sqrt(shot * light + read)


def mosaicked(scenes: Scene, light: Tensor) -> Tensor:
    """Light of the cameras that have a Bayer array through it: one colour a pixel, the others interpolated."""
    if scenes.bayer.any():
        light = light.clone()
        light[scenes.bayer] = demosaic(light[scenes.bayer])
    return light


def demosaic(light: Tensor) -> Tensor:
    """Keeps of (B, 3, H, W) what an RGGB array sees and interpolates the rest.

    Green bilinearly, red and blue by their difference to green, which varies less than they do (Cok, US 4642678, 1987).
    """
    even_rows, even_columns = (1 - torch.arange(length, device=light.device) % 2 for length in light.shape[2:])
    red = (even_rows[:, None] * even_columns).float()
    blue = ((1 - even_rows)[:, None] * (1 - even_columns)).float()
    seen_green = light[:, 1:2] * (1 - red - blue)
    beside = light.new_tensor(((0.25, 0, 0.25),))
    green = seen_green + filtered(seen_green, beside, 2) + filtered(seen_green, beside, 3)
    differences = (light[:, ::2] - green) * torch.stack((red, blue))
    around = light.new_tensor(((0.5, 1, 0.5),))
    red_blue = green + filtered(filtered(differences, around, 2), around, 3)
    return torch.cat((red_blue[:, :1], green, red_blue[:, 1:]), dim=1)


def _eight_bit(image: Tensor) -> Tensor:
    return (image * 255).round() / 255


def _light(scenes: Scene, image: Tensor) -> Tensor:
    shown = scenes.in_display_space
    if shown.any():
        image = image.clone()
        image[shown] = light_of(image[shown], scenes.response[shown])
    return image
