"""Looking inside a running network: what its attention and content-aware modules compute for one frame."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.attention import CrossAttention
from training.blocks import ContentAware
from training.config import PATCH_GRIDS
from training.frame_model import FrameModel
from training.network import Grid, SAPHNet, join_patches

Image = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Where a pixel-dependent filter reads, and how much of it.

    offset: (k², 2, h, w), (y, x) in feature pixels. modulation: (k², h, w) in [0, 2]. tap_norms: (k²,), ‖W_n‖ of each
    tap's C x C matrix (Frobenius).
    """

    offset: Map
    modulation: Map
    tap_norms: Map


@dataclasses.dataclass(frozen=True)
class Layer:
    """What one module computed, patches joined to the whole frame and padding cut off; h, w count feature pixels.

    mask M, fusion F: (h, w) in [0, 1]. None is what the module does not have; a cross-attention has a mask only:
    where its giver (encoder, or finer level) is worth reading.
    """

    name: str  # in the checkpoint
    place: str  # in words
    stride: int  # frame pixels per feature pixel
    grid: Grid  # patches of its level
    content_aware: bool  # and not a cross-attention
    mask: Map | None
    fusion: Map | None
    sampling: Sampling | None


def observe(network: SAPHNet, frame: Image, visit: Callable[[Layer], None]) -> Image:
    """Deblur one frame and call `visit` for each module while it runs, so that no two modules are held at a time.

    frame: (H, W, 3) uint8 BGR, at least `config.min_size`. Returns the sharp frame as users get it.
    """
    device = next(network.parameters()).device
    model = FrameModel(network).eval()
    with torch.inference_mode(), _watched(network, (frame.shape[0], frame.shape[1]), visit):
        sharp: Image = model(torch.from_numpy(np.ascontiguousarray(frame)).to(device)).cpu().numpy()
    return sharp


@contextlib.contextmanager
def _watched(network: SAPHNet, size: tuple[int, int], visit: Callable[[Layer], None]) -> Iterator[None]:
    def look(name: str, module: ContentAware | CrossAttention, inputs: tuple[Tensor, ...]) -> None:
        visit(_layer(name, module, inputs[-1], network, size))

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, (ContentAware, CrossAttention)):
            handles.append(module.register_forward_pre_hook(functools.partial(look, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _layer(
    name: str, module: ContentAware | CrossAttention, x: Tensor, network: SAPHNet, size: tuple[int, int]
) -> Layer:
    """x: (B, C, H, W), the module's input, or the giver of a cross-attention; one frame's patches are the batch."""
    config = network.config
    grid = next(grid for grid in PATCH_GRIDS if grid[0] * grid[1] == len(x))
    padded = -(-size[0] // config.multiple_of[0]) * config.multiple_of[0]
    stride = padded // (x.shape[2] * grid[0])

    def whole(values: Tensor) -> Map:
        joined = join_patches(values, grid)[0, :, : -(-size[0] // stride), : -(-size[1] // stride)]
        return joined.float().cpu().numpy()

    mask = fusion = sampling = None
    if module.attention is not None:
        mask = whole(module.attention.spatial_mask(x))[0]
    if isinstance(module, ContentAware):
        if module.fusion is not None:
            fusion = whole(module.fusion_map(x))[0]
        if module.filter is not None:
            offset, modulation = (whole(values) for values in module.filter.sampling(x))
            norms = module.filter.filter.weight.flatten(2).norm(dim=(0, 1)).cpu().numpy()
            sampling = Sampling(offset.reshape(-1, 2, *offset.shape[1:]), modulation, norms)
    return Layer(name, _place(name, stride), stride, grid, isinstance(module, ContentAware), mask, fusion, sampling)


def _place(name: str, stride: int) -> str:
    """`encoders.0.stages.2.1.content_aware` → `level 1 encoder, scale 1/16, block 2`."""
    part, level, *rest = name.split(".")
    scale = f"scale 1/{stride}" if stride > 1 else "scale 1"
    if part == "exchanges":
        return f"level {int(level) + 2} to level {int(level) + 1}, {scale}"
    if "skips" in rest:
        return f"level {int(level) + 1} skip, {scale}"
    return f"level {int(level) + 1} {part.removesuffix('s')}, {scale}, block {int(rest[-2]) + 1}"
