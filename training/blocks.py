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
        self.taps = taps
        self.filter = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.offset = zero_convolution(channels, 2 * taps) if config.learn_offsets else None
        self.modulation = zero_convolution(channels, taps) if config.learn_modulation else None

    @property
    def is_deformable(self) -> bool:
        """Whether anything depends on the pixel; else it is a plain convolution."""
        return self.offset is not None or self.modulation is not None

    def sampling(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, 2k², H, W) in pixels, (y, x) per tap, and modulation (B, k², H, W) in [0, 2]."""
        batch, _, height, width = x.shape
        offset = self.offset(x) if self.offset is not None else x.new_zeros(batch, 2 * self.taps, height, width)
        if self.modulation is None:
            return offset, x.new_ones(batch, self.taps, height, width)
        return offset, 2 * torch.sigmoid(self.modulation(x))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C, H, W)."""
        if not self.is_deformable:
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
        share = self.fusion_map(x)
        return share * self.attention(x, x) + (1 - share) * self.filter(x)

    def fusion_map(self, x: Tensor) -> Tensor:
        """F, the share of the global branch: (B, 1, H, W) in [0, 1], or the scalar ½ where it is not learnt."""
        return torch.sigmoid(self.fusion(x)) if self.fusion is not None else x.new_tensor(0.5)


class ResidualBlock(nn.Module):
    """x + conv(content-aware(relu(conv(x)))); without the module, two plain 3x3 convolutions."""

    def __init__(self, channels: int, config: ModelConfig, content_aware: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.content_aware = ContentAware(channels, config) if content_aware else nn.Identity()
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C, H, W)."""
        return x + self.residual(x)

    def residual(self, x: Tensor) -> Tensor:
        """What the block adds to x: (B, C, H, W)."""
        return self.second(self.content_aware(torch.relu(self.first(x))))


def zero_convolution(channels: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that gives zeros until it is trained."""
    layer = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
