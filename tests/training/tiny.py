"""A network and pairs so small that a training step takes milliseconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from training.config import PRESETS
from training.synthesis.deadleaves import dead_leaves

MODEL = dataclasses.replace(PRESETS["edge-n"], widths=(4, 6, 8), encoder_blocks=(1, 1, 1), descriptors=3)


def write_pairs(folder: Path, sharp_height: int = 50) -> Path:
    """blur/ and sharp/ with three lopsided pairs; with another height of the sharp frames, nobody can use them."""
    for index in range(3):
        sharp = dead_leaves(np.random.default_rng(index), (50, 56 + index), leaves=100)
        for side, image in (("blur", cv2.blur(sharp, (5, 1))), ("sharp", sharp[:sharp_height])):
            (folder / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / side / f"{index}.png"), image)
    return folder
