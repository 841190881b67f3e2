"""The exposure: moving layers, warped and composited at each instant and averaged."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.synthesis.response import displayed, light_of
from training.synthesis.scene import KNOTS, STOPS, Scene

Window = tuple[int, int, int, int]  # top, left, bottom, right


class Layer(NamedTuple):
    """A texture and how the frame sees it: at an instant, (x, y, w) of pixel (row, column) is begin + across * column.

    x / w and y / w are positions in the texture as grid_sample counts them.
    """

    texture: Tensor  # (B, C, h, w)
    window: Window  # of the frame that it can touch
    begin: Tensor  # (N, B, 3, rows, 1)
    across: Tensor  # (N, B, 3, rows or 1, 1)
    columns: Tensor  # (columns,)


def expose(scenes: Scene) -> tuple[Tensor, Tensor]:
    """(average over the exposure, its middle instant), both (B, 3, H, W) float32 RGB.

    Scenes are averaged as light (1 is the brightest that is recorded; lamps go beyond) or as displayed (in [0, 1]).
    Memory is bounded: one instant at a time.
    """
    background, *objects = _layers(scenes)
    (instants, batch), (height, width) = background.begin.shape[:2], scenes.size[0].tolist()
    total = middle = torch.zeros(batch, 3, height, width, device=background.texture.device)
    for instant in range(instants):
        frame = _seen(background, instant, "reflection")
        for layer in objects:
            _place(frame, layer, instant)
        if instant == instants // 2:
            middle = frame
        total += frame
    return total / instants, middle


def _place(frame: Tensor, layer: Layer, instant: int) -> None:
    """Lay an object over the frame at one instant, in place."""
    top, left, bottom, right = layer.window
    seen = _seen(layer, instant, "zeros")
    frame[:, :, top:bottom, left:right].mul_(1 - seen[:, 3:]).add_(seen[:, :3])


def _seen(layer: Layer, instant: int, beyond: str) -> Tensor:
    """(B, C, rows, columns): what the window sees of the texture at one instant."""
    # Not addcmul: where across is one row, the product is small, and the sum alone an eighth of the time.
    x_y_w = layer.begin[instant] + layer.across[instant] * layer.columns  # (B, 3, rows, columns)
    grid = (x_y_w[:, :2] / x_y_w[:, 2:]).permute(0, 2, 3, 1)
    return F.grid_sample(layer.texture, grid, mode="bilinear", padding_mode=beyond, align_corners=True)


def _layers(scenes: Scene) -> list[Layer]:
    """The photograph, and the objects that any scene of the batch has."""
    table, maps = _light_table(scenes), _maps(scenes)
    height, width = scenes.size[0].tolist()
    layers = [_layer(_photo(scenes, table), (0, 0, height, width), maps[:, :, 0])]
    for index in range(scenes.objects.shape[1]):
        window = _joined(scenes.windows[:, index])
        if window[0] < window[2] and window[1] < window[3]:
            layers.append(_layer(_object(scenes, table, index), window, maps[:, :, index + 1]))
    return layers


def _layer(texture: Tensor, window: Window, maps: Tensor) -> Layer:
    """maps: (N, B, rows or 1, 3, 3), from pixels of the frame to pixels of the texture."""
    top, left, bottom, right = window
    height, width = texture.shape[2:]
    maps = maps if maps.shape[2] == 1 else maps[:, :, top:bottom]
    # grid_sample counts from -1 to 1. Not a matrix product: those may run at reduced precision on a GPU.
    scale = maps.new_tensor(((2 / max(width - 1, 1),), (2 / max(height - 1, 1),), (1,)))
    maps = maps * scale - maps[..., 2:, :] * maps.new_tensor(((1,), (1,), (0,)))
    rows = torch.arange(top, bottom, device=maps.device).float()
    begin = maps[..., 1] * rows[:, None] + maps[..., 2]  # (N, B, rows, 3)
    across = maps[..., 0]
    columns = torch.arange(left, right, device=maps.device).float()
    return Layer(texture, window, begin.transpose(2, 3)[..., None], across.transpose(2, 3)[..., None], columns)


def _maps(scenes: Scene) -> Tensor:
    """Homographies (N, B, layers, rows, 3, 3) of N instants; one row stands for all where no shutter rolls."""
    instants = int(scenes.instants.max())
    device = scenes.readout.device
    times = (torch.arange(instants, device=device) + 0.5) / instants - 0.5  # in exposures, the middle of each slice
    height = int(scenes.size[0, 0]) if scenes.readout.any() else 1
    rows = (torch.arange(height, device=device) + 0.5) / height - 0.5
    readout = scenes.readout[:, None]
    # (N, B, rows), in knots
    place = ((times[:, None, None] + rows * readout) / (1 + readout) + 0.5) * (KNOTS - 1)
    below = place.long().clamp(0, KNOTS - 2)
    motions = scenes.motions.transpose(1, 2)  # (B, KNOTS, layers, 3, 3)
    batch = torch.arange(len(motions), device=device)[:, None]
    share = (place - below)[..., None, None, None]
    return torch.lerp(motions[batch, below], motions[batch, below + 1], share).transpose(2, 3)


def _joined(windows: Tensor) -> Window:
    """The window around those of a batch (B, 4); empty ones do not count."""
    windows = windows[(windows[:, 2] > windows[:, 0]) & (windows[:, 3] > windows[:, 1])]
    if not len(windows):
        return 0, 0, 0, 0
    top, left = windows[:, :2].amin(dim=0).tolist()
    bottom, right = windows[:, 2:].amax(dim=0).tolist()
    return top, left, bottom, right


def _photo(scenes: Scene, table: Tensor) -> Tensor:
    """(B, 3, Hp, Wp) in the space that is averaged."""
    light = _looked_up(scenes.photo[:, :3], table)
    brightening = scenes.photo[:, 3:]
    if brightening.any():
        light *= torch.exp2(brightening * STOPS)
    return _averageable(scenes, light)


def _object(scenes: Scene, table: Tensor, index: int) -> Tensor:
    """(B, 4, h, w) in the space that is averaged: colours multiplied by opacity, and opacity."""
    height, width = scenes.extents[:, index].amax(dim=0).tolist()
    used = scenes.objects[:, index, :, :height, :width]
    opacity = used[:, 3:] / 255
    return torch.cat((_averageable(scenes, _looked_up(used[:, :3], table)) * opacity, opacity), dim=1)


def _light_table(scenes: Scene) -> Tensor:
    """(B, 3, 256): the light of each grey level of each colour, after exposure and white balance."""
    levels = torch.arange(256, device=scenes.gain.device).expand(len(scenes.gain), 3, 256) / 255
    return light_of(levels, scenes.response) * scenes.gain.unsqueeze(2)


def _looked_up(image: Tensor, table: Tensor) -> Tensor:
    """image: (B, 3, H, W) uint8; table: (B, 3, 256)."""
    return table.gather(2, image.flatten(2).long()).reshape(image.shape)


def _averageable(scenes: Scene, light: Tensor) -> Tensor:
    """Light as it is, or clipped and displayed where the camera averages that."""
    shown = scenes.in_display_space
    if shown.any():
        light[shown] = displayed(light[shown].clamp(0, 1), scenes.response[shown])
    return light
