"""LPIPS, where its package and its weights are on this machine already: nothing is ever downloaded."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Perceptual = Callable[[Image, Image], float]

_BACKBONE = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"  # torch.hub keeps it under this name
SMALLEST = 31  # pixels a side: below this, AlexNet's poolings leave nothing


def lpips_distance(device: str) -> Perceptual | str:
    """LPIPS (Zhang et al., CVPR 2018; AlexNet, version 0.1) of two (H, W, 3) uint8 BGR frames, lower is better.

    Where it cannot be had, why.
    """
    if importlib.util.find_spec("lpips") is None:
        return "the package 'lpips' is not installed (pip install lpips)"
    weights = Path(torch.hub.get_dir()) / "checkpoints" / Path(_BACKBONE).name
    if not weights.is_file():
        return f"{weights} is not there, and val downloads nothing; get it from {_BACKBONE}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lpips, about torchvision's names
            network = importlib.import_module("lpips").LPIPS(net="alex", verbose=False).to(device).eval()
    except Exception as error:  # a torchvision that does not fit torch fails in many ways
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return f"the package 'lpips' cannot be used: {reason}"

    @torch.inference_mode()
    def distance(image: Image, reference: Image) -> float:
        return float(network(_tensor(image, device), _tensor(reference, device)))

    return distance


def _tensor(image: Image, device: str) -> torch.Tensor:
    """(1, 3, H, W) float32 RGB in [-1, 1]."""
    planes = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)[None])
    return torch.from_numpy(planes).to(device).float() / 127.5 - 1
