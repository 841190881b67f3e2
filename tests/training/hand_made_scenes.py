"""Scenes made by hand, in which what the camera must see is known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from training.synthesis.response import LINEAR
from training.synthesis.scene import KNOTS, Scene

Image = NDArray[np.uint8]
MARGIN = 16


def shift(x: float, y: float) -> Tensor:
    """(3, 3): the homography that adds (x, y)."""
    return torch.tensor([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def straight(x: float, y: float) -> Tensor:
    """(KNOTS, 3, 3): a path of (x, y) pixels, at rest in the middle."""
    return torch.stack([shift(x * when, y * when) for when in np.linspace(-0.5, 0.5, KNOTS).tolist()])


def scene(photo: Image, motion: Tensor, **changes: Any) -> Scene:
    """A batch of one: a photograph (H, W, 3) or (H, W, 4) seen through `motion` by a camera that adds nothing.

    The frame is the photograph without MARGIN on each side.
    """
    planes = torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))
    height, width = (length - 2 * MARGIN for length in photo.shape[:2])
    made = Scene(
        size=torch.tensor((height, width)),
        photo=torch.cat((planes, torch.zeros(4 - len(planes), *planes.shape[1:], dtype=torch.uint8))),
        objects=torch.zeros(0, 4, height, width, dtype=torch.uint8),
        extents=torch.zeros(0, 2, dtype=torch.int64),
        windows=torch.zeros(0, 4, dtype=torch.int64),
        motions=(shift(MARGIN, MARGIN) @ motion).unsqueeze(0),
        instants=torch.tensor(33),
        readout=torch.tensor(0.0),
        gain=torch.ones(3),
        response=torch.tensor(LINEAR),
        in_display_space=torch.tensor(False),
        softness=torch.tensor(0.0),
        noise=torch.zeros(2),
        bayer=torch.tensor(False),
        quantiser=torch.zeros(2, 8, 8),
        seed=torch.tensor(3),
        shutter=torch.tensor(0.01),
    )
    batch: Scene = default_collate([made._replace(**changes)])
    return batch


def with_object(background: Scene, picture: Image, corner: tuple[int, int], motion: Tensor) -> Scene:
    """The scene with one more layer: (h, w, 4) RGB and opacity, at (top, left) in the middle of the exposure."""
    height, width = picture.shape[:2]
    objects = torch.zeros(1, 1, 4, *background.size[0].tolist(), dtype=torch.uint8)
    objects[0, 0, :, :height, :width] = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    return background._replace(
        objects=objects,
        extents=torch.tensor([[[height, width]]]),
        windows=torch.tensor([[[0, 0, *background.size[0].tolist()]]]),
        motions=torch.cat((background.motions, (shift(-corner[1], -corner[0]) @ motion)[None, None]), dim=1),
    )


def texture(height: int, width: int, seed: int = 0, smooth: float = 1.5) -> Image:
    """(height, width, 3) uint8 of coloured clouds."""
    clouds = cv2.GaussianBlur(np.random.default_rng(seed).uniform(0, 1, (height, width, 3)), (0, 0), smooth)
    spread = (clouds - clouds.min()) / np.ptp(clouds)
    picture: Image = np.rint(spread * 255).astype(np.uint8)
    return picture
