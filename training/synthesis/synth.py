"""Blurred/sharp pairs made from sharp photographs: a scene is drawn, exposed and developed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from training.synthesis.camera import develop
from training.synthesis.config import SynthConfig
from training.synthesis.draw import draw_scene
from training.synthesis.exposure import expose
from training.synthesis.scene import Scene

__all__ = ["Scene", "SynthConfig", "draw_scene", "pictures", "render", "rendered"]

Image = NDArray[np.uint8]


def render(scenes: Scene) -> tuple[Tensor, Tensor]:
    """(blurred, sharp), each (B, 3, H, W) float32 RGB in [0, 1] in steps of 1/255, on the scenes' device.

    scenes: batched by default_collate. The sharp frame is the middle of the exposure through the same lens, exposure
    and response, without noise and compression.
    """
    averaged, instant = expose(scenes)
    return develop(scenes, averaged, instant)


def rendered(scene: Scene) -> tuple[Image, Image]:
    """One scene as (blurred, sharp) pictures, (H, W, 3) uint8 BGR."""
    return pictures(*render(default_collate([scene])))


def pictures(blurred: Tensor, sharp: Tensor) -> tuple[Image, Image]:
    """The first of a batch (B, 3, H, W) of RGB in [0, 1] each, as (H, W, 3) uint8 BGR."""
    first, second = ((frames[0].flip(0).permute(1, 2, 0) * 255).round().byte() for frames in (blurred, sharp))
    return first.contiguous().numpy(), second.contiguous().numpy()
