"""The frames whose outputs are stored with an export: an engine on a device is compared with what PyTorch gave here."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from export.passes.golden_file import Image, Pair
from training.evaluation.evaluate import torch_model
from training.network import SAPHNet
from training.synthesis.deadleaves import dead_leaves

SIZES = ((61, 90), (64, 160), (119, 75))  # (height, width): odd, even, wide, high; no two alike
BLUR = (3, 9)  # pixels (height, width): lopsided as motion is, so that filters have something to undo


def golden_pairs(network: SAPHNet, sizes: Sequence[tuple[int, int]] = ()) -> list[Pair]:
    """Frames that are always the same, of SIZES and of `sizes`, with what PyTorch makes of them on the CPU."""
    model, smallest = torch_model(network, "cpu"), network.config.min_size
    frames = [
        _blurred_leaves(seed, (max(height, smallest[0]), max(width, smallest[1])))
        for seed, (height, width) in enumerate((*SIZES, *sizes))
    ]
    return [(frame, model(frame)) for frame in frames]


def _blurred_leaves(seed: int, size: tuple[int, int]) -> Image:
    leaves = dead_leaves(np.random.default_rng(seed), size)
    return np.asarray(cv2.blur(leaves, BLUR[::-1], borderType=cv2.BORDER_REFLECT), np.uint8)
