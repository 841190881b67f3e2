"""The content-aware module and the residual block that holds it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.attention import GatherDistribute
from training.config import ModelConfig
from training.deform import deform_conv2d


class PixelDependentFilter(nn.Module):
    """A k x k convolution whose sampling positions and tap weights depend on the pixel (model.md "Local branch").

    Offsets start at 0 and modulation at 2σ(0) = 1, so it starts as a plain convolution; the factor 2 is ours.
    """

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        kernel, taps = config.kernel_size, config.kernel_size**2
        self.learn_offsets, self.learn_modulation = config.learn_offsets, config.learn_modulation
        self.filter = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.offset = nn.Conv2d(channels, 2 * taps, 3, padding=1)
        self.modulation = nn.Conv2d(channels, taps, 3, padding=1)
        for predictor in (self.offset, self.modulation):
            nn.init.zeros_(predictor.weight)
            nn.init.zeros_(_bias(predictor))

    def sampling(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, 2k², H, W) in pixels, (y, x) per tap, and modulation (B, k², H, W) in [0, 2]."""
        offset = self.offset(x) if self.learn_offsets else torch.zeros_like(self.offset(x))
        logits = self.modulation(x) if self.learn_modulation else torch.zeros_like(self.modulation(x))
        return offset, 2 * torch.sigmoid(logits)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C, H, W)."""
        if not (self.learn_offsets or self.learn_modulation):
            return self.filter(x)
        offset, modulation = self.sampling(x)
        half = self.filter.kernel_size[0] // 2
        return deform_conv2d(x, offset, modulation, self.filter.weight, self.filter.bias, padding=(half, half))


class ContentAware(nn.Module):
    """y = F ⊙ global + (1 - F) ⊙ local, with F = σ(conv(x)) in [0, 1] (model.md "Content-adaptive fusion").

    Predicting F from the module's input is ours. A branch that is switched off leaves the other one alone.
    """

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.attention = GatherDistribute(channels, config.descriptors) if config.global_branch else None
        self.filter = PixelDependentFilter(channels, config) if config.local_branch else None
        both = config.global_branch and config.local_branch
        self.fusion = nn.Conv2d(channels, 1, 3, padding=1) if both and config.learn_fusion else None

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C, H, W)."""
        if self.filter is None:
            assert self.attention is not None  # ModelConfig refuses a module with neither branch
            return self.attention(x, x)
        if self.attention is None:
            return self.filter(x)
        share = torch.sigmoid(self.fusion(x)) if self.fusion is not None else 0.5
        return share * self.attention(x, x) + (1 - share) * self.filter(x)


class ResidualBlock(nn.Module):
    """x + conv(content-aware(relu(conv(x)))); without the module, two plain 3x3 convolutions."""

    def __init__(self, channels: int, config: ModelConfig, content_aware: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.content_aware = ContentAware(channels, config) if content_aware else nn.Identity()
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C, H, W)."""
        return x + self.second(self.content_aware(torch.relu(self.first(x))))


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
