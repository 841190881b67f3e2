"""Drawing a scene: the cheap decisions of a pair, in numpy, before the renderer does the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.synthesis.config import SynthConfig
from training.synthesis.crops import random_crop
from training.synthesis.lights import brightened
from training.synthesis.motions import STILL, Camera, random_camera, random_object_motion
from training.synthesis.objects import random_object
from training.synthesis.response import random_response
from training.synthesis.scene import Scene
from training.synthesis.settings import random_gain, random_noise, random_quantiser, random_softness
from training.synthesis.trajectory import Floats, corners, homographies, moved, path_length

Image = NDArray[np.uint8]
_DEFAULT = SynthConfig()
_TRIPOD_SHARE = 0.12  # of the scenes with objects: only these move, if any does
_INSTANTS = (5, 33)  # an instant for each 1.4 pixels of the longest path


class Thing(NamedTuple):
    """An object in the scene."""

    picture: Image  # (h, w, 4) RGB and opacity
    motion: Floats  # (KNOTS, 3, 3), from the frame to the picture
    window: tuple[int, int, int, int]  # top, left, bottom, right of the frame that it can touch
    length: float  # of its path during one exposure


def draw_scene(photos: Sequence[Image], rng: np.random.Generator, config: SynthConfig = _DEFAULT) -> Scene:
    """A random scene of photographs (uint8 BGR of any size), the same for the same state of `rng`.

    Raises ValueError when there are no photographs.
    """
    if not photos:
        raise ValueError("no photographs to make pairs from")
    still, lamps = rng.random() < config.sharp_share, rng.random() < config.light_share
    count = int(rng.integers(config.max_objects + 1))
    camera = random_camera(rng, config, standing=still or (count > 0 and rng.random() < _TRIPOD_SHARE))
    things = [_thing(photos, rng, config, None if still else camera) for _ in range(count)]
    if not (still or camera.poses.any() or any(_seen_moving(thing) for thing in things)):
        camera = random_camera(rng, config, standing=False)
    background = homographies(camera.poses, camera.view)
    frame = corners(0, 0, config.size[0] - 1, config.size[1] - 1)
    longest = max(path_length(background, frame) / camera.exposures, *(thing.length for thing in things), 0.0)
    objects, extents, windows, motions = _layers(things, background, config)
    return Scene(
        size=torch.tensor(config.size),
        photo=_photo(photos, rng, config, lamps),
        objects=objects,
        extents=extents,
        windows=windows,
        motions=motions,
        instants=torch.tensor(1 if still else int(np.clip(0.7 * longest, *_INSTANTS)) // 2 * 2 + 1),
        readout=torch.tensor(camera.exposures - 1, dtype=torch.float32),
        gain=random_gain(rng, config, lamps),
        response=torch.from_numpy(random_response(rng)),
        in_display_space=torch.tensor(rng.random() < config.display_space_share),
        softness=random_softness(rng, config),
        noise=random_noise(rng, config),
        bayer=torch.tensor(rng.random() < config.bayer_share),
        quantiser=random_quantiser(rng, config),
        seed=torch.tensor(int(rng.integers(2**62))),
        shutter=torch.tensor(camera.shutter, dtype=torch.float32),
    )


def _photo(photos: Sequence[Image], rng: np.random.Generator, config: SynthConfig, lamps: bool) -> Tensor:
    view = random_crop(photos, rng, config.seen, config.photo_scale)
    return _planes(brightened(rng, view) if lamps else np.dstack((view, np.zeros(config.seen, np.uint8))))


def _thing(photos: Sequence[Image], rng: np.random.Generator, config: SynthConfig, camera: Camera | None) -> Thing:
    """A random object anywhere in the frame; it stands still without a camera."""
    picture = random_object(photos, rng, config.size, config.photo_scale)
    height, width = picture.shape[:2]
    y, x = rng.uniform(-0.1, 1.1, 2) * config.size
    top, left = round(y - height / 2), round(x - width / 2)
    box = corners(top, left, top + height, left + width)
    motion = random_object_motion(rng, config, camera, box) if camera else STILL
    to_picture = np.array(((1, 0, -left), (0, 1, -top), (0, 0, 1)))
    length = path_length(motion, box) / (camera.exposures if camera else 1.0)
    return Thing(picture, to_picture @ motion, _touched(motion, box, config.size), length)


def _seen_moving(thing: Thing) -> bool:
    """A thing that moves, with a quarter of it or more in the frame."""
    (height, width), (top, left, bottom, right) = thing.picture.shape[:2], thing.window
    return thing.length > 0 and (bottom - top) * (right - left) >= height * width / 4


def _touched(motion: Floats, box: Floats, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the part of the frame in which a moving box can be seen."""
    # Motions lead from the frame to the box; what leads back is as long, but not exactly.
    reach = np.abs(moved(motion, box) - box).max(axis=(0, 1)) * 1.1 + 2
    (left, top), (right, bottom) = np.floor(box[0] - reach), np.ceil(box[3] + reach)
    rows, columns = np.clip((top, bottom), 0, size[0]), np.clip((left, right), 0, size[1])
    return int(rows[0]), int(columns[0]), int(rows[1]), int(columns[1])


def _layers(things: list[Thing], background: Floats, config: SynthConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Objects, extents, windows and motions of a Scene; places without a thing are empty and stand still."""
    count, margin = config.max_objects, config.margin
    objects = torch.zeros(count, 4, *config.size, dtype=torch.uint8)
    extents, windows = torch.zeros(count, 2, dtype=torch.int64), torch.zeros(count, 4, dtype=torch.int64)
    motions = np.tile(STILL, (1 + count, 1, 1, 1))
    motions[0] = np.array(((1, 0, margin), (0, 1, margin), (0, 0, 1))) @ background
    for index, thing in enumerate(things):
        height, width = thing.picture.shape[:2]
        objects[index, :, :height, :width] = _planes(thing.picture)
        extents[index], windows[index] = torch.tensor((height, width)), torch.tensor(thing.window)
        motions[1 + index] = thing.motion
    return objects, extents, windows, torch.from_numpy(motions).float()


def _planes(image: Image) -> Tensor:
    """(H, W, C) → (C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
