"""SAPHNet: content-aware encoders and decoders in a patch hierarchy, finest patches first."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from training.attention import Addition, CrossAttention
from training.blocks import ResidualBlock, zero_convolution
from training.config import PATCH_GRIDS, ModelConfig

Grid = tuple[int, int]


def split_patches(x: Tensor, grid: Grid) -> Tensor:
    """Fold a grid of (rows, columns) patches into the batch: (B, C, H, W) → (B·rows·columns, C, H/rows, W/columns)."""
    rows, columns = grid
    if grid == (1, 1):
        return x
    batch, channels, height, width = x.shape
    x = x.view(batch, channels, rows, height // rows, columns, width // columns)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // rows, width // columns)


def join_patches(x: Tensor, grid: Grid) -> Tensor:
    """Undo `split_patches`: (B·rows·columns, C, H, W) → (B, C, H·rows, W·columns)."""
    rows, columns = grid
    if grid == (1, 1):
        return x
    _, channels, height, width = x.shape
    x = x.view(-1, rows, columns, channels, height, width)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height * rows, width * columns)


class Encoder(nn.Module):
    """Stem and three scales; returns the features of each, fine to coarse."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.widths
        self.unshuffle = nn.PixelUnshuffle(config.unshuffle)
        self.stem = nn.Conv2d(3 * config.unshuffle**2, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in itertools.pairwise(widths)
        )
        self.stages = nn.ModuleList(_stage(config, scale, blocks) for scale, blocks in enumerate(config.encoder_blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        """image: (B, 3, H, W). Returns [(B, C_s, H/(u·2^s), W/(u·2^s)) for scale s = 0, 1, 2]."""
        features = [self.stages[0](self.stem(self.unshuffle(image)))]
        for down, stage in zip(self.downs, self.stages[1:], strict=True):
            features.append(stage(down(features[-1])))
        return features


class Decoder(nn.Module):
    """Three scales up to a residual image; encoder features join by cross-attention (or addition)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        coarse_to_fine = config.widths[::-1]
        self.bottleneck = _stage(config, 2, config.decoder_blocks[0])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2))
            for coarse, fine in itertools.pairwise(coarse_to_fine)
        )
        self.skips = nn.ModuleList(
            CrossAttention(width, config.descriptors) if config.skip_attention else Addition()
            for width in coarse_to_fine[1:]
        )
        self.stages = nn.ModuleList(
            _stage(config, scale, blocks) for scale, blocks in zip((1, 0), config.decoder_blocks[1:], strict=True)
        )
        # A zero residual to begin with: training starts from "leave the frame alone".
        self.head = zero_convolution(config.widths[0], 3 * config.unshuffle**2)
        self.shuffle = nn.PixelShuffle(config.unshuffle)

    def forward(self, features: list[Tensor]) -> Tensor:
        """features: as the encoder returns them. Returns the residual image (B, 3, H, W)."""
        x = self.bottleneck(features[-1])
        for up, skip, stage, encoded in zip(self.ups, self.skips, self.stages, features[-2::-1], strict=True):
            x = stage(skip(up(x), encoded))
        residual: Tensor = self.shuffle(self.head(x))
        return residual


class SAPHNet(nn.Module):
    """The whole network (model.md; arXiv 2004.05343). Output = input + residual of level 1."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleList(Encoder(config) for _ in range(config.levels))
        self.decoders = nn.ModuleList(Decoder(config) for _ in range(config.levels))
        self.exchanges = nn.ModuleList(
            CrossAttention(config.widths[-1], config.descriptors) if config.level_attention else Addition()
            for _ in range(config.levels - 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, 3, H, W) RGB in [0, 1], H and W multiples of `config.multiple_of`. Returns the same shape.

        The result may leave [0, 1] by a little; who shows it clips it.
        """
        return image + self.residual(image)

    def residual(self, image: Tensor) -> Tensor:
        """What level 1 adds to the image: (B, 3, H, W)."""
        return self._residuals(image)[-1]

    def outputs(self, image: Tensor) -> list[Tensor]:
        """The whole image as each level restored it, finest patches first, level 1 last: (B, 3, H, W) each."""
        return [image + residual for residual in self._residuals(image)]

    def _residuals(self, image: Tensor) -> list[Tensor]:
        residuals = []
        residual, finer = torch.zeros((), dtype=image.dtype, device=image.device), None
        for level in reversed(range(self.config.levels)):
            grid, coarser = PATCH_GRIDS[level], PATCH_GRIDS[max(level - 1, 0)]
            # What a finer level decoded already has this level's grid: it is joined before it is decoded.
            features = self.encoders[level](split_patches(image, grid) + residual)
            if finer is not None:
                features[-1] = self.exchanges[level](features[-1], finer)
            features = [_regrid(feature, grid, coarser) for feature in features]
            residual, finer = self.decoders[level](features), features[-1]
            residuals.append(join_patches(residual, coarser))
        return residuals


def _regrid(x: Tensor, grid: Grid, coarser: Grid) -> Tensor:
    return x if grid == coarser else split_patches(join_patches(x, grid), coarser)


def _stage(config: ModelConfig, scale: int, blocks: int) -> nn.Sequential:
    width, content_aware = config.widths[scale], config.content_aware[scale]
    return nn.Sequential(*(ResidualBlock(width, config, content_aware) for _ in range(blocks)))
