"""Camera response curves: from light to what is displayed, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LINEAR = (1.0, 0.0)


def displayed(light: Tensor, response: Tensor) -> Tensor:
    """f(I) = (1 + k) Iⁿ / (1 + k Iⁿ): increasing, f(0) = 0, f(1) = 1.

    With k = 1/σ this is the sigmoid that Eilertsen et al. (HDR image reconstruction from a single exposure using deep
    CNNs, 2017) fit to measured curves; k = 0 is a power law, and n = 1 with it the identity.
    light: (B, C, …) float32 in [0, 1]. response: (B, 2) float32, (n, k). Returns the shape of `light`.
    """
    exponent, bend = _spread(response, light)
    power = light**exponent
    return (1 + bend) * power / (1 + bend * power)


def light_of(shown: Tensor, response: Tensor) -> Tensor:
    """The inverse of `displayed`, with the same shapes."""
    exponent, bend = _spread(response, shown)
    return (shown / (1 + bend - bend * shown)) ** (1 / exponent)


def random_response(rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, k): a power law near 1/2.2, or the sigmoid with n ~ N(0.9, 0.1), σ ~ N(0.6, 0.1) as its authors draw it."""
    if rng.random() < 0.5:
        return np.array((1 / rng.uniform(1.8, 2.4), 0), np.float32)
    exponent, sigma = np.clip(rng.normal((0.9, 0.6), 0.1), (0.6, 0.3), (1.2, 0.9))
    return np.array((exponent, 1 / sigma), np.float32)


def _spread(response: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    shape = (-1, *(1,) * (image.dim() - 1))
    exponent, bend = torch.unbind(response, dim=-1)
    return exponent.reshape(shape), bend.reshape(shape)
