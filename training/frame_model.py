"""FrameModel: the network as users meet it, a uint8 camera frame in and a uint8 frame out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.network import SAPHNet


class FrameModel(nn.Module):
    """The network and all that stands between it and a camera's bytes, so that nobody else can get that wrong.

    Its forward is the contract of the exported graph: names, dtypes, layout, padding, rounding and clipping.
    """

    def __init__(self, network: SAPHNet) -> None:
        super().__init__()
        self.network = network
        self.multiple_of = network.config.multiple_of

    def forward(self, frame: Tensor) -> Tensor:
        """frame: (H, W, 3) uint8 BGR. Returns (H, W, 3) uint8 BGR, H and W at least `config.min_size`."""
        height, width = frame.shape[0], frame.shape[1]
        # The cast comes first: TensorRT's parser takes no other operation on uint8.
        image = frame.float().flip(2).permute(2, 0, 1)[None] / 255  # (1, 3, H, W) RGB in [0, 1]
        bottom, right = (-length % multiple for length, multiple in zip((height, width), self.multiple_of, strict=True))
        residual = self.network.residual(functional.pad(image, (0, right, 0, bottom), mode="reflect"))
        sharp = image + residual[:, :, :height, :width]
        pixels = (sharp[0].permute(1, 2, 0).flip(2) * 255).round()
        return pixels.clamp(0, 255).to(torch.uint8)
