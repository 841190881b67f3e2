"""How the camera of a scene is set and built: exposure, white balance, lens, noise and coding."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.synthesis.compression import h264_steps, jpeg_steps
from training.synthesis.config import SynthConfig


def random_gain(rng: np.random.Generator, config: SynthConfig, lamps: bool) -> Tensor:
    """(3,): exposure and white balance, RGB. Lamps are seen when it is dark."""
    stops = rng.uniform(*config.exposure) - (rng.uniform(0, 1.5) if lamps else 0)
    red, blue = np.exp(rng.normal(0, config.tint, 2))
    return torch.tensor((red, 1.0, blue), dtype=torch.float32) * 2**stops


def random_softness(rng: np.random.Generator, config: SynthConfig) -> Tensor:
    """(): sigma in pixels."""
    sigma = rng.uniform(*config.softness)
    return torch.tensor(sigma if sigma > 0.2 else 0.0, dtype=torch.float32)  # below it the kernel is a single tap


def random_noise(rng: np.random.Generator, config: SynthConfig) -> Tensor:
    """(2,): variances of shot noise at full light and of read noise.

    They rise together, as log read = 2.18 log shot + 1.2 ± 0.26: Brooks et al., Unprocessing Images for Learned Raw
    Denoising, CVPR 2019.
    """
    shot = rng.uniform(*config.noise) ** 2
    read = np.exp(2.18 * np.log(max(shot, 1e-12)) + 1.2 + rng.normal(0, 0.26)) if shot else 0.0
    return torch.tensor((shot, read), dtype=torch.float32)


def random_quantiser(rng: np.random.Generator, config: SynthConfig) -> Tensor:
    """(2, 8, 8): steps of JPEG or of H.264, or zeros."""
    if rng.random() >= config.compressed_share:
        return torch.zeros(2, 8, 8)
    jpeg = rng.random() < 0.5
    return torch.from_numpy(jpeg_steps(int(rng.integers(40, 98))) if jpeg else h264_steps(rng.uniform(16, 34)))
