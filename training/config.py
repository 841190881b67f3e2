"""ModelConfig: every dial of the network, and the named presets of the family."""

from __future__ import annotations

import dataclasses

# Rows and columns of patches at level 1 (the whole frame), 2 (top, bottom), 3 (2x2) and 4 (2x4).
PATCH_GRIDS = ((1, 1), (2, 1), (2, 2), (2, 4))
SCALES = 3


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape and ablation switches of one network.

    Source: Suin, Purohit, Rajagopalan, CVPR 2020 (arXiv 2004.05343). The paper leaves the descriptor count, the places
    of the content-aware modules and the number of blocks open: those defaults are ours.
    Raises ValueError where the values contradict each other.
    """

    levels: int = 3  # patch-hierarchy levels, 1 to 4
    unshuffle: int = 1  # pixel-unshuffle factor of the stem: features live at 1/unshuffle of the frame
    widths: tuple[int, int, int] = (32, 64, 128)  # channels of the three scales, fine to coarse
    encoder_blocks: tuple[int, int, int] = (2, 2, 2)
    decoder_blocks: tuple[int, int, int] = (0, 2, 2)  # coarse to fine; the coarsest scale has no upsampling before it
    content_aware: tuple[bool, bool, bool] = (True, True, True)  # scales whose blocks hold a content-aware module
    descriptors: int = 32  # C2, the number of global descriptors
    kernel_size: int = 3  # k of the pixel-dependent filter
    # Ablations: what each switch turns off is named in the paper's own table.
    global_branch: bool = True
    local_branch: bool = True
    learn_offsets: bool = True
    learn_modulation: bool = True
    learn_fusion: bool = True  # False: the two branches are averaged, F = 1/2
    skip_attention: bool = True  # False: encoder features are added to the decoder's
    level_attention: bool = True  # False: a finer level's features are added to the next level's

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= len(PATCH_GRIDS):
            raise ValueError(f"levels is {self.levels}; expected 1 to {len(PATCH_GRIDS)}")
        if self.unshuffle not in (1, 2, 4):
            raise ValueError(f"unshuffle is {self.unshuffle}; expected 1, 2 or 4")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; expected an odd number")
        if any(self.content_aware) and not (self.global_branch or self.local_branch):
            raise ValueError("content-aware modules need global_branch or local_branch; or set content_aware to False")

    @property
    def multiple_of(self) -> tuple[int, int]:
        """(height, width) that a frame is padded to a multiple of."""
        rows, columns = PATCH_GRIDS[self.levels - 1]
        stride = self.unshuffle * 2 ** (SCALES - 1)
        return stride * rows, stride * columns

    @property
    def min_size(self) -> tuple[int, int]:
        """Smallest (height, width): reflection can add at most one pixel less than the frame has."""
        height, width = self.multiple_of
        return height // 2 + 1, width // 2 + 1


_EDGE = ModelConfig(
    levels=1,
    unshuffle=4,
    widths=(32, 56, 88),
    encoder_blocks=(1, 1, 2),
    decoder_blocks=(0, 1, 1),
    content_aware=(False, False, True),
    skip_attention=False,
)

PRESETS = {
    "edge-n": _EDGE,
    "edge-s": dataclasses.replace(
        _EDGE, levels=2, widths=(40, 64, 96), encoder_blocks=(1, 2, 3), decoder_blocks=(0, 2, 1), descriptors=48
    ),
    "edge-m": dataclasses.replace(
        _EDGE,
        levels=2,
        unshuffle=2,
        widths=(32, 64, 128),
        encoder_blocks=(1, 1, 3),
        decoder_blocks=(0, 1, 1),
        content_aware=(False, True, True),
        descriptors=64,
    ),
    "paper": ModelConfig(levels=3),
    "paper4": ModelConfig(levels=4),
}

# Multiply-accumulates a preset may spend on a 1280x720 frame; the paper's presets come as they are.
MAC_BUDGETS = {"edge-n": 8e9, "edge-s": 30e9, "edge-m": 120e9}
