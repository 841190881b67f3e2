"""The training loss: Charbonnier in pixels plus L1 in frequency."""

from __future__ import annotations

import torch
from torch import Tensor


def charbonnier(output: Tensor, target: Tensor, epsilon: float = 1e-3) -> Tensor:
    """mean √((output - target)² + ε²): L1 with a smooth bottom (Charbonnier et al., 1994). (B, 3, H, W) in [0, 1]."""
    return torch.sqrt((output - target) ** 2 + epsilon**2).mean()


def frequency(output: Tensor, target: Tensor) -> Tensor:
    """L1 between spectra (Cho et al., MIMO-UNet, ICCV 2021, eq. 7), scaled to be free of the patch size."""
    difference = torch.fft.rfft2((output - target).float(), norm="ortho")
    return torch.view_as_real(difference).abs().mean()


def deblurring_loss(outputs: list[Tensor], target: Tensor, frequency_weight: float = 0.1) -> Tensor:
    """Charbonnier + weight · frequency, summed over what the hierarchy's levels restored; a scalar."""
    losses = [charbonnier(output, target) + frequency_weight * frequency(output, target) for output in outputs]
    return torch.stack(losses).sum()
